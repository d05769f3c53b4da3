package fdb

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// sizes are the numbers of entries that lookups are measured with.
var sizes = []int{1, 1000, 65536}

// portOf is where the benchmarks' address behind key stands.
func portOf(key uint64) Place { return Place(key>>16%1000) + 1 }

// filledTable holds that many entries; their keys come back in random order.
func filledTable(entries int) (*Table, []uint64) {
	table := newTestTable(1 << 20)
	rng := rand.New(rand.NewPCG(1, 1))
	keys := make([]uint64, entries)
	for i := range keys {
		keys[i] = Key(0x0242ac110000+uint64(i), uint16(i%8)+1)
		learnAt(table, keys[i], portOf(keys[i]), 0)
		maintain(table)
	}
	rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return table, keys
}

// defaultCapacity is that of the switch.
const defaultCapacity = 65536

func lookupAll(b *testing.B, table *Table, keys []uint64) {
	at := 0
	for b.Loop() {
		if table.Lookup(keys[at]) == 0 {
			b.Fatal("a learned address is not found")
		}
		if at++; at == len(keys) {
			at = 0
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, entries := range sizes {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			table, keys := filledTable(entries)
			b.ReportAllocs()
			lookupAll(b, table, keys)
		})
	}
}

// BenchmarkLookupWhileLearning: meanwhile another goroutine writes to one entry
// after the other.
func BenchmarkLookupWhileLearning(b *testing.B) {
	for _, entries := range sizes {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			table, keys := filledTable(entries)
			var stop atomic.Bool
			var learner sync.WaitGroup
			learner.Go(func() {
				for now := uint32(1); !stop.Load(); now++ {
					for i, key := range keys {
						if i%64 == 0 && stop.Load() {
							return
						}
						table.Learn(key, portOf(key), now, NoLimit)
					}
				}
			})
			b.ReportAllocs()
			lookupAll(b, table, keys)
			stop.Store(true)
			learner.Wait()
		})
	}
}

func BenchmarkLearnKnown(b *testing.B) {
	for _, entries := range sizes {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			table, keys := filledTable(entries)
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				table.Learn(keys[at], portOf(keys[at]), 0, NoLimit)
				if at++; at == len(keys) {
					at = 0
				}
			}
		})
	}
}

// BenchmarkLearnNew learns an address that was never seen, at a table that is
// at its capacity, its share of the rebuilds included.
func BenchmarkLearnNew(b *testing.B) {
	table := newTestTable(defaultCapacity)
	key := uint64(0)
	learnNext := func() {
		key += 1 << 16
		learnAt(table, key, 1, 0)
		maintain(table)
	}
	for range 2 * defaultCapacity {
		learnNext()
	}
	b.ReportAllocs()
	for b.Loop() {
		learnNext()
	}
}
