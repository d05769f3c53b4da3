package vswitch

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"vswitch/frame"
)

// Limits of the table.
const (
	maxPorts     = 8192                   // port slots; slot 0 is never used
	minSlots     = 1 << 12                // slots of an empty table
	probeWindow  = 64                     // slots that a key may stand in, one after another
	evictionScan = minSlots + probeWindow // slots looked at for an entry to evict
)

// cacheLines is how far apart two things must stand that different threads
// write: processors fetch lines of 64 bytes in pairs.
const cacheLines = 128

// errTableFull says that the forwarding table has no room for a static entry.
var errTableFull = errors.New("the forwarding table has no room for another static entry")

// table is the forwarding database of all segments: open addressing over pairs
// of 64-bit words.
//
//	key    MAC (48 bits) | segment (16 bits); zero: the slot was never used
//	value  tick (32 bits) | static (1 bit) | port slot (31 bits); zero: no entry
//
// A key is written once into a slot, by compare-and-swap, and stays there as
// long as the generation lives: a reader that finds its key can trust the value
// behind it, without a lock or a second look. An entry ends by a zero value. The
// slots of ended entries come back when the control side copies the live ones
// into a new generation, with a new secret seed, and swaps the pointer (rebuild.go).
//
// Dynamic entries are bounded by capacity. At the bound, a port that has its share
// of it, the same for all, gives up an entry of its own for a new one, and another
// port takes the place of an entry of the port that owns most: a port which floods
// the table with addresses only loses its own (after OVS, lib/mac-learning.h).
// Workers that learn at the same moment may exceed it by one each, and a rebuild
// for its time.
//
// A worker may use again what lookup said, and leave out a learn that changed
// nothing, as long as version is what it was before both. New entries leave it
// alone, so that a flood of new addresses costs the others nothing.
//
// lookup and learn may be called by any worker at any time. All else takes mu.
type table struct {
	current  atomic.Pointer[generation]
	capacity int64
	pressure chan struct{} // holds a token when a rebuild is due
	settle   func()        // returns when every learn that was under way has ended
	version  atomic.Uint64 // changes after an entry has ended or moved, and with the tick; never 0
	_        [cacheLines]byte

	evicted atomic.Uint64 // entries that gave way to others
	refused atomic.Uint64 // addresses not learned for want of room
	highest atomic.Uint32 // the highest port slot ever in use

	mu sync.Mutex
}

const staticBit = 1 << 31

func entryKey(mac uint64, segment uint16) uint64 { return mac<<16 | uint64(segment) }

func entryValue(port uint32, static bool, tick uint32) uint64 {
	v := uint64(tick)<<32 | uint64(port)
	if static {
		v |= staticBit
	}
	return v
}

func valuePort(v uint64) uint32 { return uint32(v) &^ staticBit }
func valueStatic(v uint64) bool { return v&staticBit != 0 }
func valueTick(v uint64) uint32 { return uint32(v >> 32) }

func newTable(capacity int, settle func()) *table {
	t := &table{capacity: int64(capacity), pressure: make(chan struct{}, 1), settle: settle}
	t.current.Store(newGeneration(minSlots))
	t.version.Store(1)
	return t
}

// lookup returns the port slot behind key, or 0.
func (t *table) lookup(key uint64) uint32 {
	run := t.current.Load().window(key)
	for i := range run {
		switch run[i].key.Load() {
		case key:
			return valuePort(run[i].value.Load())
		case 0:
			return 0
		}
	}
	return 0
}

// learn notes that key was seen at port, which may own limit dynamic entries. A
// known key costs two loads, a new tick one store more. Where the key stood at
// another port, from is its slot: the key has moved from there, unless that entry
// is static. over says that the key is not learned, because of the limit.
func (t *table) learn(key uint64, port, now uint32, limit int32) (from uint32, over bool) {
	g := t.current.Load()
	run := g.window(key)
	for i := range run {
		switch run[i].key.Load() {
		case key:
			v := run[i].value.Load()
			if v == entryValue(port, false, now) {
				return 0, false
			}
			return t.update(g, &run[i], v, port, now, limit)
		case 0:
			return t.insert(g, run[i:], key, port, now, limit)
		}
	}
	t.refused.Add(1)
	t.press(g)
	return 0, false
}

