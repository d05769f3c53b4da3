package vswitch

import (
	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// Verdict is what the switch has done with a frame.
type Verdict uint8

// The verdicts.
const (
	Forwarded Verdict = iota // sent to one port
	Flooded                  // sent to all other ports of the segment that it may reach
	Local                    // consumed or answered by the switch itself
	Dropped                  // for Event.Reason
)

// String returns the verdict's name.
func (v Verdict) String() string {
	return [...]string{"forwarded", "flooded", "local", "dropped"}[v&3]
}

// Event is one verdict. Each frame that is read ends in exactly one whose reason is none or
// [drop.Reason.Ingress]. A copy that could not be delivered ends in one more, with a reason
// that is not.
type Event struct {
	// In is where the frame came from; nil for one of the switch's own. Of an answer that
	// could not be delivered it is the port that had asked.
	In      *Port
	Out     *Port // Forwarded: where it went; Dropped on the way out: where it should have
	Verdict Verdict
	Reason  drop.Reason // drop.None but for Dropped
	// Frame is the virtio-net header and the frame. It belongs to the switch, which
	// overwrites it once Observe has returned.
	Frame []byte
}

// Observer sees every verdict, in the worker that has made it: what it takes its time for,
// the worker's ports wait for. It is called by several workers at once.
type Observer interface {
	Observe(e *Event)
}

// observerRef is an observer behind one pointer.
type observerRef struct{ Observer }

// SetObserver has o see every verdict from now on; nil: nobody does. When it returns, the
// observer before is not called any more.
func (s *Switch) SetObserver(o Observer) {
	var ref *observerRef
	if o != nil {
		ref = &observerRef{o}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observer.Store(ref)
	s.barrier()
}

// The rest of this file is the only place where frames are counted as forwarded, flooded,
// local or dropped, and the only one that calls the observer.

// forward sends a frame that came from the worker's port to one other.
func (w *worker) forward(out *Port, b []byte) {
	w.emit(out, b, 1)
}

// countForwarded counts n frames that go to out, 1 or 0. It is emit's, so that the packet
// path's most common way is one call.
func (w *worker) countForwarded(out *Port, b []byte, n uint64) {
	w.tally.forwarded += n
	if w.observer != nil {
		w.observeForwarded(out, b, n)
	}
}

// observeForwarded is apart, so that countForwarded is inlined.
//
//go:noinline
func (w *worker) observeForwarded(out *Port, b []byte, n uint64) {
	if n != 0 {
		w.observe(Event{In: w.from, Out: out, Verdict: Forwarded, Reason: drop.None, Frame: b})
	}
}

// flooded counts a frame from p that is on its way to all who may have it.
func (w *worker) flooded(p *Port, b []byte) {
	w.stripe(p)[flooded].Add(1)
	if w.observer != nil {
		w.observe(Event{In: p, Verdict: Flooded, Reason: drop.None, Frame: b})
	}
}

// local counts a frame from p that the switch itself has consumed or answered.
func (w *worker) local(p *Port, b []byte) {
	w.stripe(p)[local].Add(1)
	if w.observer != nil {
		w.observe(Event{In: p, Verdict: Local, Reason: drop.None, Frame: b})
	}
}

// discard drops a frame that was read from p in this burst.
func (w *worker) discard(p *Port, r drop.Reason, b []byte) {
	w.stripe(p).dropped(r)
	w.refused++
	if w.observer != nil {
		w.observe(Event{In: p, Verdict: Dropped, Reason: r, Frame: b})
	}
}

// refuse drops a frame from p that the worker has parsed, notes what would let it pass, and
// reports it where the reason is a violation.
func (w *worker) refuse(p *Port, r drop.Reason, b []byte) {
	w.discard(p, r, b)
	w.note(p, r)
	if w.reporter.call != nil && r.Violation() {
		w.report(p, r)
	}
}

// undelivered drops a copy of a frame that was meant for out.
func (w *worker) undelivered(out *Port, r drop.Reason, b []byte) {
	w.stripe(out).dropped(r)
	if w.observer != nil {
		w.observe(Event{In: w.from, Out: out, Verdict: Dropped, Reason: r, Frame: b})
	}
}

// answered counts an answer that the responder's port gw sends, as if read from there:
// to out, to all for nil, or dropped for a reason.
func (w *worker) answered(gw, out *Port, r drop.Reason, b []byte) {
	s, e := w.stripe(gw), Event{In: gw, Out: out, Verdict: Forwarded, Reason: r, Frame: b}
	s[rxFrames].Add(1)
	s[rxBytes].Add(uint64(max(len(b)-frame.VNetHeaderLen, 0)))
	switch {
	case r != drop.None:
		s.dropped(r)
		e.Verdict = Dropped
	case out == nil:
		s[flooded].Add(1)
		e.Verdict = Flooded
	default:
		s[forwarded].Add(1)
	}
	if w.observer != nil {
		w.observe(e)
	}
}

// observe shows e to the observer.
func (w *worker) observe(e Event) {
	w.event = e
	w.observer.Observe(&w.event)
	w.event = Event{}
}
