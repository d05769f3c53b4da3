package ipam

import "net/netip"

// MoveGateway makes want the gateway's address, and the one that it had a free one.
// Errors are as those of [Subnet.Allocate]; the subnet is then as it was.
func (s *Subnet) MoveGateway(want netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want = want.Unmap()
	if want == s.gateway {
		return nil
	}
	if s.removed {
		return failf(ErrInvalid, "subnet %s has been removed: choose another", s.prefix)
	}
	if err := s.checkLocked(want); err != nil {
		return err
	}
	before := s.gateway
	s.gateway = want
	if s.leasable(s.leaseFrom) < 1 {
		s.gateway = before
		return failf(ErrInvalid, "range %s leaves no address to lease beside the gateway %s: choose another gateway", s.leaseFrom, want)
	}
	s.freed.remove(want)
	s.last = allocation{}
	// Above the cursor it is found anyway.
	if s.leaseFrom.Contains(before) && (!s.leaseFrom.Contains(s.next) || before.Less(s.next)) {
		s.freed.add(before)
	}
	return nil
}
