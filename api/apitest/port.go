package apitest

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"vswitch/api"
)

// AddPort implements [api.Backend].
func (f *Fake) AddPort(ctx context.Context, spec api.PortSpec) (api.Port, error) {
	if err := f.enter(ctx, "AddPort"); err != nil {
		return api.Port{}, err
	}
	defer f.mu.Unlock()
	if err := f.checkPort(spec.Name, spec.ID); err != nil {
		return api.Port{}, err
	}
	s, err := f.findSegment(cmp.Or(spec.Segment, api.DefaultSegment))
	if err != nil {
		return api.Port{}, err
	}
	ip, err := f.address(s, spec.IP.Addr)
	if err != nil {
		return api.Port{}, err
	}
	p := newPort(s, ip, spec)
	if err := f.checkMAC(p, p.MAC); err != nil {
		return api.Port{}, err
	}
	p.ID, p.Created = f.id(spec.ID), f.now()
	p.Counters.Since = p.Created
	if spec.Handover {
		p.Device = "vst-" + p.ID[:8]
		p.IfName = p.Device
	}
	setState(p, true)
	s.Ports++
	f.ports = append(f.ports, p)
	return *p, nil
}

// checkPort returns a Conflict if another port has the name or the id.
func (f *Fake) checkPort(name, id string) error {
	for _, p := range f.ports {
		switch {
		case p.Name == name:
			return api.Conflictf("port %q already exists: choose another name", name)
		case p.ID == id:
			return api.Conflictf("port %s already exists: choose another id, or none for a new one", id)
		}
	}
	return nil
}

// address is the one that was asked for, or the next free one.
func (f *Fake) address(s *segment, ip netip.Addr) (netip.Addr, error) {
	if ip.IsValid() {
		switch {
		case !s.Subnet.Contains(ip):
			return ip, api.Invalidf("%s is outside the subnet %s: request an address in it", ip, s.Subnet)
		case f.taken(s, ip):
			return ip, api.Conflictf("%s is already in use in %s: "+
				"request another address, or none for a free one", ip, s.Subnet)
		}
		return ip, nil
	}
	for ; s.Subnet.Contains(s.next.Next()); s.next = s.next.Next() { // the last is broadcast
		if !f.taken(s, s.next) {
			return s.next, nil
		}
	}
	return s.next, api.Exhaustedf("subnet %s is full: %s all in use: "+
		"release one, or use a larger subnet", s.Subnet, addresses(s.Subnet))
}

// addresses says how many addresses of a subnet ports may have.
func addresses(subnet netip.Prefix) string {
	if n := 1<<(32-subnet.Bits()) - 3; n != 1 {
		return fmt.Sprintf("%d addresses", n)
	}
	return "1 address"
}

// taken says whether a port or the gateway has an address.
func (f *Fake) taken(s *segment, ip netip.Addr) bool {
	return ip.String() == s.Gateway || slices.ContainsFunc(f.ports, func(p *api.Port) bool {
		return p.SegmentID == s.ID && p.IPs[0].Addr() == ip
	})
}

// newPort makes a port without an id.
func newPort(s *segment, ip netip.Addr, spec api.PortSpec) *api.Port {
	p := &api.Port{
		Name: spec.Name, Segment: s.Name, SegmentID: s.ID, MAC: cmp.Or(spec.MAC, macOf(ip)),
		IPs: []netip.Prefix{netip.PrefixFrom(ip, s.Subnet.Bits())}, Gateway: s.Gateway,
		NetNS: spec.NetNS, IfName: cmp.Or(spec.IfName, api.DefaultIfName), MTU: s.MTU,
		Kind: api.PortTAP, Labels: spec.Labels,
		Aliases: spec.Aliases, DHCP: spec.IP.DHCP, ResolvConf: spec.ResolvConf,
		Security: cmp.Or(spec.Security, api.SecurityStrict), AllowAddresses: spec.AllowAddresses,
		AllowReserved: spec.AllowReserved, BPDUGuard: spec.BPDUGuard, Isolated: spec.Isolated,
		RateIn: limited(spec.RateIn), RateOut: limited(spec.RateOut),
		MACLimit:   cmp.Or(spec.MACLimit, api.DefaultMACLimit),
		FloodLimit: cmp.Or(spec.FloodLimit, api.DefaultFloodLimit),
	}
	if p.NetNS == "" && !spec.Handover {
		p.NetNS = fmt.Sprintf("/proc/%d/ns/net", spec.PID)
	}
	return p
}

// setState sets a port up or down. One that is handed over stays where it was made.
func setState(p *api.Port, up bool) {
	switch {
	case !up:
		p.State, p.Reason = api.PortDown, "set down with vsctl set-port"
	case p.Device != "":
		p.State, p.Reason = api.PortDown, "waits to be moved into its container"
	default:
		p.State, p.Reason = api.PortUp, ""
	}
}

