package fdb

import (
	"sync"
	"sync/atomic"
	"testing"

	"vswitch/test/lab/seed"
)

// TestTableUnderRace has learners, readers and the control side at work at the
// same time. The key says which ports it may be learned at, so that a reader
// sees whether what it finds was ever true.
func TestTableUnderRace(t *testing.T) {
	t.Parallel()
	const keys, capacity, learners, rounds = 3000, 2000, 4, 6000
	table := newTestTable(capacity)
	table.Use(100)
	placeOf := func(n uint64, second bool) Place {
		p := Place(n%40) + 1
		if second {
			p += 50
		}
		return p
	}
	key := func(n uint64) uint64 { return Key(n+1, uint16(n%5)+1) }
	var workers, control sync.WaitGroup
	var stop atomic.Bool
	for range learners {
		rng := seed.New(t)
		workers.Go(func() {
			for i := range rounds {
				n := rng.Uint64N(keys)
				table.Learn(key(n), placeOf(n, rng.IntN(4) == 0), uint32(i/100), NoLimit)
				n = rng.Uint64N(keys)
				if got := table.Lookup(key(n)).Place(); got != 0 && got != placeOf(n, false) && got != placeOf(n, true) {
					t.Errorf("key %d is at port %d, where it was never learned", n, got)
				}
			}
		})
	}
	rng := seed.New(t)
	control.Go(func() {
		for !stop.Load() {
			n := rng.Uint64N(keys)
			if err := table.SetStatic(key(n), placeOf(n, true)); err != nil {
				t.Error(err)
			}
			table.mu.Lock()
			table.rebuildLocked(1)
			table.mu.Unlock()
			if table.Lookup(key(n)).Place() != placeOf(n, true) {
				t.Errorf("the static entry of key %d was lost in a rebuild", n)
			}
			table.Remove(func(k uint64, _ Value) bool { return k == key(n) })
			table.Remove(func(_ uint64, v Value) bool { return v.Kind() == Learned && v.Place()%10 == Place(n%10) })
			table.Entries(1)
		}
	})
	workers.Wait()
	stop.Store(true)
	control.Wait()
	check(t, table)
}

// TestTableCapacityUnderRace: at the bound, every learner may find the same last
// place free, and no more.
func TestTableCapacityUnderRace(t *testing.T) {
	t.Parallel()
	const capacity, learners = 500, 4
	table := newTestTable(capacity)
	table.Use(learners)
	var workers sync.WaitGroup
	for id := range uint64(learners) {
		workers.Go(func() {
			for i := range uint64(3000) {
				table.Learn(Key(id<<32|i+1, 1), Place(id)+1, 0, NoLimit)
				if live := table.current.Load().live.Load(); live > capacity+learners {
					t.Errorf("%d entries at a capacity of %d with %d learners", live, capacity, learners)
				}
			}
		})
	}
	workers.Wait()
	check(t, table)
}

// TestTableSameKeyUnderRace: all learn the same new addresses at the same time,
// and none may end in two slots.
func TestTableSameKeyUnderRace(t *testing.T) {
	t.Parallel()
	table := newTestTable(10000)
	var workers sync.WaitGroup
	for id := range Place(4) {
		workers.Go(func() {
			for i := range uint64(2000) {
				learnt := Key(i+1, 1)
				table.Learn(learnt, id+1, 0, NoLimit)
				if got := table.Lookup(learnt).Place(); got == 0 || got > 4 {
					t.Errorf("address %d is at port %d", i, got)
				}
			}
		})
	}
	workers.Wait()
	check(t, table)
}

// TestOwnEntryThatMovesDuringARebuild: a worker may make a learned entry of an own one after
// it was copied. Own entries are not counted, so none may be counted off.
func TestOwnEntryThatMovesDuringARebuild(t *testing.T) {
	t.Parallel()
	table := newTestTable(100)
	table.Use(1)
	table.Use(2)
	key := Key(1, 1)
	if err := table.Pin(key, 1, false); err != nil {
		t.Fatal(err)
	}
	old := table.current.Load()
	table.settle = func() { // a worker that still has the old generation
		s := old.find(key)
		table.update(old, s, Value(s.value.Load()), 2, 1, NoLimit)
	}
	table.mu.Lock()
	table.rebuildLocked(1)
	table.mu.Unlock()
	if v := table.Lookup(key); v.Kind() != Learned || v.Place() != 2 {
		t.Errorf("the entry is of kind %d at place %d, want learned at 2", v.Kind(), v.Place())
	}
	check(t, table)
}
