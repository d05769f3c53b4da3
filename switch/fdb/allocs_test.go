package fdb

import "testing"

// TestLearnAllocs floods the table with new addresses at its capacity.
func TestLearnAllocs(t *testing.T) {
	table := newTestTable(1000)
	table.Use(1)
	key := uint64(1) << 16
	allocs := testing.AllocsPerRun(2000, func() {
		key += 1 << 16
		table.Learn(key, 1, 0, NoLimit)
		table.Lookup(key)
	})
	if live := table.current.Load().live.Load(); live != 1000 {
		t.Errorf("the table holds %d entries, want its capacity of 1000", live)
	}
	if allocs != 0 && !raceEnabled {
		t.Errorf("%v allocations per new address, want none", allocs)
	}
}
