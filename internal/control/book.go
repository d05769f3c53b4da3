package control

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/ipam"
)

// The book of a segment's addresses, see package model, is the state together with the ports that
// are being added.

// reserved returns an error that says what an address of s is reserved for: it is an auxiliary
// one, or a port but except is allowed to use it. s may be nil.
func (ps *pools) reserved(s *segment, a netip.Addr, except *port) error {
	if s == nil {
		return nil
	}
	id := ""
	if except != nil {
		id = except.record.ID
	}
	if err := ps.store.State().Reserved(s.record.ID, a, id); err != nil {
		return err
	}
	for _, q := range ps.pending {
		if q.segment == s && q != except && s.subnet.Prefix().Contains(a) && q.record.Allows(a) {
			return fmt.Errorf("address %s is one that port %q is allowed to use", a, q.record.Name)
		}
	}
	return nil
}

// allocate leases an address of the segment for port p, which is not in the list yet: want, or a
// free one that no port is allowed to use. One that is leased through the segment's pool is meant
// for a port, unless another has it already.
func (ps *pools) allocate(p *port, want netip.Addr) (netip.Addr, error) {
	s := p.segment
	if !want.IsValid() {
		return s.subnet.AllocateNext(func(a netip.Addr) bool {
			return p.record.Allows(a) || ps.reserved(s, a, p) != nil
		})
	}
	if err := ps.reserved(s, want.Unmap(), p); err != nil {
		return netip.Addr{}, reservedError(err)
	}
	return ps.take(s, want)
}

// take leases an address of the segment for a port, whatever it is reserved for.
func (ps *pools) take(s *segment, want netip.Addr) (netip.Addr, error) {
	want = want.Unmap()
	if s.pool.leased(want) && !ps.portHas(s.pool, want) {
		return want, nil
	}
	return s.subnet.Allocate(want)
}

// leaseOf leases an address of a pool, by the rules of allocate.
func (ps *pools) leaseOf(p *pool, want netip.Addr) (netip.Addr, error) {
	s := ps.segmentOver(p)
	if !want.IsValid() {
		return p.subnet.AllocateNext(func(a netip.Addr) bool { return ps.reserved(s, a, nil) != nil })
	}
	if err := ps.reserved(s, want.Unmap(), nil); err != nil {
		return netip.Addr{}, reservedError(err)
	}
	return p.subnet.Allocate(want)
}

func reservedError(err error) error {
	return api.Conflictf("%w: request another address, or none for a free one", err)
}

// checkAux says why a segment on subnet cannot have these auxiliary addresses.
func checkAux(list map[string]netip.Addr, subnet *ipam.Subnet) error {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if err := subnet.CheckHost(list[name]); err != nil {
			return api.Conflictf("auxiliary address %q: %w", name, err)
		}
	}
	return nil
}

// checkAllowed says why port p cannot be allowed what record allows it and p's own record did
// not. A port that is not in the list yet is allowed nothing.
func (pc *ports) checkAllowed(p *port, record model.Port) error {
	there := pc.allPorts[p.record.ID] == p
	for _, prefix := range record.AllowAddresses {
		a := prefix.Addr()
		if !prefix.IsSingleIP() || there && p.record.Allows(a) && !slices.Contains(p.record.Addrs, a) {
			continue // as it was, and not as its own
		}
		err := pc.store.State().CheckAllowed(record, a)
		for _, q := range pc.pending {
			if err == nil && q.segment == p.segment && q != p && q.record.IPv4() == a {
				err = fmt.Errorf("allowed address %s is that of port %q", a, q.record.Name)
			}
		}
		if err != nil {
			return api.Conflictf("%w: allow another", err)
		}
	}
	return nil
}

// warnOfConflicts logs what is stored and breaks the rules of the book, which earlier versions did
// not have. It stays as it is until somebody changes it.
func (r *restorer) warnOfConflicts() {
	for p, err := range r.store.State().Conflicts() {
		r.log.Warn("an address is used twice: end the port that has it, or allow it to nobody else "+
			"with vsctl set-port "+p.Name+" --allow-address", "port", p.Name, "error", err)
	}
}
