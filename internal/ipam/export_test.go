package ipam

import (
	"maps"
	"net/netip"
	"slices"
)

// Subnets returns the subnets in address order.
func (a *Allocator) Subnets() []*Subnet {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.subnets)
}

// Capacity is how many leases the subnet can hold: every address of Prefix but the
// gateway's and, of IPv4, the network's and the broadcast's or, of IPv6, the
// subnet-router anycast address. It is math.MaxInt if there are more than that, as in
// every /64. Automatic leases stop at the end of Range, which may be sooner.
func (s *Subnet) Capacity() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leasable(s.prefix)
}

// Leases returns the leased addresses in order.
func (s *Subnet) Leases() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.leases), netip.Addr.Compare)
}

// InUse is the number of leases, at most Capacity.
func (s *Subnet) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.leases)
}
