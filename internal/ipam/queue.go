package ipam

import (
	"iter"
	"net/netip"
)

// queue holds addresses in the order they were released, each once. An address in
// the middle can leave when somebody requests it. The zero value is empty.
//
// It is a list whose links stand in a map without pointers, which takes less memory
// than elements of their own and nothing of the garbage collector's time.
type queue struct {
	links map[queueKey]neighbours
	ends  neighbours // next is the oldest, previous the newest; both zero when empty
}

// queueKey is an address as netip.Addr.As16 has it. The zero key, which is that of ::
// and so of no lease, stands before the first and behind the last.
type queueKey [16]byte

// neighbours are those of an address in the queue.
type neighbours struct{ previous, next queueKey }

// len returns the number of addresses in the queue.
func (q *queue) len() int { return len(q.links) }

// add puts addr, which must not be in the queue, at the end.
func (q *queue) add(addr netip.Addr) {
	q.insert(addr.As16(), neighbours{previous: q.ends.previous})
}

// addFirst puts addr, which must not be in the queue, in front.
func (q *queue) addFirst(addr netip.Addr) { q.insert(addr.As16(), neighbours{next: q.ends.next}) }

func (q *queue) insert(key queueKey, at neighbours) {
	if q.links == nil {
		q.links = make(map[queueKey]neighbours)
	}
	q.links[key] = at
	q.setNext(at.previous, key)
	q.setPrevious(at.next, key)
}

// setNext makes next follow the address of this key, or be the first.
func (q *queue) setNext(key, next queueKey) {
	if key == (queueKey{}) {
		q.ends.next = next
		return
	}
	n := q.links[key]
	n.next = next
	q.links[key] = n
}

// setPrevious makes the address of this key, or the end, follow previous.
func (q *queue) setPrevious(key, previous queueKey) {
	if key == (queueKey{}) {
		q.ends.previous = previous
		return
	}
	n := q.links[key]
	n.previous = previous
	q.links[key] = n
}

func (q *queue) contains(addr netip.Addr) bool {
	_, ok := q.links[addr.As16()]
	return ok
}

// all iterates over the queue, from the address that has been in it the longest. It must not
// change meanwhile.
func (q *queue) all() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for key := q.ends.next; key != (queueKey{}); key = q.links[key].next {
			if !yield(netip.AddrFrom16(key).Unmap()) {
				return
			}
		}
	}
}

// remove takes addr out, if it is there.
func (q *queue) remove(addr netip.Addr) {
	key := queueKey(addr.As16())
	at, ok := q.links[key]
	if !ok {
		return
	}
	delete(q.links, key)
	q.setNext(at.previous, at.next)
	q.setPrevious(at.next, at.previous)
}
