package ipam

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
)

// Subnet is a prefix whose addresses are leased one by one. It comes from
// [Allocator.Add] and is safe for concurrent use.
//
// Automatic leases go upwards through the range with a cursor that never turns
// back, so each costs the same in a /8 with many leases as in an empty /24. A
// released address waits until the cursor has reached the end, or until there are
// 2^18 of them: the neighbours' caches have then long forgotten who had it. So the
// memory of a subnet depends on the leases that it had at one time, and not on its
// size nor on how many it has had in all.
type Subnet struct {
	prefix    netip.Prefix
	family    *family
	first     netip.Addr   // reserved
	broadcast netip.Addr   // reserved; the zero Addr where there is none
	leaseFrom netip.Prefix // the range for automatic leases
	maxFreed  int          // released addresses that wait; with more, the oldest goes first

	mu      sync.Mutex
	gateway netip.Addr              // guarded by mu
	leases  map[netip.Addr]struct{} // guarded by mu
	next    netip.Addr              // guarded by mu; all of the range below it has been looked at
	freed   queue                   // guarded by mu; released addresses of the range
	last    allocation              // guarded by mu; what Cancel takes back
	removed bool                    // guarded by mu; set once, when the allocator lets go of it
}

// allocation is one Allocate, with what it changed.
type allocation struct {
	addr  netip.Addr // the lease; the zero Addr once it cannot be taken back
	next  netip.Addr // the cursor before
	freed bool       // whether addr had been released before

	passed []netip.Addr // reserved ones that wait since the cursor has passed them
}

// maxFreed is how many released addresses of a subnet wait, at 50 to 100 bytes each,
// while there are others that were never leased.
const maxFreed = 1 << 18

// newSubnet validates cfg, whose Prefix is set, and fills in what is left out.
func newSubnet(cfg SubnetConfig) (*Subnet, error) {
	if err := checkPrefix(cfg.Prefix); err != nil {
		return nil, err
	}
	s := &Subnet{
		prefix:    cfg.Prefix,
		family:    familyOf(cfg.Prefix.Addr()),
		leaseFrom: cfg.Prefix,
		maxFreed:  maxFreed,
		leases:    make(map[netip.Addr]struct{}),
	}
	s.first, s.broadcast = s.family.reserved(cfg.Prefix)
	if cfg.Range != (netip.Prefix{}) {
		if err := checkRange(cfg.Range, cfg.Prefix); err != nil {
			return nil, err
		}
		s.leaseFrom = cfg.Range
	}
	s.next = s.leaseFrom.Addr()
	if err := s.setGateway(cfg.Gateway); err != nil {
		return nil, err
	}
	if s.leasable(s.leaseFrom) < 1 {
		return nil, failf(ErrInvalid, "range %s leaves no address to lease beside the gateway %s: choose a larger range or another gateway", s.leaseFrom, s.gateway)
	}
	return s, nil
}

func (s *Subnet) setGateway(want netip.Addr) error {
	switch {
	case !want.IsValid() && s.prefix.IsSingleIP():
		return nil
	case s.prefix.IsSingleIP():
		return failf(ErrInvalid, "subnet %s has no room for a gateway %s: leave it out, or use a larger subnet", s.prefix, want)
	case !want.IsValid():
		want = s.leaseFrom.Addr()
		if want == s.first {
			want = want.Next()
		}
		// Only a range of one address can end up here.
		if want == s.broadcast || !s.leaseFrom.Contains(want) {
			return failf(ErrInvalid, "range %s has no host address for a gateway: choose a larger range", s.leaseFrom)
		}
	}
	if !s.prefix.Contains(want) {
		return failf(ErrInvalid, "gateway %s is outside the subnet %s: "+
			"choose an address in it, such as %s", want, s.prefix, s.exampleHost())
	}
	if role := s.role(want); role != "" {
		return failf(ErrInvalid, "gateway %s is the %s of %s: choose another, such as %s",
			want, role, s.prefix, s.exampleHost())
	}
	s.gateway = want
	return nil
}

// exampleHost is an address of the subnet that a host can have.
func (s *Subnet) exampleHost() netip.Addr {
	if s.first.IsValid() {
		return s.first.Next()
	}
	return s.prefix.Addr()
}

// Prefix is the whole subnet.
func (s *Subnet) Prefix() netip.Prefix { return s.prefix }

// Gateway is the gateway's address, which is never leased; the zero Addr of a subnet of one
// address, which has none.
func (s *Subnet) Gateway() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gateway
}

// Range is the part that automatic leases come from; it may be all of Prefix.
func (s *Subnet) Range() netip.Prefix { return s.leaseFrom }

// Allocate leases the address want, which may lie anywhere in Prefix. The zero
// Addr asks for the next one: the lowest of Range that was never leased, and
// once there is none, or 2^18 wait, the one that was released first.
//
// Errors are ErrOutside if want is not in Prefix or has a zone; ErrInUse if it is
// leased, the gateway's or reserved (see [family.reserved]); ErrFull if an
// automatic lease finds nothing; ErrInvalid if the subnet has been removed.
func (s *Subnet) Allocate(want netip.Addr) (netip.Addr, error) {
	return s.allocate(want.Unmap(), nil)
}

// AllocateNext is Allocate for the next address, of those for which reserved returns false. One
// that is passed over waits as if it had been released. reserved must not call s.
func (s *Subnet) AllocateNext(reserved func(netip.Addr) bool) (netip.Addr, error) {
	return s.allocate(netip.Addr{}, reserved)
}

