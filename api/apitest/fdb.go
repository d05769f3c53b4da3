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
	return slices.DeleteFunc(slices.Clone(f.fdb), func(e api.FDBEntry) bool { return name != "" && e.Segment != name }), nil
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
	f.fdb = slices.DeleteFunc(f.fdb, func(o api.FDBEntry) bool { return o.Segment == s.Name && o.MAC == spec.MAC })
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
	i := slices.IndexFunc(f.fdb, func(e api.FDBEntry) bool { return e.Segment == s.Name && e.MAC == mac })
	if i < 0 {
		return api.FDBEntry{}, api.NotFoundf("no entry for %s in segment %s: see list-fdb", mac, s.Name)
	}
	e := f.fdb[i]
	f.fdb = slices.Delete(f.fdb, i, i+1)
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
			list = append(list, api.Binding{Segment: p.Segment, IP: p.IPs[0].Addr(), MAC: p.MAC, Port: p.Name, Kind: api.Static})
		}
	}
	return list, nil
}
