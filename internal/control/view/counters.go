package view

import (
	"vswitch/api"
	"vswitch/internal/counters"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// countersView shows what a port or host link has counted in its block, drops by their reasons.
func countersView(b *counters.Block) api.Counters {
	c := vswitch.ReadCounters(b.Words)
	v := api.Counters{
		Since: b.Since(), RxFrames: c.RxFrames, RxBytes: c.RxBytes, TxFrames: c.TxFrames,
		TxBytes: c.TxBytes, Forwarded: c.Forwarded, Flooded: c.Flooded, Local: c.Local,
		Drops: make(map[string]uint64),
	}
	for r, n := range c.Drops {
		if n > 0 {
			v.Drops[drop.Reason(r).String()] = n
		}
	}
	return v
}
