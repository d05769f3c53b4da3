package vswitch

import (
	"testing"

	"vswitch/frame"
)

// carry measures one frame's whole way, from reading to writing, without the
// system calls.
func carry(b *testing.B, ports []*Port, frames ...[]byte) {
	b.ReportAllocs()
	w := ports[0].worker
	w.do(func() {
		d := load(ports[0], b.N, frames...)
		b.ResetTimer()
		for d.left > 0 {
			w.burst(ports[0])
		}
		b.StopTimer()
	})
	if c := ports[0].Counters(); c.RxFrames != uint64(b.N) || c.Forwarded+c.Flooded != uint64(b.N) {
		b.Errorf("of %d frames, %d were forwarded and %d flooded", b.N, c.Forwarded, c.Flooded)
	}
}

func BenchmarkForward(b *testing.B) {
	_, ports := newNullSwitch(b, 2)
	carry(b, ports, rawFrame(station(1), station(0), frame.EtherTypeIPv4))
}

func BenchmarkFlood16(b *testing.B) {
	_, ports := newNullSwitch(b, 17)
	carry(b, ports, rawFrame(frame.Broadcast, station(0), frame.EtherTypeIPv4))
}
