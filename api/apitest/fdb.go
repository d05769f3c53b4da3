package apitest

import (
	"context"
	"slices"

	"vswitch/api"
)

// FDB implements [api.Backend].
func (f *Fake) FDB(ctx context.Context, ref string) ([]api.FDBEntry, error) {
	if err := f.enter(ctx, "FDB"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	name, err := f.segmentName(ref)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(f.entries(), func(e api.FDBEntry) bool {
		return name != "" && e.Segment != name
	}), nil
}

// entries are those that were added and learned, and an own one for each port whose MAC
// none of these has.
func (f *Fake) entries() []api.FDBEntry {
	list := slices.Clone(f.fdb)
	for _, p := range f.ports {
		if !slices.ContainsFunc(f.fdb, isEntry(p.Segment, p.MAC)) {
			list = append(list, api.FDBEntry{Segment: p.Segment, MAC: p.MAC, Port: p.Name, Kind: api.Own})
		}
	}
	return list
}

// isEntry says whether an entry is that of a segment for a MAC.
func isEntry(segment, mac string) func(api.FDBEntry) bool {
	return func(e api.FDBEntry) bool { return e.Segment == segment && e.MAC == mac }
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
	p, err := f.findPort(spec.Port)
	if err != nil {
		return api.FDBEntry{}, err
	}
	e := api.FDBEntry{Segment: s.Name, MAC: spec.MAC, Port: p.Name, Kind: api.Static}
	f.fdb = slices.DeleteFunc(f.fdb, isEntry(s.Name, spec.MAC))
	f.fdb = append(f.fdb, e)
	return e, nil
}

// DeleteFDB implements [api.Backend].
func (f *Fake) DeleteFDB(ctx context.Context, ref, mac string) (api.FDBEntry, error) {
	if err := f.enter(ctx, "DeleteFDB"); err != nil {
		return api.FDBEntry{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.FDBEntry{}, err
	}
	list := f.entries()
	i := slices.IndexFunc(list, isEntry(s.Name, mac))
	if i < 0 {
		return api.FDBEntry{}, api.NotFoundf("no entry for %s in segment %s: see list-fdb", mac, s.Name)
	}
	e := list[i]
	if e.Kind == api.Own {
		return api.FDBEntry{}, api.Conflictf("MAC %s is port %s's own address: it goes with the port",
			mac, e.Port)
	}
	f.fdb = slices.DeleteFunc(f.fdb, isEntry(s.Name, mac))
	return e, nil
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
	port := ""
	if flush.Port != "" {
		p, err := f.findPort(flush.Port)
		if err != nil {
			return api.FDBFlushed{}, err
		}
		port = p.Name
	}
	before := len(f.fdb)
	f.fdb = slices.DeleteFunc(f.fdb, func(e api.FDBEntry) bool {
		return e.Segment == s.Name && e.Kind == api.Dynamic && (port == "" || e.Port == port)
	})
	return api.FDBFlushed{Flushed: before - len(f.fdb)}, nil
}

// ARP implements [api.Backend].
func (f *Fake) ARP(ctx context.Context, ref string) ([]api.Binding, error) {
	if err := f.enter(ctx, "ARP"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	name, err := f.segmentName(ref)
	if err != nil {
		return nil, err
	}
	var list []api.Binding
	for _, p := range slices.Backward(f.ports) {
		if name == "" || p.Segment == name {
			list = append(list, api.Binding{
				Segment: p.Segment, IP: p.IPs[0].Addr(), MAC: p.MAC, Port: p.Name, Kind: api.BindingPort,
			})
		}
	}
	return list, nil
}
