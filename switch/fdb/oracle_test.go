package fdb

import (
	"errors"
	"math/rand/v2"
	"testing"

	"vswitch/test/lab/seed"
)

// oracle is the table as a map, by the same rules.
type oracle map[uint64]oracleEntry

type oracleEntry struct {
	kind   Kind
	place  Place
	locked bool
	tick   uint32
}

func (o oracle) learn(key uint64, place Place, now uint32) (elsewhere oracleEntry) {
	old := o[key]
	if old.kind == None || old.kind == Learned || old.kind == Own && !old.locked && old.place != place {
		o[key] = oracleEntry{kind: Learned, place: place, tick: now}
	}
	if old.kind != None && old.place != place {
		return old
	}
	return oracleEntry{}
}

func (o oracle) pin(key uint64, place Place, locked bool) error {
	if old := o[key]; old.kind == Own && old.place != place && (old.locked || !locked) {
		return ErrOwned
	}
	o[key] = oracleEntry{kind: Own, place: place, locked: locked}
	return nil
}

func (o oracle) unpin(key uint64, place Place, now uint32) {
	if old := o[key]; old.kind == Own && old.place == place {
		o[key] = oracleEntry{kind: Learned, place: Nowhere, tick: now}
	}
}

func (o oracle) setStatic(key uint64, place Place) error {
	switch old := o[key]; {
	case old.kind == Own && old.place != place:
		return ErrOwned
	case old.kind == Own:
		return nil
	}
	o[key] = oracleEntry{kind: Static, place: place}
	return nil
}

func (o oracle) setRemote(key uint64, host uint16, live bool) error {
	switch old := o[key]; {
	case old.kind == Own && live:
		return ErrOwned
	case old.kind == Static:
		return nil
	}
	o[key] = oracleEntry{kind: RemoteHost, place: Remote(host)}
	return nil
}

func entryOf(v Value) oracleEntry {
	if v == 0 {
		return oracleEntry{}
	}
	return oracleEntry{kind: v.Kind(), place: v.Place(), locked: v.Locked(), tick: v.Tick()}
}

// run is one sequence of random operations on a table and its oracle.
type run struct {
	*testing.T
	rng   *rand.Rand
	table *Table
	want  oracle
	now   uint32
}

func TestTableAgainstOracle(t *testing.T) {
	t.Parallel()
	rng := seed.New(t)
	for range 4 {
		r := &run{t, rng, newTestTable(100000), oracle{}, 1}
		r.table.Use(20)
		r.table.Use(Remote(5))
		const keys = 3000 // enough for growth from the least size
		for range 20000 {
			r.step(Key(uint64(r.rng.IntN(keys)+1), uint16(r.rng.IntN(3)+1)))
			maintain(r.table)
		}
		r.compare()
		check(t, r.table)
	}
}

// step does one operation on both and compares what they say.
func (r *run) step(key uint64) {
	r.Helper()
	place := Place(r.rng.IntN(20) + 1)
	if r.rng.IntN(10) == 0 {
		place = Remote(uint16(r.rng.IntN(5)))
	}
	same := func(what string, got, want error) {
		if !errors.Is(got, want) {
			r.Fatalf("%s of %#x at %d: %v, want %v", what, key, place, got, want)
		}
	}
	before := r.table.Version()
	was := r.want[key]
	switch op := r.rng.IntN(1000); {
	case op < 500:
		got, over := r.table.Learn(key, place, r.now, NoLimit)
		if want := r.want.learn(key, place, r.now); entryOf(got) != want || over {
			r.Fatalf("learning %#x at %d found it elsewhere as %+v, want %+v", key, place, entryOf(got), want)
		}
	case op < 800:
	case op < 840:
		r.now++
	case op < 900:
		locked := r.rng.IntN(2) == 0
		place &^= remoteBit
		place = max(place, 1)
		same("pin", r.table.Pin(key, place, locked), r.want.pin(key, place, locked))
	case op < 930:
		if r.rng.IntN(2) == 0 {
			place = was.place
		}
		r.table.Unpin(key, place, r.now)
		r.want.unpin(key, place, r.now)
	case op < 960:
		same("static", r.table.SetStatic(key, place), r.want.setStatic(key, place))
	case op < 985:
		live, host := r.rng.IntN(2) == 0, uint16(r.rng.IntN(5))
		same("remote", r.table.SetRemote(key, host, func(Place) bool { return live }), r.want.setRemote(key, host, live))
	case op < 993:
		r.table.mu.Lock()
		r.table.rebuildLocked(1 + r.rng.IntN(2))
		r.table.mu.Unlock()
	case op < 995:
		r.table.Release(place, r.now)
		for k, e := range r.want {
			switch {
			case e.place != place:
			case e.kind == Learned:
				r.want[k] = oracleEntry{kind: Learned, place: Nowhere, tick: e.tick}
			case e.kind == Own:
				r.want[k] = oracleEntry{kind: Learned, place: Nowhere, tick: r.now}
			default:
				delete(r.want, k)
			}
		}
	default:
		r.remove(key, place)
	}
	is := r.want[key]
	if got := entryOf(r.table.Lookup(key)); got != is {
		r.Fatalf("%#x is %+v, want %+v", key, got, is)
	}
	// A remembered route may be used as long as the version stands: so it may not where
	// what it was made from has moved or ended.
	if was.kind != None && (was.place != is.place || was.locked != is.locked) && r.table.Version() == before {
		r.Fatalf("%#x went from %+v to %+v and the version stayed", key, was, is)
	}
}

// remove ends entries by key, place, age or segment.
func (r *run) remove(key uint64, place Place) {
	r.Helper()
	matches := []func(k uint64, e oracleEntry) bool{
		func(k uint64, _ oracleEntry) bool { return k == key },
		func(_ uint64, e oracleEntry) bool { return e.place == place && e.kind == Learned },
		func(_ uint64, e oracleEntry) bool { return e.kind == Learned && r.now-e.tick > 100 },
		func(k uint64, e oracleEntry) bool { return KeySegment(k) == 3 && e.place < 3 },
	}
	match, n := matches[r.rng.IntN(len(matches))], 0
	for k, e := range r.want {
		if match(k, e) {
			delete(r.want, k)
			n++
		}
	}
	if got := r.table.Remove(func(k uint64, v Value) bool { return match(k, entryOf(v)) }); got != n {
		r.Fatalf("removed %d entries, want %d", got, n)
	}
}

// compare holds all entries against the oracle's.
func (r *run) compare() {
	r.Helper()
	listed := 0
	for segment := uint16(1); segment <= 3; segment++ {
		last := uint64(0)
		for _, e := range r.table.Entries(segment) {
			want := r.want[Key(e.MAC, segment)]
			if entryOf(e.Value) != want {
				r.Errorf("entry %x is %+v, want %+v", e.MAC, entryOf(e.Value), want)
			}
			if age := e.Age(r.now); want.kind == Learned && age != r.now-want.tick || want.kind != Learned && age != 0 {
				r.Errorf("entry %x %+v has age %d at %d", e.MAC, want, age, r.now)
			}
			if e.MAC <= last {
				r.Errorf("entry %x comes after %x", e.MAC, last)
			}
			last = e.MAC
			listed++
		}
	}
	if listed != len(r.want) {
		r.Errorf("%d entries listed, want %d", listed, len(r.want))
	}
}
