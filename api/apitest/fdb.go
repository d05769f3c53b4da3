package apitest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"vswitch/api"
)

// entry is a dynamic or static entry of the forwarding table.
type entry struct {
	port *api.Port
	mac  api.MAC
	kind api.FDBEntryKind
	age  int // in seconds
}

func (e entry) view() api.FDBEntry {
	return api.FDBEntry{
		Segment: e.port.Segment, MAC: e.mac, Port: e.port.Name, Kind: e.kind, AgeSeconds: e.age,
	}
}

// FDB implements [api.Backend].
func (f *Fake) FDB(ctx context.Context, ref string) ([]api.FDBEntry, error) {
	if err := f.enter(ctx, "FDB"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	in, err := f.filter(ref)
	if err != nil {
		return nil, err
	}
	var list []api.FDBEntry
	for _, s := range slices.Backward(f.segments) {
		if in(s.ID) {
			list = append(list, f.entries(s)...)
		}
	}
	return list, nil
}

// entries are those of a segment: its gateway's and its ports' own, and the others.
func (f *Fake) entries(s *segment) []api.FDBEntry {
	list := []api.FDBEntry{{
		Segment: s.Name, MAC: s.gatewayMAC(), Port: api.GatewayName, Kind: api.Own,
	}}
	for _, p := range f.ports {
		if p.SegmentID == s.ID {
			list = append(list, entry{port: p, mac: p.MAC, kind: api.Own}.view())
		}
	}
	for _, e := range f.fdb {
		if e.port.SegmentID == s.ID {
			list = append(list, e.view())
		}
	}
	slices.SortFunc(list, func(a, b api.FDBEntry) int { return cmp.Compare(a.MAC.Uint64(), b.MAC.Uint64()) })
	return list
}

func (s *segment) gatewayMAC() api.MAC { return macOf(netip.MustParseAddr(s.Gateway)) }

// macOf is the MAC of whoever has an address and no other MAC.
func macOf(a netip.Addr) api.MAC {
	b := a.As4()
	return api.MAC{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

// checkOwn returns a Conflict if a MAC is the segment's gateway's or a port's own.
func (f *Fake) checkOwn(s *segment, mac api.MAC) error {
	if mac == s.gatewayMAC() {
		return api.Conflictf("MAC %s is the gateway's on segment %q: choose another", mac, s.Name)
	}
	for _, p := range f.ports {
		if p.SegmentID == s.ID && p.MAC == mac {
			return api.Conflictf("MAC %s is port %q's own address on segment %q, "+
				"whose entry lasts as long as the port", mac, p.Name, s.Name)
		}
	}
	return nil
}

// isEntry says whether an entry is that of a segment for a MAC.
func isEntry(s *segment, mac api.MAC) func(entry) bool {
	return func(e entry) bool { return e.port.SegmentID == s.ID && e.mac == mac }
}

// AddFDB implements [api.Backend].
func (f *Fake) AddFDB(ctx context.Context, ref string, spec api.FDBSpec) (api.FDBEntry, error) {
	if err := f.enter(ctx, "AddFDB"); err != nil {
		return api.FDBEntry{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.FDBEntry{}, err
	}
	p, err := f.portOn(s, spec.Port)
	if err != nil {
		return api.FDBEntry{}, err
	}
	if err := f.checkOwn(s, spec.MAC); err != nil {
		return api.FDBEntry{}, err
	}
	f.fdb = slices.DeleteFunc(f.fdb, isEntry(s, spec.MAC))
	e := entry{port: p, mac: spec.MAC, kind: api.Static}
	f.fdb = append(f.fdb, e)
	return e.view(), nil
}

// DeleteFDB implements [api.Backend].
func (f *Fake) DeleteFDB(ctx context.Context, ref string, mac api.MAC) (api.FDBEntry, error) {
	if err := f.enter(ctx, "DeleteFDB"); err != nil {
		return api.FDBEntry{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.FDBEntry{}, err
	}
	if err := f.checkOwn(s, mac); err != nil {
		return api.FDBEntry{}, err
	}
	i := slices.IndexFunc(f.fdb, isEntry(s, mac))
	if i < 0 {
		return api.FDBEntry{}, api.NotFoundf("MAC %s has no entry on segment %q: see vsctl list-fdb %s",
			mac, s.Name, s.Name)
	}
	e := f.fdb[i]
	f.fdb = slices.Delete(f.fdb, i, i+1)
	return e.view(), nil
}

// FlushFDB implements [api.Backend].
func (f *Fake) FlushFDB(ctx context.Context, ref string, flush api.FDBFlush) (api.FDBFlushed, error) {
	if err := f.enter(ctx, "FlushFDB"); err != nil {
		return api.FDBFlushed{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.FDBFlushed{}, err
	}
	var only *api.Port
	if flush.Port != "" {
		if only, err = f.portOn(s, flush.Port); err != nil {
			return api.FDBFlushed{}, err
		}
	}
	before := len(f.fdb)
	f.fdb = slices.DeleteFunc(f.fdb, func(e entry) bool {
		return e.port.SegmentID == s.ID && e.kind == api.Dynamic && (only == nil || e.port == only)
	})
	return api.FDBFlushed{Flushed: before - len(f.fdb)}, nil
}

// ARP implements [api.Backend].
func (f *Fake) ARP(ctx context.Context, ref string) ([]api.Binding, error) {
	if err := f.enter(ctx, "ARP"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	in, err := f.filter(ref)
	if err != nil {
		return nil, err
	}
	var list []api.Binding
	for _, p := range slices.Backward(f.ports) {
		if in(p.SegmentID) && p.State == api.PortUp && !p.DHCP { // nobody here asks for it
			list = append(list, api.Binding{
				Segment: p.Segment, IP: p.IPs[0].Addr(), MAC: p.MAC, Port: p.Name, Kind: api.BindingPort,
			})
		}
	}
	for _, s := range slices.Backward(f.segments) {
		if in(s.ID) {
			list = append(list, api.Binding{
				Segment: s.Name, IP: netip.MustParseAddr(s.Gateway), MAC: s.gatewayMAC(),
				Port: api.GatewayName, Kind: api.BindingGateway,
			})
		}
	}
	return list, nil
}
