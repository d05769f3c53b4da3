package model

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"vswitch/internal/wellformed"
)

// The addresses of a segment are one book: what may be used is never given to another. In it are
// the gateway's address, the ports' own, the segment's auxiliary ones, what is leased in the pool
// that the segment is over, and each single address that a port is allowed to use. Of these:
//
//   - A port's own address is nobody else's, and no other port is allowed to use it.
//   - The gateway's address is nobody else's, and no port is allowed to use it.
//   - An auxiliary address is no port's own. Ports may be allowed to use it.
//   - Several ports may be allowed to use one address, such as the virtual address that two
//     routers share. It is then not leased, unless it is an auxiliary one.
//
// Allowed prefixes that are longer than one address, and addresses outside the segment's subnets,
// are not in the book.

// Allows reports whether p is allowed to use the single address a beside its own.
func (p Port) Allows(a netip.Addr) bool {
	return slices.Contains(p.AllowAddresses, netip.PrefixFrom(a, a.BitLen()))
}

// allowedAddrs iterates over the single addresses that the port is allowed to use.
func (p Port) allowedAddrs() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, prefix := range p.AllowAddresses {
			if prefix.IsSingleIP() && !yield(prefix.Addr()) {
				return
			}
		}
	}
}

// AuxAddress returns the name of the segment's auxiliary address a.
func (s Segment) AuxAddress(a netip.Addr) (name string, found bool) {
	for name, aux := range s.AuxAddresses {
		if aux == a {
			return name, true
		}
	}
	return "", false
}

// allowedKey is the key of the table of single addresses that ports are allowed to use.
func allowedKey(segmentID string, a netip.Addr, portID string) string {
	return addrKey(segmentID, a) + portID
}

// Reserved returns an error that says what the address a of a segment is reserved for: it is an
// auxiliary one, or a port but except is allowed to use it. It returns nil for others, also for
// those that ports have as their own.
func (s *State) Reserved(segmentID string, a netip.Addr, except string) error {
	segment, exists := s.segments.get(segmentID)
	if !exists {
		return nil
	}
	return s.reserved(segment, a, except)
}

// CheckAllowed returns an error that says why p cannot be allowed to use the single address a.
func (s *State) CheckAllowed(p Port, a netip.Addr) error {
	segment, exists := s.segments.get(p.SegmentID)
	if !exists {
		return nil
	}
	return s.checkAllowed(p, segment, a)
}

// Conflicts iterates over what breaks the rules of the book, which versions before did not have,
// with the port that has the address or is allowed to use it.
func (s *State) Conflicts() iter.Seq2[Port, error] {
	return func(yield func(Port, error) bool) {
		for p := range s.ports.values() {
			segment, _ := s.segments.get(p.SegmentID)
			if err := s.checkBook(p, Port{}, segment); err != nil && !yield(p, err) {
				return
			}
		}
	}
}

// reserved is Reserved for a segment as it is about to be.
func (t *tables) reserved(s Segment, a netip.Addr, except string) error {
	if _, inside := s.SubnetOf(a); !inside {
		return nil
	}
	if name, found := s.AuxAddress(a); found {
		return fmt.Errorf("address %s is auxiliary address %q of segment %q", a, name, s.Name)
	}
	for _, id := range t.allowed.within(addrKey(s.ID, a)) {
		if id != except {
			p, _ := t.ports.get(id)
			return fmt.Errorf("address %s is one that port %q is allowed to use", a, p.Name)
		}
	}
	return nil
}

// checkAllowed is CheckAllowed for a segment as it is about to be.
func (t *tables) checkAllowed(p Port, s Segment, a netip.Addr) error {
	subnet, inside := s.SubnetOf(a)
	_, aux := s.AuxAddress(a)
	id, taken := t.addrs.get(addrKey(s.ID, a))
	switch {
	case !inside || slices.Contains(p.Addrs, a):
		return nil
	case a == subnet.Gateway:
		return fmt.Errorf("allowed address %s is the gateway's on segment %q", a, s.Name)
	case taken && id != p.ID:
		other, _ := t.ports.get(id)
		return fmt.Errorf("allowed address %s is that of port %q", a, other.Name)
	case !aux && t.leased(subnet.PoolID, a):
		return fmt.Errorf("allowed address %s is leased in pool %s", a, subnet.Prefix)
	}
	return nil
}

