// Package turns queues what many senders want of one receiver, each of whom gets its turn: what one
// sends in plenty waits behind its own, and not in the way of others. It knows nothing of what it
// queues.
package turns

import (
	"sync"
	"sync/atomic"
)

// Queue holds what waits, in an order in which all who have sent something come one after the
// other. It is safe for concurrent use.
type Queue[K comparable, T any] struct {
	most  int
	ready chan struct{} // holds one while something waits, unless it is being taken

	n atomic.Int64 // what waits; written with mu held

	mu      sync.Mutex
	waiting map[K]*sender[K, T] // those of whom something waits; guarded by mu
	turns   []*sender[K, T]     // the same in the order of their turns; guarded by mu
}

// sender is one of whom something waits.
type sender[K comparable, T any] struct {
	key   K
	items []T
}

// New makes an empty queue in which less than most may wait.
func New[K comparable, T any](most int) *Queue[K, T] {
	return &Queue[K, T]{most: most, ready: make(chan struct{}, 1), waiting: make(map[K]*sender[K, T])}
}

// Put adds what a sender has sent, and returns false if it is not queued: as much of its sender
// waits already as there is room left. So one sender can have half of the queue, n of them n/(n+1),
// and there is room for another always (dynamic thresholds: Choudhury and Hahne, IEEE/ACM
// Transactions on Networking 6(2), 1998).
func (q *Queue[K, T]) Put(key K, item T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.waiting[key]
	own := 0
	if s != nil {
		own = len(s.items)
	}
	if int64(own) >= int64(q.most)-q.n.Load() {
		return false
	}
	if s == nil {
		s = &sender[K, T]{key: key}
		q.waiting[key] = s
		q.turns = append(q.turns, s)
	}
	s.items = append(s.items, item)
	q.n.Add(1)
	q.signal()
	return true
}

// Ready returns a channel from which something can be received while something waits. Who does so
// calls Take.
func (q *Queue[K, T]) Ready() <-chan struct{} { return q.ready }

// Take takes the first of the sender whose turn it is; false: nothing waits.
func (q *Queue[K, T]) Take() (item T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n.Load() == 0 {
		return item, false
	}
	s := q.turns[0]
	q.turns[0] = nil
	q.turns = q.turns[1:]
	item = s.items[0]
	clear(s.items[:1])
	s.items = s.items[1:]
	if len(s.items) > 0 {
		q.turns = append(q.turns, s)
	} else {
		delete(q.waiting, s.key)
	}
	if q.n.Add(-1) > 0 {
		q.signal()
	}
	return item, true
}

// Len returns how much waits.
func (q *Queue[K, T]) Len() int { return int(q.n.Load()) }

// signal says that something waits, unless that is said.
func (q *Queue[K, T]) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
