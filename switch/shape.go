package vswitch

import (
	"container/heap"
	"time"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// take carries frames that were read from p, as far as they are within its rate, and returns
// the size in bytes of all.
func (w *worker) take(p *Port, frames [][]byte) (size int) {
	rate := p.guard.Load().RateIn
	if rate == nil && p.ingress.empty() {
		return w.carry(p, frames)
	}
	return w.shapeIngress(p, rate, frames)
}

// shapeIngress is take for a port with a rate, or with frames that wait for one.
func (w *worker) shapeIngress(p *Port, rate *policy.Shaper, frames [][]byte) (size int) {
	if p.ingress == nil {
		p.ingress = &queue{port: p, in: true}
	}
	within := 0 // once one frame has to wait, so have those behind it
	for i, b := range frames {
		size += len(b)
		switch w.shape(p.ingress, rate, b) {
		case passes:
			within = i + 1
		case excess:
			w.excess(p, b)
			w.shaping.pause = w.clock() + w.shaping.over/2
		}
	}
	w.carry(p, frames[:within])
	return size
}

// excess drops a frame that was read from p and is beyond its rate.
func (w *worker) excess(p *Port, b []byte) {
	w.tally.rxFrames++
	w.tally.rxBytes += uint64(max(len(b)-frame.VNetHeaderLen, 0))
	w.discard(p, drop.RateLimitIn, b)
}

// shapeEgress shapes a frame to out, whose rate is bounded, and reports whether it may pass at
// once. If not, it waits or was dropped.
func (w *worker) shapeEgress(out *Port, b []byte) bool {
	q, rate := out.egress[w.id], out.guard.Load().RateOut
	if q == nil {
		q = &queue{port: out}
		out.egress[w.id] = q
	}
	switch w.shape(q, rate, b) {
	case passes:
		return true
	case excess:
		w.undelivered(out, drop.RateLimitOut, b)
	}
	return false
}

// release lets those frames pass whose turn has come, and bounds the timeout of the wait for
// frames by the turn of the next.
func (w *worker) release(timeout time.Duration) time.Duration {
	w.fresh = false
	now, s := w.clock(), &w.shaping
	for len(s.queues) > 0 && s.queues[0].turn <= now {
		w.releaseUntil(s.queues[0], now)
	}
	w.fresh = false // it may have taken its time
	if len(s.queues) == 0 {
		return timeout
	}
	left := max(time.Duration((s.queues[0].turn-now)/policy.TicksPerNanosecond), minPause)
	if timeout < 0 || left < timeout {
		return left
	}
	return timeout
}

// releaseUntil lets up to BatchFrames frames of a queue pass whose turn is no later than now.
func (w *worker) releaseUntil(q *queue, now int64) {
	w.observer = w.observerRef.Load()
	if q.in {
		w.releaseIngress(q, now)
	} else {
		w.releaseEgress(q, now)
	}
	w.flush(q.port)
}

// releaseIngress carries frames that the queue's port has sent, as if they were read just now.
func (w *worker) releaseIngress(q *queue, now int64) {
	s, p, n := &w.shaping, q.port, 0
	for n < BatchFrames && !q.empty() && q.turn <= now {
		f := q.pop()
		// Who answers in place may need the room of a whole buffer.
		w.frames[n] = w.frames[n][:copy(w.frames[n][:bufferSize], f.b)]
		s.forget(q, f)
		n++
	}
	s.settle(q)
	w.from = p
	w.carry(p, w.frames[:n])
	p.restraint.charge(w.clock(), w.refused)
	w.refused = 0
}

// releaseEgress sends frames to the queue's port.
func (w *worker) releaseEgress(q *queue, now int64) {
	s := &w.shaping
	var sent [BatchFrames]waiting
	n := 0
	for n < BatchFrames && !q.empty() && q.turn <= now {
		f := q.pop()
		if f.from != w.from {
			w.send() // what becomes of those before is shown as theirs
			w.from = f.from
		}
		w.deliver(q.port, f.b)
		sent[n] = f
		n++
	}
	s.settle(q)
	w.send()
	for _, f := range sent[:n] {
		s.forget(q, f)
	}
}

// reshape gives the frames that wait for p's rate turns by the one that it has now. Without
// one they pass at once.
func (w *worker) reshape(p *Port) {
	g := p.guard.Load()
	w.fresh = false
	w.reshapeQueue(p.egress[w.id], g.RateOut)
	if w == p.worker {
		w.reshapeQueue(p.ingress, g.RateIn)
	}
}

func (w *worker) reshapeQueue(q *queue, rate *policy.Shaper) {
	if q.empty() {
		return
	}
	now := w.clock()
	for _, f := range w.remove(q) {
		f.turn = now
		if rate != nil {
			wait, ok := rate.Reserve(now, wireLen(f.b))
			if !ok {
				w.lose(q, f)
				continue
			}
			f.turn += wait
		}
		q.push(f)
	}
	w.flush(q.port)
	if !q.empty() {
		heap.Push(&w.shaping.queues, q)
	}
	for rate == nil && !q.empty() {
		w.releaseUntil(q, now)
	}
}

// abandon drops what waits for p's rate at this worker.
func (w *worker) abandon(p *Port) {
	w.abandonQueue(p.egress[w.id])
	if w == p.worker {
		w.abandonQueue(p.ingress)
	}
}

// abandonAll drops what waits at this worker.
func (w *worker) abandonAll() {
	for len(w.shaping.queues) > 0 {
		w.abandonQueue(w.shaping.queues[0])
	}
}

func (w *worker) abandonQueue(q *queue) {
	if q.empty() {
		return
	}
	for _, f := range w.remove(q) {
		w.lose(q, f)
	}
	w.flush(q.port)
}

// remove takes all frames out of a queue that is not empty. They count among its bytes until
// they are lost, or pushed and left.
func (w *worker) remove(q *queue) []waiting {
	heap.Remove(&w.shaping.queues, q.index)
	frames := q.frames[q.head:]
	q.frames, q.head = nil, 0
	return frames
}

// lose drops a frame that remove has taken out of q.
func (w *worker) lose(q *queue, f waiting) {
	w.observer, w.from = w.observerRef.Load(), f.from
	if q.in {
		w.excess(q.port, f.b)
		w.refused = 0 // the port is not to be throttled for it
	} else {
		w.undelivered(q.port, drop.RateLimitOut, f.b)
	}
	w.shaping.forget(q, f)
}
