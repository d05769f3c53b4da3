package fdb

import (
	"testing"

	"vswitch/test/lab/seed"
)

// newTestTable is a table that no worker uses.
func newTestTable(capacity int) *Table { return New(capacity, func() {}) }

// learnAt learns as a port of the switch does, whose slot the table has seen.
func learnAt(t *Table, key uint64, port Place, now uint32) {
	t.Use(port)
	t.Learn(key, port, now, NoLimit)
}

// check holds the table's own counters against what its slots hold.
func check(tb testing.TB, t *Table) {
	tb.Helper()
	g := t.current.Load()
	var used, live int64
	owned := map[Place]int32{}
	seen := map[uint64]bool{}
	for i := range g.slots {
		key, v := g.slots[i].key.Load(), Value(g.slots[i].value.Load())
		if key == 0 {
			if v != 0 {
				tb.Errorf("slot %d has value %#x without a key", i, v)
			}
			continue
		}
		if seen[key] {
			tb.Errorf("key %#x stands in two slots", key)
		}
		seen[key] = true
		used++
		if v.Kind() == Learned {
			live++
			owned[v.Place()]++
		}
	}
	if g.used.Load() != used || g.live.Load() != live {
		tb.Errorf("counted %d used and %d live, the slots hold %d and %d", g.used.Load(), g.live.Load(), used, live)
	}
	for p := range g.owned {
		if got := g.owned[p].Load(); got != owned[Place(p)] {
			tb.Errorf("port %d: counted %d entries, the slots hold %d", p, got, owned[Place(p)])
		}
	}
}

// maintain does what the switch's maintenance does when the table asks for it.
func maintain(t *Table) {
	select {
	case <-t.pressure:
		t.Rebuild()
	default:
	}
}

func TestTableFloodEvictsOnlyTheFlooder(t *testing.T) {
	t.Parallel()
	const capacity = 4096
	table := newTestTable(capacity)
	const quiet, flooder, late = 1, 2, 3
	for i := range uint64(1000) {
		learnAt(table, Key(0x020000000000+i, 1), quiet, 0)
	}
	if err := table.SetStatic(Key(0x060000000000, 1), 4); err != nil {
		t.Fatal(err)
	}
	rng := seed.New(t)
	for i := range 200000 {
		learnAt(table, Key(rng.Uint64()>>18|1<<44, 1), flooder, 0)
		if i%500 == 0 {
			maintain(table)
		}
	}
	for i := range uint64(1000) {
		if got := table.Lookup(Key(0x020000000000+i, 1)).Place(); got != quiet {
			t.Fatalf("address %d of the quiet port is at %d: the flood has evicted it", i, got)
		}
	}
	if got := table.Lookup(Key(0x060000000000, 1)).Place(); got != 4 {
		t.Errorf("the static entry is at %d after the flood, want 4", got)
	}
	for i := range uint64(1000) {
		key := Key(0x040000000000+i, 1)
		learnAt(table, key, late, 0)
		maintain(table)
		if table.Lookup(key).Place() != late {
			t.Fatalf("address %d of a port that came late was not learned", i)
		}
	}
	if live := table.current.Load().live.Load(); live != capacity {
		t.Errorf("%d entries, want the capacity of %d", live, capacity)
	}
	if slots := len(table.current.Load().slots); slots > 8*capacity+probeWindow {
		t.Errorf("the flood made the table grow to %d slots for %d entries", slots, capacity)
	}
	check(t, table)
}

