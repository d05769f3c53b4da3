package vswitch

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTableUnderRace has learners, readers and the control side at work at the
// same time. The key says which ports it may be learned at, so that a reader
// sees whether what it finds was ever true.
func TestTableUnderRace(t *testing.T) {
	t.Parallel()
	const keys, capacity, learners, rounds = 3000, 2000, 4, 6000
	table := newTestTable(capacity)
	table.highest.Store(100)
	placeOf := func(n uint64, second bool) uint32 {
		p := uint32(n%40) + 1
		if second {
			p += 50
		}
		return p
	}
	key := func(n uint64) uint64 { return entryKey(n+1, uint16(n%5)+1) }
	var workers, control sync.WaitGroup
	var stop atomic.Bool
	for id := range uint64(learners) {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(id, 1))
			for i := range rounds {
				n := rng.Uint64N(keys)
				table.learn(key(n), placeOf(n, rng.IntN(4) == 0), uint32(i/100), noLimit)
				n = rng.Uint64N(keys)
				if got := table.lookup(key(n)); got != 0 && got != placeOf(n, false) && got != placeOf(n, true) {
					t.Errorf("key %d is at port %d, where it was never learned", n, got)
				}
			}
		})
	}
	control.Go(func() {
		rng := rand.New(rand.NewPCG(9, 9))
		for !stop.Load() {
			n := rng.Uint64N(keys)
			if err := table.setStatic(key(n), placeOf(n, true), 0); err != nil {
				t.Error(err)
			}
			table.mu.Lock()
			table.rebuildLocked(1)
			table.mu.Unlock()
			if table.lookup(key(n)) != placeOf(n, true) {
				t.Errorf("the static entry of key %d was lost in a rebuild", n)
			}
			table.remove(func(k, _ uint64) bool { return k == key(n) })
			table.remove(func(_, v uint64) bool { return !valueStatic(v) && valuePort(v)%10 == uint32(n%10) })
			table.entries(1, 0, func(uint32) *Port { return &Port{} })
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
	table.highest.Store(learners)
	var workers sync.WaitGroup
	for id := range uint64(learners) {
		workers.Go(func() {
			for i := range uint64(3000) {
				table.learn(entryKey(id<<32|i+1, 1), uint32(id)+1, 0, noLimit)
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
	for id := range uint32(4) {
		workers.Go(func() {
			for i := range uint64(2000) {
				learnt := entryKey(i+1, 1)
				table.learn(learnt, id+1, 0, noLimit)
				if got := table.lookup(learnt); got == 0 || got > 4 {
					t.Errorf("address %d is at port %d", i, got)
				}
			}
		})
	}
	workers.Wait()
	check(t, table)
}
