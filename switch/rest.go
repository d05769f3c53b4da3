package vswitch

import (
	"time"

	"vswitch/switch/policy"
)

// A port whose host keeps sending what is dropped on arrival costs the worker as
// much as one whose frames are carried. So beyond these bounds the worker lets it
// rest: what it sends meanwhile waits in its device and, when that is full, ends
// there at its sender's expense. The neighbours have the worker's time. So it is with one that
// sends more than its rate, until half of what waits for the rate has left.
const (
	refusedPerSecond = 20000                                    // frames dropped on arrival
	refusedBurst     = 20000                                    // such frames at once, after a pause
	refusalTicks     = policy.TicksPerSecond / refusedPerSecond // that bring back one frame
)

// restraint is the bound of one port, a bucket of which the worker has all:
// the time, in ticks, when it will be full again.
type restraint int64

// charge counts n refused frames at time now and returns until when the port is to
// rest; a time that is over means not at all.
func (r *restraint) charge(now int64, n int) (until int64) {
	full := max(int64(*r), now) + int64(n)*refusalTicks
	*r = restraint(full)
	return full - refusedBurst*refusalTicks
}

// rests says whether p must rest after a burst of which w.refused frames were
// refused, and has it rest then. It stays marked as ready, so that the poller's
// word of more frames does not wake it.
func (w *worker) rests(p *Port) bool {
	now := w.clock()
	p.restUntil = max(p.restraint.charge(now, w.refused), w.shaping.pause)
	trusted := p.filter != nil && !w.failing // the host, which has others' traffic too
	w.refused, w.failing, w.fresh, w.shaping.pause = 0, false, false, 0
	if p.restUntil <= now || trusted {
		return false
	}
	p.ready = true
	w.resting = append(w.resting, p)
	return true
}

// rouse makes those ports ready again that have rested, and bounds the timeout of
// the wait for frames by the rest of the others.
func (w *worker) rouse(timeout time.Duration) time.Duration {
	w.fresh = false
	now, kept := w.clock(), w.resting[:0]
	for _, p := range w.resting {
		left := time.Duration((p.restUntil - now + policy.TicksPerNanosecond - 1) / policy.TicksPerNanosecond)
		switch {
		case left <= 0:
			w.turns.again(p)
			timeout = 0
			continue
		case timeout < 0 || left < timeout:
			timeout = left
		}
		kept = append(kept, p)
	}
	clear(w.resting[len(kept):])
	w.resting = kept
	return timeout
}
