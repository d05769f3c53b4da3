package apitest

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vswitch/api"
)

// AddPort implements [api.Backend].
func (f *Fake) AddPort(ctx context.Context, spec api.PortSpec) (api.Port, error) {
	if err := f.enter(ctx, "AddPort"); err != nil {
		return api.Port{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(spec.Segment)
	if err != nil {
		return api.Port{}, err
	}
	for _, p := range f.ports {
		if p.Name == spec.Name || p.ID == spec.ID {
			return api.Port{}, api.Conflictf("port %s exists already: choose another name", spec.Name)
		}
	}
	ip := s.next
	if spec.IP == "" || spec.IP == api.IPDHCP {
		s.next = s.next.Next()
	} else if ip, err = netip.ParseAddr(spec.IP); err != nil {
		return api.Port{}, err
	}
	p := &api.Port{
		ID: f.id(spec.ID), Name: spec.Name, Segment: s.Name, SegmentID: s.ID, MAC: spec.MAC,
		IPs: []netip.Prefix{netip.PrefixFrom(ip, s.Subnet.Bits())}, Gateway: s.Gateway, NetNS: spec.NetNS,
		IfName: spec.IfName, MTU: s.MTU, Kind: api.PortTAP, State: api.PortUp, Labels: spec.Labels, Created: f.now(),
		Aliases: spec.Aliases, DHCP: spec.IP == api.IPDHCP, ResolvConf: spec.ResolvConf,
		Security: cmp.Or(spec.Security, api.SecurityStrict), AllowAddresses: spec.AllowAddresses,
		AllowReserved: spec.AllowReserved, BPDUGuard: spec.BPDUGuard, Isolated: spec.Isolated,
		RateIn: limited(spec.RateIn), RateOut: limited(spec.RateOut),
		MACLimit: cmp.Or(spec.MACLimit, api.DefaultMACLimit), FloodLimit: cmp.Or(spec.FloodLimit, api.DefaultFloodLimit),
	}
	if p.MAC == "" {
		b := ip.As4()
		p.MAC = fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
	}
	if spec.Handover {
		p.Device = "vst-" + p.ID[:8]
		p.IfName = p.Device
	} else if p.NetNS == "" {
		p.NetNS = fmt.Sprintf("/proc/%d/ns/net", spec.PID)
	}
	s.Ports++
	f.ports = append(f.ports, p)
	return *p, nil
}

// Ports implements [api.Backend].
func (f *Fake) Ports(ctx context.Context, ref string) ([]api.Port, error) {
	if err := f.enter(ctx, "Ports"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	name, err := f.segmentName(ref)
	if err != nil {
		return nil, err
	}
	var list []api.Port
	for _, p := range slices.Backward(f.ports) {
		if name == "" || p.Segment == name {
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
	for _, other := range f.ports {
		if u.Name != nil && other != p && other.Name == *u.Name {
			return api.Port{}, api.Conflictf("port %s exists already: choose another name", other.Name)
		}
	}
	if u.MAC != nil {
		if err := f.checkMAC(p, *u.MAC); err != nil {
			return api.Port{}, err
		}
	}
	update(&p.Name, u.Name)
	update(&p.MAC, u.MAC)
	if u.Up != nil {
		p.State = api.PortDown
		if *u.Up {
			p.State = api.PortUp
		}
	}
	update(&p.NetNS, u.NetNS)
	p.Labels = relabelled(p.Labels, u.Labels)
	update(&p.Security, u.Security)
	update(&p.AllowAddresses, u.AllowAddresses)
	update(&p.AllowReserved, u.AllowReserved)
	update(&p.BPDUGuard, u.BPDUGuard)
	update(&p.Isolated, u.Isolated)
	update(&p.MACLimit, u.MACLimit)
	update(&p.FloodLimit, u.FloodLimit)
	update(&p.RateIn, u.RateIn)
	update(&p.RateOut, u.RateOut)
	p.MACLimit, p.FloodLimit = cmp.Or(p.MACLimit, api.DefaultMACLimit), cmp.Or(p.FloodLimit, api.DefaultFloodLimit)
	p.RateIn, p.RateOut = limited(p.RateIn), limited(p.RateOut)
	return *p, nil
}

// checkMAC returns a Conflict if another port of p's segment has the MAC.
func (f *Fake) checkMAC(p *api.Port, mac string) error {
	for _, other := range f.ports {
		if other != p && other.SegmentID == p.SegmentID && other.MAC == mac {
			return api.Conflictf("mac %s is that of port %s: choose another", mac, other.Name)
		}
	}
	return nil
}

// limited is a rate as a port shows it: empty where there is no bound.
func limited(rate string) string {
	if rate == (api.Rate{}).String() {
		return ""
	}
	return rate
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
	f.ports = slices.DeleteFunc(f.ports, func(o *api.Port) bool { return o == p })
	f.fdb = slices.DeleteFunc(f.fdb, func(e api.FDBEntry) bool { return e.Port == p.Name })
	if s, err := f.findSegment(p.SegmentID); err == nil {
		s.Ports--
	}
	return *p, nil
}

func (f *Fake) findPort(ref string) (*api.Port, error) {
	for _, p := range f.ports {
		if p.Name == ref || strings.HasPrefix(p.ID, ref) {
			return p, nil
		}
	}
	return nil, api.NotFoundf("no port %q: see list-ports", ref)
}
