package fdb

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

type slot struct{ key, value atomic.Uint64 }

// swap replaces the value old by v, unless it has changed meanwhile.
func (s *slot) swap(old, v Value) bool {
	return s.value.CompareAndSwap(uint64(old), uint64(v))
}

// generation is one array of slots with its seed. What every lookup reads
// is apart from what learning a new address writes, so that the ones do not
// wait for the other's cache line.
type generation struct {
	slots []slot // a power of two of them, and a window behind the last
	mask  uint64
	seed  [2]uint64
	limit int64 // of used, beyond which a rebuild is due
	_     [cacheLines]byte

	used    atomic.Int64            // slots with a key
	live    atomic.Int64            // learned entries
	hand    atomic.Uint64           // where the next search for an entry to evict begins
	pressed atomic.Bool             // a rebuild was asked for
	owned   [numPlaces]atomic.Int32 // learned entries, by place
}

// slotsFor is the size of a generation in which entries are a quarter at most.
func slotsFor(entries int) int {
	if entries*4 <= minSlots {
		return minSlots
	}
	return 1 << bits.Len(uint(entries*4-1))
}

func newGeneration(slots int) *generation {
	g := &generation{
		slots: make([]slot, slots+probeWindow),
		mask:  uint64(slots - 1),
		limit: int64(slots) / 2,
	}
	var seed [16]byte
	rand.Read(seed[:]) // never fails
	g.seed = [2]uint64{binary.NativeEndian.Uint64(seed[:8]), binary.NativeEndian.Uint64(seed[8:]) | 1}
	return g
}

// window is the run of slots that may hold key. The hash folds a 128-bit
// product with a secret seed, so that nobody can choose addresses that collide;
// the second product, by the golden ratio, spreads what addresses with a stride
// have in common.
func (g *generation) window(key uint64) []slot {
	hi, lo := bits.Mul64(key^g.seed[0], g.seed[1])
	i := (hi ^ lo) * 0x9e3779b97f4a7c15 >> 32 & g.mask
	return g.slots[i : i+probeWindow : i+probeWindow]
}

// claim returns the slot of key, taking a free one if there is none yet, or nil.
func (g *generation) claim(key uint64) *slot {
	run := g.window(key)
	for i := range run {
		switch run[i].key.Load() {
		case key:
			return &run[i]
		case 0:
			if run[i].key.CompareAndSwap(0, key) {
				g.used.Add(1)
				return &run[i]
			}
			if run[i].key.Load() == key {
				return &run[i]
			}
		}
	}
	return nil
}

// find returns the slot of key, or nil.
func (g *generation) find(key uint64) *slot {
	run := g.window(key)
	for i := range run {
		switch run[i].key.Load() {
		case key:
			return &run[i]
		case 0:
			return nil
		}
	}
	return nil
}

func (g *generation) own(place Place) {
	g.owned[place].Add(1)
	g.live.Add(1)
}

func (g *generation) disown(place Place) {
	g.owned[place].Add(-1)
	g.live.Add(-1)
}

// most is the place that owns most learned entries, of the ports' up to ports and the
// remote hosts' up to hosts, 0 for none.
func (g *generation) most(ports, hosts uint32) Place {
	var most Place
	var count int32
	find := func(first, last uint32) {
		for p := first; p <= last; p++ {
			if n := g.owned[p].Load(); n > count {
				most, count = Place(p), n
			}
		}
	}
	find(0, ports)
	if hosts != 0 {
		find(remoteBit, hosts)
	}
	return most
}

// evict ends one learned entry of victim's. Where a bounded search finds none, it ends the
// next best one: of the place that owns most among those found that own least or more. It
// is false where there is no such entry.
func (g *generation) evict(victim Place, least int32) bool {
	var next *slot
	var nextValue Value
	size := uint64(len(g.slots))
	start := g.hand.Load()
	for i := start; i < start+min(size, evictionScan); i++ {
		s := &g.slots[i%size]
		v := Value(s.value.Load())
		if v.Kind() != Learned {
			continue
		}
		if v.Place() == victim {
			if s.end(g, v) {
				g.hand.Store(i + 1)
				return true
			}
		} else if n := g.owned[v.Place()].Load(); n >= least {
			next, nextValue, least = s, v, n
		}
	}
	g.hand.Store(start + min(size, evictionScan))
	return next != nil && next.end(g, nextValue)
}

// end ends the entry of s, if its value is still v.
func (s *slot) end(g *generation, v Value) bool {
	if !s.swap(v, 0) {
		return false
	}
	if v.Kind() == Learned {
		g.disown(v.Place())
	}
	return true
}
