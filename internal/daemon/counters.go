package daemon

import (
	"vswitch/api"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// sum adds up what a port has seen in two of its places in the switch.
func sum(a, b vswitch.Counters) vswitch.Counters {
	a.RxFrames += b.RxFrames
	a.RxBytes += b.RxBytes
	a.TxFrames += b.TxFrames
	a.TxBytes += b.TxBytes
	a.Forwarded += b.Forwarded
	a.Flooded += b.Flooded
	a.Local += b.Local
	for r := range a.Drops {
		a.Drops[r] += b.Drops[r]
	}
	return a
}

func countersView(c vswitch.Counters) api.Counters {
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
