package fdb

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Limits of the table.
const (
	minSlots     = 1 << 12                // slots of an empty table
	probeWindow  = 64                     // slots that a key may be in, one after another
	evictionScan = minSlots + probeWindow // slots searched for an entry to evict
)

// cacheLines is how far apart two things must be that different threads write:
// processors fetch lines of 64 bytes in pairs.
const cacheLines = 128

// Errors that callers tell apart.
var (
	// ErrFull says that the table has no room for an entry that must stay.
	ErrFull = errors.New("the forwarding table has no room for another entry that stays")
	// ErrOwned says that the address is the own address of another port.
	ErrOwned = errors.New("the address is another port's own")
)

// Table is the forwarding database of all segments: open addressing over pairs of
// 64-bit words, a key ([Key]) and a [Value]. A zero key says that the slot was never
// used, a zero value that there is no entry.
//
// A key is written once into a slot, by compare-and-swap, and stays there as long as the
// generation lives: a reader that finds its key can trust the value behind it, without a
// lock or a second look. An entry ends by a zero value. The slots of ended entries come
// back when the live ones are copied into a new generation, with a new secret seed, and
// the pointer is swapped (rebuild.go).
//
// Learned entries are bounded by the capacity. At the bound, a place that has its share of
// it, the same for all, gives up an entry of its own for a new one, and another place takes
// the room of an entry of the place that owns most: a port which floods the table with
// addresses only loses its own (as in OVS, lib/mac-learning.h). Workers that learn at the
// same moment may exceed the bound by one each, and a rebuild for its time.
//
// A worker may use again what Lookup said, and leave out a Learn that changed nothing, as
// long as [Table.Version] is what it was before both. New learned entries leave the version
// alone, so that a flood of new addresses costs the others nothing.
type Table struct {
	current  atomic.Pointer[generation]
	capacity int64
	pressure chan struct{} // holds a token when a rebuild is due
	settle   func()        // returns when every Learn that was under way has ended
	version  atomic.Uint64 // changes after an entry has ended or moved, and with the tick; never 0
	_        [cacheLines]byte

	evicted atomic.Uint64 // entries that gave way to others
	// highest is the highest place in use so far among the ports and among the
	// remote hosts.
	highest [2]atomic.Uint32

	mu sync.Mutex
}

// NoLimit is the limit of [Table.Learn] for a place that may own any number of entries.
const NoLimit = 1<<31 - 1

// New makes a table for capacity learned entries. settle must return once every Lookup and
// Learn has ended that was under way when it was called.
func New(capacity int, settle func()) *Table {
	t := &Table{capacity: int64(capacity), pressure: make(chan struct{}, 1), settle: settle}
	t.current.Store(newGeneration(minSlots))
	t.version.Store(1)
	return t
}

// Version is a number that changes after an entry has ended or moved.
func (t *Table) Version() uint64 { return t.version.Load() }

// Bump changes the version, so that no worker uses again what it remembers.
func (t *Table) Bump() { t.version.Add(1) }

// Evicted is how many learned entries have given way to others.
func (t *Table) Evicted() uint64 { return t.evicted.Load() }

// Use says that place is in use from now on; it precedes the first Learn with it.
func (t *Table) Use(place Place) {
	h := &t.highest[place>>16]
	for {
		old := h.Load()
		if uint32(place) <= old || h.CompareAndSwap(old, uint32(place)) {
			return
		}
	}
}

// Lookup returns the entry of key; the zero Value if there is none.
func (t *Table) Lookup(key uint64) Value {
	run := t.current.Load().window(key)
	for i := range run {
		switch run[i].key.Load() {
		case key:
			return Value(run[i].value.Load())
		case 0:
			return 0
		}
	}
	return 0
}

// Learn notes that key was seen at place at the tick now. place may own limit learned
// entries. A known key costs two loads, a new tick one store more.
//
// elsewhere is the entry that key had at another place, the zero Value without one: a
// learned one has moved from there, unless over, and so has an own one that is not locked;
// others have not. over says
// that the key is not learned, because of the limit.
func (t *Table) Learn(key uint64, place Place, now uint32, limit int32) (elsewhere Value, over bool) {
	g := t.current.Load()
	run := g.window(key)
	for i := range run {
		switch run[i].key.Load() {
		case key:
			v := Value(run[i].value.Load())
			if v == value(Learned, place, now) || v&^lockedBit == value(Own, place, 0) {
				return 0, false // by far the most
			}
			return t.update(g, &run[i], v, place, now, limit)
		case 0:
			return t.insert(g, run[i:], key, place, now, limit)
		}
	}
	t.press(g)
	return 0, false
}

// update refreshes, moves or revives an entry whose value was v. Losing the race against
// another worker or the control side is fine: theirs is as new.
func (t *Table) update(g *generation, s *slot, v Value, place Place, now uint32, limit int32) (Value, bool) {
	learned := v.Kind() == Learned
	switch {
	case v != 0 && v.Place() == place:
		if learned {
			s.swap(v, value(Learned, place, now))
		}
		return 0, false
	case v != 0 && !v.moves():
		return v, false
	}
	if g.owned[place].Load() >= limit {
		return v, true
	}
	if !learned && !t.makeRoom(g, place) {
		return v, false
	}
	if !s.swap(v, value(Learned, place, now)) {
		return v, false
	}
	if learned {
		g.disown(v.Place())
	}
	if v != 0 {
		t.version.Add(1)
	}
	g.own(place)
	return v, false
}

// insert puts a new key into the first free slot of run.
func (t *Table) insert(g *generation, run []slot, key uint64, place Place, now uint32, limit int32) (Value, bool) {
	if g.owned[place].Load() >= limit {
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
			return t.update(g, &run[i], Value(run[i].value.Load()), place, now, limit)
		}
	}
	t.press(g)
	return 0, false
}

// makeRoom says whether one more learned entry of place may come, after evicting another
// if the table is at its capacity: one of its own where it has its share already, and one
// of the place that owns most where not. If all have their share at most, no one evicts
// another's.
func (t *Table) makeRoom(g *generation, place Place) bool {
	if g.live.Load() < t.capacity {
		return true
	}
	ports, hosts := t.highest[0].Load(), t.highest[1].Load()
	places := int64(ports)
	if hosts != 0 {
		places += int64(hosts - remoteBit + 1)
	}
	share := int32(max(1, t.capacity/max(1, places)))
	victim, least := place, int32(NoLimit)
	if g.owned[place].Load() < share {
		victim, least = g.most(ports, hosts), share
	}
	if !g.evict(victim, least) {
		return false
	}
	t.evicted.Add(1)
	t.version.Add(1)
	return true
}
