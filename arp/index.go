package arp

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync/atomic"
)

// index finds the entries of a table by their address. It is a hash table with open
// addressing and linear probing. Any number of readers may call find and all while
// one writer changes it. The hash needs no secret: containers cause lookups of any
// address, but only the control side adds one.
type index struct {
	slots []atomic.Pointer[entry] // a power of two, at most half of them in use
	used  int                     // slots that are not nil; the writer's
	live  int                     // those of them that hold a binding; the writer's
}

// key is an address as netip.Addr.As16 has it, the same for an IPv4-mapped address
// as for IPv4. The zero key, of :: and of the zero Addr, is never bound.
type key [16]byte

// keyOf returns the key of ip, and false for an address with a zone, which is never
// bound.
func keyOf(ip netip.Addr) (k key, ok bool) { return ip.As16(), ip.Zone() == "" }

// hash mixes the halves of the key by a multiplication. The constants are odd and
// without a pattern.
func (k *key) hash() uint64 {
	hi, lo := binary.BigEndian.Uint64(k[:8]), binary.BigEndian.Uint64(k[8:])
	hi, lo = bits.Mul64(hi^0x9e3779b97f4a7c15, lo^0xd1b54a32d192ed03)
	return hi ^ lo
}

// leastSlots is the number of slots of the smallest index.
const leastSlots = 8

// removed takes the place of an entry that is gone, so that those behind it are
// still found.
var removed entry

// newIndex returns an index for a number of entries and as many more.
func newIndex(entries int) *index {
	n := leastSlots
	for n < 4*entries {
		n *= 2
	}
	return &index{slots: make([]atomic.Pointer[entry], n)}
}

// find returns the entry of k with its slot, or nil with the unused slot where k
// belongs. A reader must not load the slot again: it may hold another entry by then.
func (x *index) find(k key) (*atomic.Pointer[entry], *entry) {
	mask := uint64(len(x.slots) - 1)
	for i := k.hash(); ; i++ {
		slot := &x.slots[i&mask]
		if e := slot.Load(); e == nil || e.key == k && e != &removed {
			return slot, e
		}
	}
}

// all calls yield with each entry, in no order.
func (x *index) all(yield func(*entry) bool) {
	for i := range x.slots {
		if e := x.slots[i].Load(); e != nil && e != &removed && !yield(e) {
			return
		}
	}
}

// put adds e, in the place of an entry with its key. It returns x, or the index that
// takes the place of x because x is full.
func (x *index) put(e *entry) *index {
	slot, old := x.find(e.key)
	if old == nil {
		if 2*(x.used+1) > len(x.slots) {
			x = x.rebuilt()
			slot, _ = x.find(e.key)
		}
		x.used++
		x.live++
	}
	slot.Store(e)
	return x
}

// rebuilt returns an index with the entries of x and room for as many more.
func (x *index) rebuilt() *index {
	y := newIndex(x.live + 1)
	x.all(func(e *entry) bool {
		slot, _ := y.find(e.key)
		slot.Store(e)
		return true
	})
	y.used, y.live = x.live, x.live
	return y
}

// remove takes the entry of k out, if there is one.
func (x *index) remove(k key) {
	if slot, e := x.find(k); e != nil {
		slot.Store(&removed)
		x.live--
	}
}
