package control

import (
	"vswitch/api"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// CountersView shows counters, the reasons of drops by their names.
func CountersView(c vswitch.Counters) api.Counters {
	v := api.Counters{
		RxFrames: c.RxFrames, RxBytes: c.RxBytes, TxFrames: c.TxFrames, TxBytes: c.TxBytes,
		Forwarded: c.Forwarded, Flooded: c.Flooded, Local: c.Local, Drops: make(map[string]uint64),
	}
	for r, n := range c.Drops {
		if n > 0 {
			v.Drops[drop.Reason(r).String()] = n
		}
	}
	return v
}