// TestTableSharesCapacity fills a table with a few addresses of each of many
// ports, so that those of the port that owns most are hard to find.
func TestTableSharesCapacity(t *testing.T) {
	t.Parallel()
	const capacity, ports = 16384, 4090
	const most = ports + 1
	table := newTestTable(capacity)
	for i := range uint64(4 * ports) {
		learnAt(table, Key(i+1, 1), Place(i%ports)+1, 0)
		maintain(table)
	}
	next := uint64(1) << 40
	learnNext := func(port Place) bool {
		next++
		learnAt(table, Key(next, 1), port, 0)
		return table.Lookup(Key(next, 1)).Place() == port
	}
	for table.current.Load().live.Load() < capacity {
		learnNext(most)
	}
	maintain(table)
	for range 500 {
		learnNext(most)
	}
	for i := range uint64(4 * ports) {
		if table.Lookup(Key(i+1, 1)).Place() != Place(i%ports)+1 {
			t.Fatalf("address %d of a port with four gave way to one of a port with more", i)
		}
	}
	for port := Place(most + 1); port < most+20; port++ {
		for i := range 3 {
			if !learnNext(port) {
				t.Fatalf("address %d of a port that came late was not learned", i)
			}
		}
	}
	if live := table.current.Load().live.Load(); live != capacity {
		t.Errorf("%d entries, want %d", live, capacity)
	}
	check(t, table)
}

func TestTableKeepsToSmallCapacity(t *testing.T) {
	t.Parallel()
	table := newTestTable(1)
	for i := range uint64(1000) {
		key := Key(i+1, 1)
		learnAt(table, key, Place(i%3)+1, 0)
		maintain(table)
		if table.Lookup(key).Place() == 0 {
			t.Fatalf("address %d was not learned", i)
		}
	}
	if live := table.current.Load().live.Load(); live != 1 {
		t.Errorf("%d entries, want 1", live)
	}
	check(t, table)
}

// TestTableKeepsNoSlotForWhatIsBeyondALimit, or who sends from ever new addresses
// would use up the slots, and have the table rebuilt all the time.
func TestTableKeepsNoSlotForWhatIsBeyondALimit(t *testing.T) {
	t.Parallel()
	table := newTestTable(1000)
	for key := range uint64(5000) {
		table.Learn(key+1, 1, 1, 3)
	}
	check(t, table)
	if g := table.current.Load(); g.used.Load() != 3 || g.pressed.Load() {
		t.Errorf("%d slots are in use, rebuild asked for: %t; want 3 slots and no rebuild", g.used.Load(), g.pressed.Load())
	}
}

func TestTableGrows(t *testing.T) {
	t.Parallel()
	table := newTestTable(defaultCapacity)
	for i := range uint64(20000) {
		key := Key(0x0242ac110000+i, uint16(i%7)+1)
		learnAt(table, key, Place(i%100)+1, 0)
		maintain(table)
		if table.Lookup(key).Place() == 0 {
			t.Fatalf("address %d was not learned", i)
		}
	}
	for i := range uint64(20000) {
		if got := table.Lookup(Key(0x0242ac110000+i, uint16(i%7)+1)).Place(); got != Place(i%100)+1 {
			t.Fatalf("address %d is at %d after growth, want %d", i, got, i%100+1)
		}
	}
	check(t, table)
}

// TestTableRebuildsOnlyWhenAsked: many askers make one rebuild, and a rebuild
// leaves room for as many new addresses as there are entries.
func TestTableRebuildsOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	const capacity = 2000
	table := newTestTable(capacity)
	generations, last := 0, table.current.Load()
	const addresses = 50000
	for i := range uint64(addresses) {
		learnAt(table, Key(i+1, 1), 1, 0)
		maintain(table)
		if g := table.current.Load(); g != last {
			generations, last = generations+1, g
		}
	}
	if limit := addresses/capacity + 3; generations > limit {
		t.Errorf("%d rebuilds for %d addresses at a capacity of %d, want %d at most", generations, addresses, capacity, limit)
	}
	g := table.current.Load()
	table.Rebuild()
	if table.current.Load() != g {
		t.Error("rebuilt though nobody asked")
	}
	table.press(g)
	table.press(g)
	table.Rebuild()
	if table.current.Load() == g {
		t.Error("not rebuilt though asked")
	}
}

