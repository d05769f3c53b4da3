package gateway

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Prefixes is the set of all segments' subnets, which do not overlap. Contain
// takes no lock; the zero value is the empty set.
type Prefixes struct {
	sorted atomic.Pointer[[]netip.Prefix]
	mu     sync.Mutex
}

// Add puts p in; it must be masked and overlap no other.
func (s *Prefixes) Add(p netip.Prefix) {
	s.change(func(list []netip.Prefix) []netip.Prefix { return append(list, p) })
}

// Remove takes p out.
func (s *Prefixes) Remove(p netip.Prefix) {
	s.change(func(list []netip.Prefix) []netip.Prefix {
		return slices.DeleteFunc(list, func(q netip.Prefix) bool { return p == q })
	})
}

func (s *Prefixes) change(edit func([]netip.Prefix) []netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := edit(slices.Clone(s.load()))
	slices.SortFunc(list, netip.Prefix.Compare)
	s.sorted.Store(&list)
}

func (s *Prefixes) load() []netip.Prefix {
	if list := s.sorted.Load(); list != nil {
		return *list
	}
	return nil
}

// Contain says whether addr is in one of the prefixes.
func (s *Prefixes) Contain(addr netip.Addr) bool {
	list := s.load()
	// The last prefix that begins at or before addr is the only one that can hold it.
	i, _ := slices.BinarySearchFunc(list, addr, func(p netip.Prefix, a netip.Addr) int {
		if p.Addr().Compare(a) <= 0 {
			return -1
		}
		return 1
	})
	return i > 0 && list[i-1].Contains(addr)
}
