package fdb

import "testing"

// TestOwnMovesDuringARebuild: a frame from elsewhere takes the address of a port without
// security after it was copied, and before the worker sees the copy.
func TestOwnMovesDuringARebuild(t *testing.T) {
	t.Parallel()
	key := Key(1, 1)
	var table *Table
	var old *generation
	table = New(100, func() {
		now := table.current.Swap(old) // a worker that has not seen the new one
		table.Learn(key, 5, 1, NoLimit)
		table.current.Store(now)
	})
	if err := table.Pin(key, 3, false); err != nil {
		t.Fatal(err)
	}
	table.Learn(Key(2, 1), 3, 0, NoLimit)
	old = table.current.Load()
	table.rebuildLocked(1)
	if v := table.Lookup(key); v.Kind() != Learned || v.Place() != 5 {
		t.Errorf("after the rebuild the address is %+v, want learned at 5", entryOf(v))
	}
	check(t, table)
}

// TestRebuildThatForgetsChangesTheVersion: an address that came at the capacity while the
// table was copied may find no room in the copy. A worker has to learn it again, and so
// must not go on with what it remembers.
func TestRebuildThatForgetsChangesTheVersion(t *testing.T) {
	t.Parallel()
	const capacity, tries = 4, 100
	forgotten := 0
	for range tries { // each with another seed, and so another order of the slots
		var table *Table
		var old *generation
		added := Key(1000, 1)
		before := uint64(0)
		table = New(capacity, func() {
			now := table.current.Swap(old)
			table.Learn(added, 1, 1, NoLimit)
			if table.Lookup(added) == 0 {
				t.Error("the address was not learned")
			}
			before = table.Version()
			table.current.Store(now)
		})
		for i := range uint64(capacity) {
			learnAt(table, Key(i+1, 1), 1, 0)
		}
		old = table.current.Load()
		table.rebuildLocked(1)
		if table.Lookup(added) == 0 {
			forgotten++
			if table.Version() == before {
				t.Fatal("an address was forgotten, and the version stayed")
			}
		}
		check(t, table)
	}
	if forgotten == 0 {
		t.Errorf("no address was forgotten in %d rebuilds: the test shows nothing", tries)
	}
}

// TestCopyWithoutRoom: only what is learned again may be left out of a copy.
func TestCopyWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fill func(t *Table, key uint64) error
		want bool
	}{
		"learned": {func(t *Table, key uint64) error {
			t.Learn(key, 1, 0, NoLimit)
			return nil
		}, true},
		"own":    {func(t *Table, key uint64) error { return t.Pin(key, 1, false) }, false},
		"locked": {func(t *Table, key uint64) error { return t.Pin(key, 1, true) }, false},
		"static": {func(t *Table, key uint64) error { return t.SetStatic(key, 1) }, false},
		"remote": {func(t *Table, key uint64) error {
			return t.SetRemote(key, 1, func(Place) bool { return false })
		}, false},
	} {
		table := newTestTable(1000)
		for i := range uint64(probeWindow + 1) { // one more than one window holds
			if err := test.fill(table, Key(i+1, 1)); err != nil {
				t.Fatal(err)
			}
		}
		old, g := table.current.Load(), newGeneration(1)
		if got := g.copyFrom(old, make([]Value, len(old.slots))); got != test.want {
			t.Errorf("%s: copied all that must stay: %t, want %t", name, got, test.want)
		}
		if name == "learned" && g.live.Load() != probeWindow {
			t.Errorf("%d learned entries were copied, want %d", g.live.Load(), probeWindow)
		}
	}
}