// Ports implements [api.Backend].
func (f *Fake) Ports(ctx context.Context, ref string) ([]api.Port, error) {
	if err := f.enter(ctx, "Ports"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	in, err := f.filter(ref)
	if err != nil {
		return nil, err
	}
	var list []api.Port
	for _, p := range slices.Backward(f.ports) {
		if in(p.SegmentID) {
			list = append(list, *p)
		}
	}
	return list, nil
}

// Port implements [api.Backend].
func (f *Fake) Port(ctx context.Context, ref string) (api.Port, error) {
	if err := f.enter(ctx, "Port"); err != nil {
		return api.Port{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPort(ref)
	if err != nil {
		return api.Port{}, err
	}
	return *p, nil
}

// UpdatePort implements [api.Backend].
func (f *Fake) UpdatePort(ctx context.Context, ref string, u api.PortUpdate) (api.Port, error) {
	if err := f.enter(ctx, "UpdatePort"); err != nil {
		return api.Port{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPort(ref)
	if err != nil {
		return api.Port{}, err
	}
	if u.Name != nil && *u.Name != p.Name {
		if err := f.checkPort(*u.Name, ""); err != nil {
			return api.Port{}, err
		}
	}
	if u.NetNS != nil && p.Device == "" {
		return api.Port{}, api.Invalidf("port %q is not handed over: "+
			"remove it, and add it anew with another namespace", p.Name)
	}
	if u.MAC != nil {
		if err := f.checkMAC(p, *u.MAC); err != nil {
			return api.Port{}, err
		}
	}
	update(&p.Name, u.Name)
	update(&p.MAC, u.MAC)
	if u.Up != nil {
		setState(p, *u.Up)
	}
	update(&p.NetNS, u.NetNS)
	p.Labels = relabelled(p.Labels, u.Labels)
	update(&p.Aliases, u.Aliases)
	update(&p.Security, u.Security)
	update(&p.AllowAddresses, u.AllowAddresses)
	update(&p.AllowReserved, u.AllowReserved)
	update(&p.BPDUGuard, u.BPDUGuard)
	update(&p.Isolated, u.Isolated)
	update(&p.MACLimit, u.MACLimit)
	update(&p.FloodLimit, u.FloodLimit)
	if u.RateIn != nil {
		p.RateIn = limited(*u.RateIn)
	}
	if u.RateOut != nil {
		p.RateOut = limited(*u.RateOut)
	}
	p.MACLimit, p.FloodLimit = cmp.Or(p.MACLimit, api.DefaultMACLimit), cmp.Or(p.FloodLimit, api.DefaultFloodLimit)
	return *p, nil
}

// checkMAC returns a Conflict if p may not have the MAC: the gateway or another port of its
// segment has it, or it has a static entry.
func (f *Fake) checkMAC(p *api.Port, mac api.MAC) error {
	s, err := f.findSegment(p.SegmentID)
	if err != nil {
		return err
	}
	if mac == s.gatewayMAC() {
		return api.Conflictf("MAC %s is the gateway's on segment %q: choose another with --mac",
			mac, s.Name)
	}
	for _, other := range f.ports {
		if other != p && other.SegmentID == s.ID && other.MAC == mac {
			return api.Conflictf("MAC %s is that of port %q on segment %q: choose another with --mac",
				mac, other.Name, s.Name)
		}
	}
	for _, e := range f.fdb {
		if e.kind == api.Static && isEntry(s, mac)(e) {
			return api.Conflictf("MAC %s has a static entry at port %q on segment %q: "+
				"choose another with --mac, or remove the entry with vsctl del-fdb",
				mac, e.port.Name, s.Name)
		}
	}
	return nil
}

// limited is a rate as a port shows it: empty where there is no bound.
func limited(rate api.Rate) string {
	if rate == (api.Rate{}) {
		return ""
	}
	return rate.String()
}

// DeletePort implements [api.Backend].
func (f *Fake) DeletePort(ctx context.Context, ref string) (api.Port, error) {
	if err := f.enter(ctx, "DeletePort"); err != nil {
		return api.Port{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPort(ref)
	if err != nil {
		return api.Port{}, err
	}
	view := *p
	f.deletePort(p)
	return view, nil
}

// deletePort removes a port with all that leads to it. Rules go on naming its id.
func (f *Fake) deletePort(p *api.Port) {
	f.ports = slices.DeleteFunc(f.ports, func(o *api.Port) bool { return o == p })
	f.fdb = slices.DeleteFunc(f.fdb, func(e entry) bool { return e.port == p })
	f.published = slices.DeleteFunc(f.published, func(q publication) bool { return q.port == p })
	if s, err := f.findSegment(p.SegmentID); err == nil {
		s.Ports--
	}
}

func (f *Fake) findPort(ref string) (*api.Port, error) {
	key := func(p *api.Port) (id, name string) { return p.ID, p.Name }
	return find(f.ports, key, ref, "port", "list-ports")
}

// portOn is findPort for one that is to be on a segment.
func (f *Fake) portOn(s *segment, ref string) (*api.Port, error) {
	p, err := f.findPort(ref)
	if err == nil && p.SegmentID != s.ID {
		err = api.Invalidf("port %q is on segment %q, not on %q: name a port of that segment",
			p.Name, p.Segment, s.Name)
	}
	return p, err
}