// update refreshes, moves or revives an entry whose value was v. Losing the
// race against another worker or the control side is fine: theirs is as new.
func (t *table) update(g *generation, s *slot, v uint64, port, now uint32, limit int32) (from uint32, over bool) {
	old := valuePort(v) // 0 without an entry
	if old == port {
		if !valueStatic(v) {
			s.value.CompareAndSwap(v, entryValue(port, false, now))
		}
		return 0, false
	}
	if valueStatic(v) {
		return old, false
	}
	if g.owned[port].Load() >= limit {
		return old, true
	}
	if v == 0 && !t.makeRoom(g, port) {
		t.refused.Add(1)
		return 0, false
	}
	if !s.value.CompareAndSwap(v, entryValue(port, false, now)) {
		return old, false
	}
	if v != 0 {
		g.disown(old)
		t.version.Add(1)
	}
	g.own(port)
	return old, false
}

// insert puts a new key into the first free slot of run.
func (t *table) insert(g *generation, run []slot, key uint64, port, now uint32, limit int32) (from uint32, over bool) {
	if g.owned[port].Load() >= limit {
		return 0, true // before it takes a slot
	}
	for i := range run {
		k := run[i].key.Load()
		if k == 0 {
			if run[i].key.CompareAndSwap(0, key) {
				if g.used.Add(1) > g.limit {
					t.press(g)
				}
				k = key
			} else {
				k = run[i].key.Load()
			}
		}
		if k == key {
			return t.update(g, &run[i], run[i].value.Load(), port, now, limit)
		}
	}
	t.refused.Add(1)
	t.press(g)
	return 0, false
}

// makeRoom says whether one more dynamic entry of port may come, after evicting
// another if the table is at its capacity: one of its own where it has its share
// already, and one of the port that owns most where not. If all have their share
// at most, no one evicts another's.
func (t *table) makeRoom(g *generation, port uint32) bool {
	if g.live.Load() < t.capacity {
		return true
	}
	highest := t.highest.Load()
	share := int32(max(1, t.capacity/int64(max(1, highest))))
	victim, least := port, int32(noLimit)
	if g.owned[port].Load() < share {
		victim, least = g.most(highest), share
	}
	if !g.evict(victim, least) {
		return false
	}
	t.evicted.Add(1)
	t.version.Add(1)
	return true
}

// setStatic makes key stand at port until it is removed.
func (t *table) setStatic(key uint64, port, now uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range 4 {
		g := t.current.Load()
		if s := g.claim(key); s != nil {
			if old := s.value.Swap(entryValue(port, true, now)); old != 0 && !valueStatic(old) {
				g.disown(valuePort(old))
			}
			t.version.Add(1)
			return nil
		}
		t.rebuildLocked(2)
	}
	return errTableFull
}

// remove ends every entry that match says so of, and returns how many.
func (t *table) remove(match func(key, value uint64) bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, n := t.current.Load(), 0
	for i := range g.slots {
		s := &g.slots[i]
		for {
			v := s.value.Load()
			if v == 0 || !match(s.key.Load(), v) {
				break
			}
			if s.value.CompareAndSwap(v, 0) {
				if !valueStatic(v) {
					g.disown(valuePort(v))
				}
				n++
				break
			}
		}
	}
	if n > 0 {
		t.version.Add(1)
	}
	return n
}

// age is for how many seconds the dynamic entry behind v has seen no frame: 0
// where a worker has seen one in a later second than now.
func age(now uint32, v uint64) uint32 { return uint32(max(0, int32(now-valueTick(v)))) }

// Entry is one address of the forwarding table.
type Entry struct {
	MAC    frame.MAC
	Port   *Port
	Static bool
	Age    uint32 // seconds since a frame last came from it; 0 for a static entry
}

// entries lists a segment's entries, sorted by address.
func (t *table) entries(segment uint16, now uint32, port func(uint32) *Port) []Entry {
	g := t.current.Load()
	var list []Entry
	for i := range g.slots {
		key, v := g.slots[i].key.Load(), g.slots[i].value.Load()
		if v == 0 || uint16(key) != segment {
			continue
		}
		p := port(valuePort(v))
		if p == nil {
			continue
		}
		e := Entry{MAC: frame.MACFromUint64(key >> 16), Port: p, Static: valueStatic(v)}
		if !e.Static {
			e.Age = age(now, v)
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.MAC.Uint64(), b.MAC.Uint64()) })
	return list
}