// TestTableCatchesUp moves, adds and evicts while a rebuild is under way, after
// the entries were copied: settle is the moment when a worker may still do so.
func TestTableCatchesUp(t *testing.T) {
	t.Parallel()
	stay, move, ended, added, both := Key(1, 1), Key(2, 1), Key(3, 1), Key(4, 1), Key(5, 1)
	var table *Table
	var old *generation
	table = New(100, func() {
		now := table.current.Swap(old) // a worker that has not seen the new one
		table.Learn(move, 7, 1, NoLimit)
		table.Learn(added, 8, 1, NoLimit)
		table.Learn(both, 8, 1, NoLimit)
		g := table.current.Swap(now)
		run := g.window(ended)
		for i := range run {
			if run[i].key.Load() == ended {
				run[i].end(g, Value(run[i].value.Load()))
			}
		}
		table.Learn(both, 9, 1, NoLimit) // and one that has
	})
	for _, key := range []uint64{stay, move, ended, both} {
		table.Learn(key, 1, 0, NoLimit)
	}
	old = table.current.Load()
	table.rebuildLocked(1)
	for key, want := range map[uint64]Place{stay: 1, move: 7, ended: 0, added: 8, both: 9} {
		if got := table.Lookup(key).Place(); got != want {
			t.Errorf("after the rebuild key %#x is at %d, want %d", key, got, want)
		}
	}
	check(t, table)
}

// TestTableRebuildKeepsToCapacity: a worker that learns and evicts while the
// entries are copied makes the copy hold both; here that is all of them.
func TestTableRebuildKeepsToCapacity(t *testing.T) {
	t.Parallel()
	table := newTestTable(300)
	for i := range uint64(300) {
		learnAt(table, Key(i+1, 1), Place(i%2)+1, 0)
	}
	table.capacity = 200
	table.rebuildLocked(1)
	g := table.current.Load()
	if g.live.Load() != 200 || g.owned[1].Load() != 100 || g.owned[2].Load() != 100 {
		t.Errorf("%d entries after a rebuild, %d and %d of the two ports, want 100 of each",
			g.live.Load(), g.owned[1].Load(), g.owned[2].Load())
	}
	check(t, table)
}

// TestTableSpreads: addresses as people give them must not stand in one heap.
func TestTableSpreads(t *testing.T) {
	t.Parallel()
	const size = 1 << 13
	patterns := map[string]func(i uint64) uint64{
		"sequential":       func(i uint64) uint64 { return Key(0x0242ac110000+i, 1) },
		"stride of 256":    func(i uint64) uint64 { return Key(0x020000000000+i<<8, 1) },
		"stride of 2^24":   func(i uint64) uint64 { return Key(0x020000000000+i<<24, 1) },
		"by vendor":        func(i uint64) uint64 { return Key(i%64<<26|i/64, 1) },
		"same in segments": func(i uint64) uint64 { return Key(0x0242ac110002+i%16, uint16(i/16)+1) },
	}
	for name, key := range patterns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := seed.New(t)
			for range 10 {
				g := newGeneration(size)
				g.seed = [2]uint64{rng.Uint64(), rng.Uint64() | 1}
				farthest := 0
				for i := range uint64(size / 4) {
					s := g.claim(key(i))
					if s == nil {
						t.Fatalf("key %d finds no slot", i)
					}
					run := g.window(key(i))
					for at := range run {
						if &run[at] == s {
							farthest = max(farthest, at)
						}
					}
				}
				// With keys at random, one table in some thousand has a key 16 slots away, none
				// of a million has one 24 away.
				if farthest > probeWindow/2 {
					t.Errorf("a key stands %d slots from its place with a quarter of the slots in use", farthest)
				}
			}
		})
	}
}

func TestEntryAgeNeverUnderflows(t *testing.T) {
	t.Parallel()
	table := newTestTable(10)
	table.Learn(Key(1, 1), 1, 6, NoLimit) // by a worker, after the listing has read the clock
	list := table.Entries(1)
	if len(list) != 1 || list[0].Age(5) != 0 {
		t.Errorf("entries are %+v, want one of age 0", list)
	}
}
