package vswitch

import (
	"testing"

	"vswitch/internal/frame"
)

// A port that sends a frame now and then must not wait for more than one burst of
// a port that sends all the time, nor may it keep the other from its turn.
func TestNewcomerGoesBeforeTheBusyPort(t *testing.T) {
	_, ports := newNullSwitch(t, 3)
	busy, rare, out := ports[0], ports[1], ports[2]
	w := busy.worker
	w.do(func() {
		load(busy, 1000, rawFrame(station(2), station(0), frame.EtherTypeIPv4))
		w.enlist([]uint32{busy.slot})
		w.turn()
		load(rare, 1, rawFrame(station(2), station(1), frame.EtherTypeIPv4))
		w.enlist([]uint32{rare.slot})
		if w.ready[0] != rare {
			t.Errorf("%d ports are ready and the newcomer is not the first", len(w.ready))
		}
		w.turn()
		// The worker itself goes on with the busy port after this.
		if n := busy.Counters().RxFrames; n != 2*burstFrames {
			t.Errorf("the busy port had %d frames carried in two turns, want %d", n, 2*burstFrames)
		}
		if n := rare.Counters().RxFrames; n != 1 {
			t.Errorf("%d frames of the newcomer were carried, want 1", n)
		}
		if n := out.Counters().TxFrames; n != 2*burstFrames+1 {
			t.Errorf("%d frames were sent, want %d", n, 2*burstFrames+1)
		}
	})
}
