package fdb

import (
	"errors"
	"testing"
)

func TestOwnEntriesAreNotBoundedOrEvicted(t *testing.T) {
	t.Parallel()
	table := newTestTable(10)
	for i := range uint64(1000) {
		if err := table.Pin(Key(i+1, 1), Place(i+1), true); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(5000) {
		learnAt(table, Key(1<<40+i, 1), 7, 0)
		maintain(table)
	}
	for i := range uint64(1000) {
		if v := table.Lookup(Key(i+1, 1)); v.Kind() != Own || v.Place() != Place(i+1) || !v.Locked() {
			t.Fatalf("own entry %d is %+v after a flood of addresses", i, entryOf(v))
		}
	}
	check(t, table)
}

func TestLearningCannotTakeWhatStays(t *testing.T) {
	t.Parallel()
	table := newTestTable(10)
	key := Key(1, 1)
	for name, set := range map[string]func() error{
		"own":    func() error { return table.Pin(key, 3, true) },
		"static": func() error { return table.SetStatic(key, 3) },
		"remote": func() error { return table.SetRemote(key, 3, func(Place) bool { return false }) },
	} {
		if err := set(); err != nil {
			t.Fatal(err)
		}
		want := table.Lookup(key)
		if got, over := table.Learn(key, 5, 9, 0); got != want || over {
			t.Errorf("%s: learned from elsewhere: %v over %t, want the entry %v", name, got, over, want)
		}
		if got := table.Lookup(key); got != want {
			t.Errorf("%s: the entry is %v after a frame from elsewhere, want %v", name, got, want)
		}
		table.Remove(func(uint64, Value) bool { return true })
	}
	check(t, table)
}

// TestRemovedPortIsNotUnknown: what is sent to a port that was removed must find an entry,
// for an address without one is flooded; and the address must be free for others.
func TestRemovedPortIsNotUnknown(t *testing.T) {
	t.Parallel()
	table := newTestTable(10)
	key := Key(1, 1)
	if err := table.Pin(key, 3, true); err != nil {
		t.Fatal(err)
	}
	table.Unpin(key, 4, 5) // another port's business
	if v := table.Lookup(key); v.Kind() != Own {
		t.Errorf("unpinned by another port: %+v", entryOf(v))
	}
	table.Unpin(key, 3, 5)
	if v := table.Lookup(key); v == 0 || v.Place() != Nowhere || v.Kind() != Learned || v.Age(8) != 3 {
		t.Errorf("the entry of a removed port is %+v, want one at nowhere of age 3", entryOf(v))
	}
	if got, _ := table.Learn(key, 9, 6, NoLimit); got.Place() != Nowhere {
		t.Errorf("moved from %v, want nowhere", got.Place())
	}
	if v := table.Lookup(key); v.Place() != 9 {
		t.Errorf("seen at 9, the address is at %d", v.Place())
	}
	check(t, table)
}

func TestPinTakesALearnedAddress(t *testing.T) {
	t.Parallel()
	table := newTestTable(10)
	key := Key(1, 1)
	table.Learn(key, 4, 0, NoLimit)
	if err := table.Pin(key, 3, false); err != nil {
		t.Fatal(err)
	}
	if err := table.Pin(key, 4, false); !errors.Is(err, ErrOwned) {
		t.Errorf("pinned twice: %v, want ErrOwned", err)
	}
	if err := table.SetStatic(key, 4); !errors.Is(err, ErrOwned) {
		t.Errorf("static over another's own: %v, want ErrOwned", err)
	}
	if err := table.SetRemote(key, 1, func(p Place) bool { return p == 3 }); !errors.Is(err, ErrOwned) {
		t.Errorf("remote over a living port's own: %v, want ErrOwned", err)
	}
	if err := table.SetRemote(key, 1, func(Place) bool { return false }); err != nil {
		t.Errorf("remote over a lost port's own: %v", err)
	}
	if v := table.Lookup(key); !v.Place().IsRemote() || v.Place().Host() != 1 {
		t.Errorf("the address is at %v, want remote host 1", v.Place())
	}
	check(t, table)
}

// TestOwnThatIsNotLockedMoves, as over a bridge.
func TestOwnThatIsNotLockedMoves(t *testing.T) {
	t.Parallel()
	table := newTestTable(10)
	key := Key(1, 1)
	if err := table.Pin(key, 3, false); err != nil {
		t.Fatal(err)
	}
	before := table.Version()
	if got, _ := table.Learn(key, 5, 9, NoLimit); got.Kind() != Own || got.Place() != 3 {
		t.Errorf("moved from %+v, want the own entry at 3", entryOf(got))
	}
	if v := table.Lookup(key); v.Kind() != Learned || v.Place() != 5 || table.Version() == before {
		t.Errorf("seen elsewhere, the address is %+v, want learned at 5 and another version", entryOf(v))
	}
	check(t, table)
}

func TestLearnedAtRemoteHostsAreShared(t *testing.T) {
	t.Parallel()
	table := newTestTable(100)
	for i := range uint64(50) {
		learnAt(table, Key(i+1, 1), 1, 0)
	}
	for i := range uint64(1000) { // a flood from a remote host
		learnAt(table, Key(1<<40+i, 1), Remote(7), 0)
	}
	for i := range uint64(50) {
		if table.Lookup(Key(i+1, 1)).Place() != 1 {
			t.Fatalf("address %d of the port gave way to a remote host's flood", i)
		}
	}
	check(t, table)
}

// TestOwnThatMovesTakesRoom: as an entry that ages it counts, and another gives way to it.
func TestOwnThatMovesTakesRoom(t *testing.T) {
	t.Parallel()
	const capacity = 10
	table := newTestTable(capacity)
	for i := range uint64(capacity) {
		if err := table.Pin(Key(i+1, 1), 1, false); err != nil {
			t.Fatal(err)
		}
		learnAt(table, Key(1<<40+i, 1), 2, 0)
	}
	for i := range uint64(capacity) {
		learnAt(table, Key(i+1, 1), 3, 0)
		if got := table.Lookup(Key(i+1, 1)).Place(); got != 3 {
			t.Errorf("own address %d was used at 3, and is at %d", i, got)
		}
		if live := table.current.Load().live.Load(); live != capacity {
			t.Fatalf("%d learned entries after %d moves, want %d", live, i+1, capacity)
		}
	}
	check(t, table)
}

// TestRemoteHostsShareTheCapacity with the ports, each as one place, from their first
// announcement on.
func TestRemoteHostsShareTheCapacity(t *testing.T) {
	t.Parallel()
	const few = 20 // less than a third of the capacity
	table := newTestTable(100)
	if err := table.SetRemote(Key(1<<41, 1), 0, func(Place) bool { return false }); err != nil {
		t.Fatal(err)
	}
	learnFew := func(place Place) {
		t.Helper()
		for i := range uint64(few) {
			learnAt(table, Key(uint64(place)<<8+i, 1), place, 0)
		}
	}
	expectFew := func(place Place) {
		t.Helper()
		for i := range uint64(few) {
			if got := table.Lookup(Key(uint64(place)<<8+i, 1)).Place(); got != place {
				t.Fatalf("address %d of %d is at %d, though another place has more", i, place, got)
			}
		}
	}
	learnFew(1)
	for i := range uint64(1000) {
		table.Learn(Key(1<<40+i, 1), Remote(0), 0, NoLimit)
	}
	expectFew(1)
	learnFew(2)
	expectFew(1)
	expectFew(2)
	check(t, table)
}
