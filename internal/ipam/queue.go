package ipam

import (
	"encoding/binary"
	"net/netip"
)

// queue holds IPv4 addresses in the order they were released, each once. An address
// in the middle can leave when somebody requests it. The zero value is empty.
//
// It grows to as many addresses as the subnet has: it is a list whose links stand
// in a map, which takes a tenth of the memory of elements of their own.
type queue struct {
	links map[uint32]neighbours
	ends  neighbours // next is the oldest, previous the newest; both 0 when empty
}

// neighbours of an address in the queue. 0.0.0.0, which no subnet leases, is what
// stands before the first and behind the last.
type neighbours struct{ previous, next uint32 }

func queueKey(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}

// add puts addr, which must not be in the queue, at the end.
func (q *queue) add(addr netip.Addr) { q.insert(queueKey(addr), neighbours{previous: q.ends.previous}) }

// addFirst puts addr, which must not be in the queue, in front.
func (q *queue) addFirst(addr netip.Addr) { q.insert(queueKey(addr), neighbours{next: q.ends.next}) }

func (q *queue) insert(key uint32, at neighbours) {
	if q.links == nil {
		q.links = make(map[uint32]neighbours)
	}
	q.links[key] = at
	q.setNext(at.previous, key)
	q.setPrevious(at.next, key)
}

// setNext says that next follows the address of this key, or is the first.
func (q *queue) setNext(key, next uint32) {
	if key == 0 {
		q.ends.next = next
		return
	}
	n := q.links[key]
	n.next = next
	q.links[key] = n
}

// setPrevious says that the address of this key, or the end, follows previous.
func (q *queue) setPrevious(key, previous uint32) {
	if key == 0 {
		q.ends.previous = previous
		return
	}
	n := q.links[key]
	n.previous = previous
	q.links[key] = n
}

func (q *queue) contains(addr netip.Addr) bool {
	_, ok := q.links[queueKey(addr)]
	return ok
}

// first is the address that has been in the queue the longest.
func (q *queue) first() (netip.Addr, bool) {
	if q.ends.next == 0 {
		return netip.Addr{}, false
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], q.ends.next)
	return netip.AddrFrom4(b), true
}

// remove takes addr out, if it is there.
func (q *queue) remove(addr netip.Addr) {
	key := queueKey(addr)
	at, ok := q.links[key]
	if !ok {
		return
	}
	delete(q.links, key)
	q.setNext(at.previous, at.next)
	q.setPrevious(at.next, at.previous)
}
