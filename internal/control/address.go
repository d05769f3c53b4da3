package control

import (
	"net/netip"
	"slices"

	"vswitch/api"
	"vswitch/internal/control/model"
)

// newAddress puts another address into p's record, if p may have it, and leases it.
func (pc *ports) newAddress(p *port, record *model.Port, want netip.Addr, undo *undo) error {
	if record.Handover {
		return api.Invalidf("port %q is externally managed: give its container another address there, "+
			"as docker network disconnect and docker network connect --ip do", record.Name)
	}
	old := record.IPv4()
	if want = want.Unmap(); want == old {
		return nil
	}
	addr, err := pc.pools.allocate(p, want)
	if err != nil {
		return ipamError(err)
	}
	undo.add(func() { pc.logFailure("take back address", p.segment.cancel(addr)) })
	record.Addrs = slices.Clone(record.Addrs)
	record.Addrs[slices.Index(record.Addrs, old)] = addr
	return nil
}

// setAddress gives p's interface the address that record has instead of p's. The container may
// have taken that away, even where it is the same. What a DHCP client sets is left to it.
func (pc *ports) setAddress(p *port, record model.Port, undo *undo) error {
	if p.lost() || record.DHCP {
		return nil
	}
	ns, err := pc.kernel.NamespaceOf(p.device, p.record.Name)
	if err != nil {
		return kernelError(err)
	}
	defer ns.Close()
	l, err := ns.LinkByIndex(p.link.index)
	if err != nil {
		return kernelError(err)
	}
	from, to := p.record.IPv4(), record.IPv4()
	had := func(a netip.Addr) netip.Prefix { // the zero Prefix if the interface did not have it
		if slices.Contains(l.Addrs, a) {
			return p.prefixOf(a)
		}
		return netip.Prefix{}
	}
	if from == to && had(from).IsValid() {
		return nil
	}
	if err := pc.replaceAddress(p, p.prefixOf(from), p.prefixOf(to)); err != nil {
		return err
	}
	undo.add(func() {
		gone := p.prefixOf(to)
		if had(to).IsValid() {
			gone = netip.Prefix{}
		}
		pc.logFailure("take back the address of port "+p.record.Name, pc.replaceAddress(p, gone, had(from)))
	})
	return nil
}

// prefixOf returns an address of p's subnet with the length of its prefix.
func (p *port) prefixOf(a netip.Addr) netip.Prefix {
	return netip.PrefixFrom(a, p.segment.record.IPv4().Prefix.Bits())
}

// replaceAddress gives p's interface an address in the place of another, wherever that is.
func (pc *ports) replaceAddress(p *port, from, to netip.Prefix) error {
	ns, err := pc.kernel.NamespaceOf(p.device, p.record.Name)
	if err != nil {
		return kernelError(err)
	}
	defer ns.Close()
	if err := ns.ReplaceAddress(p.link.index, from, to); err != nil {
		return kernelError(err)
	}
	addrs := slices.DeleteFunc(slices.Clone(p.link.addrs), func(a netip.Addr) bool { return a == from.Addr() })
	if to.IsValid() && !slices.Contains(addrs, to.Addr()) {
		addrs = append(addrs, to.Addr())
	}
	p.link.addrs = addrs
	return nil
}