func (s *Subnet) allocate(want netip.Addr, reserved func(netip.Addr) bool) (netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return netip.Addr{}, failf(ErrInvalid, "subnet %s has been removed: allocate from another", s.prefix)
	}
	made := allocation{addr: want, next: s.next}
	var err error
	if want.IsValid() {
		err = s.checkLocked(want)
	} else {
		made.addr, made.passed, err = s.pickLocked(reserved)
	}
	if err != nil {
		return netip.Addr{}, err
	}
	made.freed = s.freed.contains(made.addr)
	s.last = made
	s.freed.remove(made.addr)
	s.leases[made.addr] = struct{}{}
	return made.addr, nil
}

// CheckHost returns an error if no host of the subnet can have the address: it is outside, with
// ErrOutside, or the gateway's or reserved (see [family.reserved]), with ErrInUse.
func (s *Subnet) CheckHost(addr netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checkHostLocked(addr.Unmap())
}

// checkHostLocked is CheckHost; s.mu is held.
func (s *Subnet) checkHostLocked(addr netip.Addr) error {
	if !s.prefix.Contains(addr) {
		return failf(ErrOutside, "%s is outside the subnet %s: request an address in it", addr, s.prefix)
	}
	if role := s.role(addr); role != "" {
		return failf(ErrInUse, "%s is the %s of %s: request another address, or none for a free one", addr, role, s.prefix)
	}
	return nil
}

// checkLocked says why the address want cannot be leased; s.mu is held.
func (s *Subnet) checkLocked(want netip.Addr) error {
	if err := s.checkHostLocked(want); err != nil {
		return err
	}
	if _, leased := s.leases[want]; leased {
		return failf(ErrInUse, "%s is already in use in %s: request another address, or none for a free one", want, s.prefix)
	}
	return nil
}

// pickLocked chooses an address for an automatic lease for which reserved, if it is not nil,
// returns false, and which that the cursor has passed over wait now; s.mu is held.
func (s *Subnet) pickLocked(
	reserved func(netip.Addr) bool,
) (addr netip.Addr, passed []netip.Addr, err error) {
	// The zero Addr, which follows the last of all addresses, is in no prefix.
	for s.freed.len() < s.maxFreed && s.leaseFrom.Contains(s.next) {
		addr := s.next
		s.next = addr.Next()
		_, leased := s.leases[addr]
		switch {
		case leased || s.freed.contains(addr) || s.role(addr) != "":
		case reserved != nil && reserved(addr):
			s.freed.add(addr) // for the time when it is not reserved any more
			passed = append(passed, addr)
		default:
			return addr, passed, nil
		}
	}
	held := 0
	for addr := range s.freed.all() {
		if reserved == nil || !reserved(addr) {
			return addr, passed, nil
		}
		held++
	}
	return netip.Addr{}, nil, s.fullLocked(held)
}

// fullLocked is the error of an automatic lease that finds nothing, where so many addresses of the
// range are not leased but reserved; s.mu is held.
func (s *Subnet) fullLocked(reserved int) error {
	count := plural(s.leasable(s.leaseFrom), "address", "addresses") + " all in use"
	if reserved > 0 {
		count += fmt.Sprintf(" or reserved (%d)", reserved)
	}
	if s.leaseFrom != s.prefix {
		return failf(ErrFull, "range %s of the subnet %s is full: %s: release one, or request one outside the range", s.leaseFrom, s.prefix, count)
	}
	return failf(ErrFull, "subnet %s is full: %s: release one, or use a larger subnet", s.prefix, count)
}

// Cancel takes back the lease of addr as if it had never been given, because the
// change it was for failed: the same address is the next one again. That holds
// for the latest lease; of an earlier one, Cancel is Release. The error is
// ErrNotLeased if there is no such lease.
func (s *Subnet) Cancel(addr netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if addr = addr.Unmap(); addr != s.last.addr {
		return s.releaseLocked(addr)
	}
	delete(s.leases, addr)
	s.next = s.last.next
	for _, passed := range s.last.passed {
		s.freed.remove(passed)
	}
	if s.last.freed {
		s.freed.addFirst(addr)
	}
	s.last = allocation{}
	return nil
}

// Release ends the lease of addr; the error is ErrNotLeased if there is none.
func (s *Subnet) Release(addr netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.releaseLocked(addr.Unmap())
}

// releaseLocked is Release; s.mu is held.
func (s *Subnet) releaseLocked(addr netip.Addr) error {
	if _, leased := s.leases[addr]; !leased {
		return failf(ErrNotLeased, "%s is not leased in the subnet %s: release an address that is", addr, s.prefix)
	}
	delete(s.leases, addr)
	if addr == s.last.addr {
		s.last = allocation{}
	}
	// Outside the range it was leased by request, and is only on request again.
	if s.leaseFrom.Contains(addr) {
		s.freed.add(addr)
	}
	return nil
}

// retire stops the subnet from leasing, unless leases are out.
func (s *Subnet) retire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.leases); n > 0 {
		return failf(ErrInUse, "subnet %s is in use with %s: release all before removing it", s.prefix, plural(n, "lease", "leases"))
	}
	s.removed = true
	return nil
}

// role names what addr is reserved for, and is empty if it can be leased.
func (s *Subnet) role(addr netip.Addr) string {
	switch addr {
	case s.gateway:
		return "gateway's address"
	case s.first:
		return s.family.firstRole
	case s.broadcast:
		return "broadcast address"
	}
	return ""
}

// leasable counts the addresses of part, which is in Prefix, that can be leased, up
// to math.MaxInt.
func (s *Subnet) leasable(part netip.Prefix) int {
	n := size(part)
	for _, reserved := range []netip.Addr{s.first, s.broadcast, s.gateway} {
		if part.Contains(reserved) { // the zero Addr is in none
			n--
		}
	}
	return int(min(n, math.MaxInt))
}
