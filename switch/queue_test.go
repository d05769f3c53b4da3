package vswitch

import (
	"encoding/binary"
	"testing"

	"vswitch/switch/policy"
	"vswitch/test/lab/seed"
)

// slow is a rate by which each frame but the first has to wait, and a second of them may.
var slow = policy.Rate{BitsPerSecond: 100_000, BurstBytes: 1}

// inWorker has a worker with ports that have slow rates run f.
func inWorker(t *testing.T, ports int, f func(w *worker, ports []*Port)) {
	t.Helper()
	_, list := newNullSwitchWith(t, ports, func(int) policy.Policy {
		return policy.Policy{FloodLimit: -1, RateIn: slow, RateOut: slow}
	})
	w := list[0].worker
	w.do(func() { f(w, list) })
}

// TestQueuesAgainstModel: under random operations frames leave each queue as they came, the
// queue whose turn is next is first, and bytes are counted as they are.
func TestQueuesAgainstModel(t *testing.T) {
	const ports, operations = 5, 20000
	r := seed.New(t)
	inWorker(t, ports, func(w *worker, list []*Port) {
		s := &w.shaping
		queues, model := make([]*queue, ports), make([][]uint64, ports)
		for i, p := range list {
			queues[i] = &queue{port: p}
		}
		turn := make([]int64, ports)
		for n := range uint64(operations) {
			i := r.IntN(ports)
			q := queues[i]
			if r.IntN(100) < 52 {
				b := binary.NativeEndian.AppendUint64(nil, n)
				turn[i] += r.Int64N(100)
				if !w.hold(q, append(b, make([]byte, r.IntN(3000))...), turn[i]) {
					t.Fatal("no room for a frame")
				}
				model[i] = append(model[i], n)
			} else if !q.empty() {
				f := q.pop()
				s.settle(q)
				if got := binary.NativeEndian.Uint64(f.b); got != model[i][0] {
					t.Fatalf("frame %d leaves, want %d", got, model[i][0])
				}
				model[i] = model[i][1:]
				s.forget(q, f)
			}
			bytes, first := 0, int64(-1)
			for j, q := range queues {
				bytes += q.bytes
				if q.empty() != (len(model[j]) == 0) {
					t.Fatalf("a queue has lost or made frames")
				}
				if !q.empty() && (first < 0 || q.turn < first) {
					first = q.turn
				}
			}
			if bytes != s.bytes || first >= 0 && s.queues[0].turn != first {
				t.Fatalf("%d bytes, want %d; or not the next queue first", s.bytes, bytes)
			}
		}
		w.abandonAll()
		if s.bytes != 0 || len(s.queues) != 0 {
			t.Errorf("%d bytes in %d queues are left", s.bytes, len(s.queues))
		}
	})
}

// TestMemoryOfQueuesIsBounded: one port has no more than its own bound, many together no more
// than the worker's, and each of them a share.
func TestMemoryOfQueuesIsBounded(t *testing.T) {
	const size = 1500
	fill := func(w *worker, q *queue) (n int) {
		b := make([]byte, size)
		for w.hold(q, b, 0) {
			n++
		}
		return n
	}
	inWorker(t, 1, func(w *worker, list []*Port) {
		if fill(w, &queue{port: list[0]}); w.shaping.bytes > queueBytes || w.shaping.bytes < queueBytes*9/10 {
			t.Errorf("one port has %d bytes, want %d", w.shaping.bytes, queueBytes)
		}
		w.abandonAll()
	})
	const ports = 200
	inWorker(t, ports, func(w *worker, list []*Port) {
		queues := make([]*queue, ports)
		for i, p := range list {
			queues[i] = &queue{port: p}
		}
		s := &w.shaping
		for range 20 { // as they empty, those that came first leave room to the others
			for _, q := range queues {
				for n := len(q.frames[q.head:]) / 2; n > 0; n-- {
					f := q.pop()
					s.settle(q)
					s.forget(q, f)
				}
			}
			for held := true; held; {
				held = false
				for _, q := range queues {
					held = w.hold(q, make([]byte, size), 0) || held
				}
			}
		}
		for i, q := range queues {
			if q.bytes < heldBytes/ports/2 {
				t.Errorf("queue %d of %d has %d bytes of %d", i, ports, q.bytes, heldBytes)
			}
		}
		if w.shaping.bytes > heldBytes {
			t.Errorf("all have %d bytes, want no more than %d", w.shaping.bytes, heldBytes)
		}
		w.abandonAll()
		if kept := w.shaping.buffers.kept; kept > keptBytes {
			t.Errorf("%d bytes are kept for later, want no more than %d", kept, keptBytes)
		}
	})
}

// TestWaitingFramesAllocNothing once their buffers are there.
func TestWaitingFramesAllocNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	inWorker(t, 2, func(w *worker, list []*Port) {
		d := load(list[0], 0, ipv4Frame(station(1), 0))
		const forever = 1 << 62
		allocs := testing.AllocsPerRun(100, func() {
			d.left = burstFrames
			w.burst(list[0])
			w.refused = 0
			for !list[0].ingress.empty() {
				w.releaseUntil(list[0].ingress, forever)
			}
			for q := list[1].egress[w.id]; !q.empty(); {
				w.releaseUntil(q, forever)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations in a burst of %d frames that wait, want none", allocs, burstFrames)
		}
		if c := list[0].Counters(); c.Forwarded == 0 || list[1].Counters().TxFrames == 0 {
			t.Errorf("counted %+v, want frames that have waited", c)
		}
	})
}
