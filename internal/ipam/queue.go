package ipam

import (
	"iter"
	"net/netip"

	"github.com/tidwall/btree"
)

// queue holds addresses in the order they were released, each once. An address in
// the middle can leave when somebody requests it. The zero value is empty.
//
// Addresses are as netip.Addr.As16 has them: without pointers, many of them cost nothing of the
// garbage collector's time.
type queue struct {
	order       btree.Map[int64, [16]byte] // by turn
	turns       map[[16]byte]int64
	first, last int64 // turns; those to come are beyond
}

// len returns the number of addresses in the queue.
func (q *queue) len() int { return len(q.turns) }

// add puts addr, which must not be in the queue, at the end.
func (q *queue) add(addr netip.Addr) {
	q.last++
	q.put(addr, q.last)
}

// addFirst puts addr, which must not be in the queue, in front.
func (q *queue) addFirst(addr netip.Addr) {
	q.first--
	q.put(addr, q.first)
}

func (q *queue) put(addr netip.Addr, turn int64) {
	if q.turns == nil {
		q.turns = make(map[[16]byte]int64)
	}
	q.turns[addr.As16()] = turn
	q.order.Set(turn, addr.As16())
}

func (q *queue) contains(addr netip.Addr) bool {
	_, ok := q.turns[addr.As16()]
	return ok
}

// all iterates over the queue, from the address that has been in it the longest. It must not
// change meanwhile.
func (q *queue) all() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		q.order.Scan(func(_ int64, key [16]byte) bool { return yield(netip.AddrFrom16(key).Unmap()) })
	}
}

// remove takes addr out, if it is there.
func (q *queue) remove(addr netip.Addr) {
	key := addr.As16()
	if turn, ok := q.turns[key]; ok {
		delete(q.turns, key)
		q.order.Delete(turn)
	}
}
