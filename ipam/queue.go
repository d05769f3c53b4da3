package ipam

import (
	"container/list"
	"net/netip"
)

// queue holds addresses in the order they were released, each once. An address
// in the middle can leave when somebody requests it. The zero value is empty.
type queue struct {
	order list.List // of netip.Addr, oldest in front
	place map[netip.Addr]*list.Element
}

// add puts addr, which must not be in the queue, at the end.
func (q *queue) add(addr netip.Addr) { q.put(addr, q.order.PushBack(addr)) }

// addFirst puts addr, which must not be in the queue, in front.
func (q *queue) addFirst(addr netip.Addr) { q.put(addr, q.order.PushFront(addr)) }

func (q *queue) put(addr netip.Addr, e *list.Element) {
	if q.place == nil {
		q.place = make(map[netip.Addr]*list.Element)
	}
	q.place[addr] = e
}

func (q *queue) contains(addr netip.Addr) bool {
	_, ok := q.place[addr]
	return ok
}

// first is the address that has been in the queue the longest.
func (q *queue) first() (netip.Addr, bool) {
	e := q.order.Front()
	if e == nil {
		return netip.Addr{}, false
	}
	addr, ok := e.Value.(netip.Addr)
	return addr, ok
}

// remove takes addr out, if it is there.
func (q *queue) remove(addr netip.Addr) {
	if e, ok := q.place[addr]; ok {
		q.order.Remove(e)
		delete(q.place, addr)
	}
}
