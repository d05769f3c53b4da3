package vswitch

import (
	"container/heap"
	"time"

	"vswitch/internal/frame"
	"vswitch/switch/policy"
)

// A port with a rate is shaped, in each direction apart, as by tc-tbf(8): a frame that is
// within the rate passes at once, one that is beyond it waits for its turn in a queue, and one
// that would have to wait for longer than the rate's shaper allows is dropped. A super-frame
// that is larger than the burst is cut into its segments, each of which has a turn.
//
// The queue of what a port sends is its own worker's. It goes before everything else that the
// worker does with a frame: what waits counts as not read yet. Of what a port is sent each
// worker has a queue with what that worker's ports send there. The shaper gives each frame its
// turn when it comes, so that the queues of several workers together keep to the rate without
// knowing of each other.
//
// What waits is a copy, and bounded:
//   - at one worker for one port in one direction by queueBytes,
//   - at one worker for all by heldBytes, of which a port has no more than is left free, so that
//     many get equal shares (Choudhury and Hahne, Dynamic queue length thresholds, 1998).
const (
	queueBytes = 4 << 20
	heldBytes  = 64 << 20

	// minPause is the least that a worker sleeps for a frame's turn. What is due by then passes
	// together with it.
	minPause = 100 * time.Microsecond
)

// queue is what waits at one worker for one port's rate in one direction. A nil queue is empty.
type queue struct {
	port   *Port
	in     bool // sent by the port, else to it
	frames []waiting
	head   int   // of frames: the next; those before it have left
	turn   int64 // of the next, in ticks
	bytes  int   // that frames take
	index  int   // in the worker's heap; meaningless while it is empty
}

// waiting is a frame in a queue.
type waiting struct {
	turn int64 // in ticks
	from *Port // whose worker has queued it
	b    []byte
}

const (
	waitingSize = 64   // about what a place in a queue takes beside the frame's buffer
	keptPlaces  = 1024 // that an empty queue keeps
)

func (q *queue) empty() bool { return q == nil || len(q.frames) == 0 }

// push puts a frame behind the others, also where its turn is before theirs, as after a change
// of the rate.
func (q *queue) push(f waiting) {
	if q.empty() {
		q.turn = f.turn
	} else {
		f.turn = max(f.turn, q.frames[len(q.frames)-1].turn)
	}
	q.frames = append(q.frames, f)
}

// pop takes the first frame out of a queue that is not empty. The queue's place in the heap is
// to be settled then, and the frame forgotten once it is carried.
func (q *queue) pop() waiting {
	f := q.frames[q.head]
	q.frames[q.head] = waiting{}
	q.head++
	switch {
	case q.head == len(q.frames):
		q.frames, q.head = q.frames[:0], 0
		if cap(q.frames) > keptPlaces {
			q.frames = nil
		}
		return f
	case q.head >= len(q.frames)/2+BatchFrames: // so that it moves each frame once at most
		n := copy(q.frames, q.frames[q.head:])
		clear(q.frames[n:])
		q.frames, q.head = q.frames[:n], 0
	}
	q.turn = q.frames[q.head].turn
	return f
}

// shaping is what waits at one worker. The zero value is nothing.
type shaping struct {
	queues  queueHeap // those that are not empty
	bytes   int       // that they take
	buffers buffers
	over    int64 // how long, in ticks, a frame would have had to wait that was too much
	pause   int64 // until when, in ticks, the port of this burst is not to be read
}

// pacing is what became of a frame at a shaper.
type pacing uint8

const (
	passes pacing = iota // at once
	waits                // in the queue
	excess               // is to be dropped
)

// shape gives a frame its turn in q by rate, nil for one that is being lifted.
func (w *worker) shape(q *queue, rate *policy.Shaper, b []byte) pacing {
	now := w.clock()
	turn := now
	if rate != nil {
		if !rate.Fits(len(b) - frame.VNetHeaderLen) {
			if p, ok := w.cut(q, rate, b); ok {
				return p
			}
		}
		wait, ok := rate.Reserve(now, wireLen(b))
		if turn += wait; !ok {
			w.shaping.over = wait
			return excess
		}
	}
	if q.empty() && turn == now {
		return passes
	}
	if !w.hold(q, b, turn) {
		w.shaping.over = turn - now
		return excess
	}
	return waits
}

// wireLen is the bytes of a frame that count for a rate.
func wireLen(b []byte) int {
	if h, eth, ok := offload(b); ok {
		return h.WireLen(eth)
	}
	return 0
}

// cut is shape of a super-frame that is larger than the burst, by its segments, none of which
// passes before the worker's next round. It is false where b is none.
func (w *worker) cut(q *queue, rate *policy.Shaper, b []byte) (p pacing, ok bool) {
	h, eth, ok := offload(b)
	if !ok {
		return 0, false
	}
	segments, ok := frame.NewSegmenter(h, eth)
	if !ok {
		return 0, false
	}
	now := w.clock()
	for n := segments.Len(); n > 0; n = segments.Len() {
		c := w.nextSegment(&segments)
		wait, ok := rate.Reserve(now, n)
		ok = ok && w.hold(q, c, now+wait)
		w.copies = w.copies[:len(w.copies)-len(c)] // hold has a copy of its own
		if !ok {
			w.shaping.over = wait
			return excess, true // the rest of it
		}
	}
	return waits, true
}

// hold puts a copy of a frame into q, or returns false where there is no room.
func (w *worker) hold(q *queue, b []byte, turn int64) bool {
	s := &w.shaping
	size := bufferLen(len(b)) + waitingSize
	if q.bytes+size > min(queueBytes, heldBytes-s.bytes) {
		return false
	}
	c := s.buffers.take(len(b))
	copy(c, b)
	first := q.empty()
	q.push(waiting{turn, w.from, c})
	q.bytes += size
	s.bytes += size
	if first {
		heap.Push(&s.queues, q)
	}
	return true
}

// forget gives back what a frame takes that has left q.
func (s *shaping) forget(q *queue, f waiting) {
	size := cap(f.b) + waitingSize
	q.bytes -= size
	s.bytes -= size
	s.buffers.give(f.b)
}

// settle brings the heap in order after frames of q have left.
func (s *shaping) settle(q *queue) {
	if q.empty() {
		heap.Remove(&s.queues, q.index)
		return
	}
	heap.Fix(&s.queues, q.index)
}

// queueHeap is a heap of queues, the one whose turn is next first.
type queueHeap []*queue

func (h queueHeap) Len() int           { return len(h) }
func (h queueHeap) Less(i, j int) bool { return h[i].turn < h[j].turn }

func (h queueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements [heap.Interface].
func (h *queueHeap) Push(q any) {
	q.(*queue).index = len(*h)
	*h = append(*h, q.(*queue))
}

// Pop implements [heap.Interface].
func (h *queueHeap) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return q
}
