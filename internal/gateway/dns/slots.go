package dns

import (
	"net/netip"
	"sync"
)

// Bounds of the queries of one segment that wait for the host's resolvers. One
// client cannot take them all.
const (
	maxForwarded     = 256
	maxForwardedEach = 64
)

// slots bounds what is under way, in all and for each client.
type slots struct {
	most, each int

	mu    sync.Mutex
	total int
	by    map[netip.Addr]int // those above 0
}

func newSlots(most, each int) slots {
	return slots{most: most, each: each, by: make(map[netip.Addr]int)}
}

// take says whether client may begin one more.
func (s *slots) take(client netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.most || s.by[client] >= s.each {
		return false
	}
	s.total++
	s.by[client]++
	return true
}

// give ends one that client had begun.
func (s *slots) give(client netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.by[client]--; s.by[client] == 0 {
		delete(s.by, client)
	}
}