func (t *tables) leased(poolID string, a netip.Addr) bool {
	pool, _ := t.pools.get(poolID)
	return slices.Contains(pool.Leases, a)
}

// checkBook says why p cannot have an address, or be allowed to use one, that old did not have or
// was not allowed to use on s.
func (t *tables) checkBook(p, old Port, s Segment) error {
	if old.SegmentID != p.SegmentID {
		old = Port{}
	}
	for _, a := range p.Addrs {
		if slices.Contains(old.Addrs, a) {
			continue
		}
		if err := t.reserved(s, a, p.ID); err != nil {
			return err
		}
	}
	for a := range p.allowedAddrs() {
		if old.Allows(a) && !slices.Contains(old.Addrs, a) {
			continue
		}
		if err := t.checkAllowed(p, s, a); err != nil {
			return err
		}
	}
	return nil
}

// checkPortsOf says why the ports of s cannot have the addresses that they have and are allowed
// to use, once it is as given instead of old. What breaks the rules before is left as it is.
func (t *tables) checkPortsOf(s, old Segment) error {
	for _, id := range t.members.within(s.ID) {
		p, _ := t.ports.get(id)
		for _, a := range p.Addrs {
			if !s.hasRoomFor(a) {
				return fmt.Errorf("its subnets have no room for port %q at %s", p.Name, a)
			}
		}
		if err := t.checkBook(p, Port{}, s); err != nil && t.checkBook(p, Port{}, old) == nil {
			return fmt.Errorf("port %q: %w", p.Name, err)
		}
	}
	return nil
}

// checkLeases says why pool p, which t has already, cannot have the leases that old had not.
func (t *tables) checkLeases(p, old Pool) error {
	added := leasesAdded(old.Leases, p.Leases)
	if len(added) == 0 {
		return nil
	}
	for _, id := range t.poolSegments.within(p.ID) {
		s, _ := t.segments.get(id)
		for _, a := range added {
			_, own := t.addrs.get(addrKey(s.ID, a))
			if _, aux := s.AuxAddress(a); own || aux {
				continue
			}
			if err := t.reserved(s, a, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// leasesAdded returns what a list has between the beginning and the end that it shares with old:
// that is cheap for one lease more, or less, of many.
func leasesAdded(old, list []netip.Addr) []netip.Addr {
	for len(old) > 0 && len(list) > 0 && old[0] == list[0] {
		old, list = old[1:], list[1:]
	}
	for len(old) > 0 && len(list) > 0 && old[len(old)-1] == list[len(list)-1] {
		old, list = old[:len(old)-1], list[:len(list)-1]
	}
	return list
}

// checkAux says what is wrong with the segment's auxiliary addresses.
func (s Segment) checkAux() error {
	seen := make(map[netip.Addr]bool, len(s.AuxAddresses))
	if n := len(s.AuxAddresses); n > wellformed.MaxAuxAddresses {
		return fmt.Errorf("%d auxiliary addresses are more than %d", n, wellformed.MaxAuxAddresses)
	}
	for name, a := range s.AuxAddresses {
		switch subnet, inside := s.SubnetOf(a); {
		case !validAuxName(name):
			return fmt.Errorf("name of auxiliary address %s is not 1 to %d printable characters", a, wellformed.MaxName)
		case !inside || a == subnet.Gateway || a.Zone() != "":
			return fmt.Errorf("auxiliary address %q is a gateway's or outside the subnets", a)
		case seen[a]:
			return fmt.Errorf("auxiliary address %s is there twice", a)
		}
		seen[a] = true
	}
	return nil
}
