package vswitch

import (
	"testing"

	"vswitch/internal/frame"
)

// superFrame is of 64 KiB.
func superFrame(dst, src frame.MAC) []byte {
	return append(rawFrame(dst, src, frame.EtherTypeIPv4), make([]byte, 1<<16-60)...)
}

// newTurnSwitch is a switch of three ports that may send frames of 64 KiB.
func newTurnSwitch(t *testing.T) (w *worker, busy, rare, out *Port) {
	_, ports := newNullSwitch(t, 3)
	for _, p := range ports {
		p.maxFrame = 1 << 17
	}
	return ports[0].worker, ports[0], ports[1], ports[2]
}

// A port that sends a frame now and then must not wait for more than one burst of
// a port that sends all the time, nor may it keep the other from its turn.
func TestNewcomerGoesBeforeTheBusyPort(t *testing.T) {
	w, busy, rare, out := newTurnSwitch(t)
	w.do(func() {
		load(busy, 1000, rawFrame(station(2), station(0), frame.EtherTypeIPv4))
		w.enlist([]uint32{busy.slot})
		w.turn()
		load(rare, 1, rawFrame(station(2), station(1), frame.EtherTypeIPv4))
		w.enlist([]uint32{rare.slot})
		w.turn()
		if n := rare.Counters().RxFrames; n != 1 {
			t.Errorf("%d frames of the newcomer were carried in the turn after it came, want 1", n)
		}
		w.turn()
		// The worker itself goes on with the busy port after this.
		if n := busy.Counters().RxFrames; n != 2*burstFrames {
			t.Errorf("the busy port had %d frames carried in two turns, want %d", n, 2*burstFrames)
		}
		if n := out.Counters().TxFrames; n != 2*burstFrames+1 {
			t.Errorf("%d frames were sent, want %d", n, 2*burstFrames+1)
		}
	})
}

// What a frame may have to wait for is a burst, which is bounded in bytes: how large the
// frames of the other are makes no difference.
func TestBurstOfSuperFramesIsShort(t *testing.T) {
	const most = 5 << 16 // a quantum, and the frame that exceeds it
	w, busy, _, _ := newTurnSwitch(t)
	w.do(func() {
		load(busy, 1000, superFrame(station(2), station(0)))
		w.enlist([]uint32{busy.slot})
		carried := uint64(0)
		for range 100 {
			w.turn()
			n := busy.Counters().RxBytes
			if n-carried > most {
				t.Fatalf("a turn carried %d bytes, want %d at most", n-carried, most)
			}
			carried = n
		}
		if carried < 100<<16 {
			t.Errorf("100 turns carried %d bytes, want a frame in each", carried)
		}
	})
}

// Two ports that send all the time have half of the worker each, also where one's frames
// are super-frames and the other's are small.
func TestTurnsShareTheWorkerByBytes(t *testing.T) {
	w, bulk, small, _ := newTurnSwitch(t)
	w.do(func() {
		load(bulk, 1<<20, superFrame(station(2), station(0)))
		load(small, 1<<20, rawFrame(station(2), station(1), frame.EtherTypeIPv4))
		w.enlist([]uint32{bulk.slot, small.slot})
		for range 1000 {
			w.turn()
		}
		cost := func(p *Port) float64 {
			c := p.Counters()
			return float64(c.RxBytes + c.RxFrames*frameCost)
		}
		if ratio := cost(bulk) / cost(small); ratio < 0.8 || ratio > 1.25 {
			t.Errorf("super-frames had %.2f of the worker's time that small frames had, want about 1: %+v %+v",
				ratio, bulk.Counters(), small.Counters())
		}
	})
}

// A port that becomes ready again and again, with a frame each time, goes first as long as it
// takes no more than others.
func TestNewcomersDoNotKeepTheBusyPortWaiting(t *testing.T) {
	w, busy, rare, _ := newTurnSwitch(t)
	w.do(func() {
		load(busy, 1<<20, superFrame(station(2), station(0)))
		w.enlist([]uint32{busy.slot})
		const turns = 2000
		for range turns {
			load(rare, 1, rawFrame(station(2), station(1), frame.EtherTypeIPv4))
			w.enlist([]uint32{rare.slot})
			w.turn()
		}
		took := rare.Counters().RxFrames * (burstCost + frameCost)
		if carried := busy.Counters().RxBytes; carried < took/2 {
			t.Errorf("the busy port had %d bytes carried beside %d of bursts of one frame, want as many", carried, took)
		}
		if n := rare.Counters().RxFrames; n < turns/2 {
			t.Errorf("%d of %d lone frames were carried, want most of them", n, turns)
		}
	})
}

// The worker makes way for the programs that send and receive once it has carried what there
// was of bulk traffic, and not for a few small frames.
func TestWorkerYieldsAfterBulkTraffic(t *testing.T) {
	w, p, _, _ := newTurnSwitch(t)
	poller := w.poller.(*nullPoller)
	drain := func(n int, b []byte) (yields int) {
		w.do(func() {
			before := poller.yields
			load(p, n, b)
			w.enlist([]uint32{p.slot})
			for !w.turns.idle() {
				w.turn()
			}
			yields = poller.yields - before
		})
		return yields
	}
	if n := drain(20, superFrame(station(2), station(0))); n != 1 {
		t.Errorf("the worker yielded %d times for 20 super-frames, want once at their end", n)
	}
	for range 1000 {
		if n := drain(2, rawFrame(station(2), station(0), frame.EtherTypeIPv4)); n != 0 {
			t.Fatalf("the worker yielded %d times after two small frames", n)
		}
	}
}

func TestPortQueue(t *testing.T) {
	var q portQueue
	list := make([]*Port, 5)
	for i := range list {
		list[i] = new(Port)
	}
	next := 0
	for i := range 10_000 { // three stay in it
		q.push(list[i%len(list)])
		if i < 3 {
			continue
		}
		if p := q.pop(); p != list[next%len(list)] {
			t.Fatalf("the port popped as number %d is not the one that was pushed", next)
		}
		next++
	}
	if cap(q.ports) > 16 {
		t.Errorf("a queue of 4 ports at most takes room for %d", cap(q.ports))
	}
	for !q.empty() {
		q.pop()
		next++
	}
	if next != 10_000 {
		t.Errorf("%d ports were popped of 10000", next)
	}
}
