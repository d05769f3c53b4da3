package apitest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"vswitch/api"
)

// AddSegment implements [api.Backend].
func (f *Fake) AddSegment(ctx context.Context, spec api.SegmentSpec) (api.Segment, error) {
	if err := f.enter(ctx, "AddSegment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	if err := f.checkSegment(spec); err != nil {
		return api.Segment{}, err
	}
	subnet, err := f.free(spec.Subnet, nil)
	if err != nil {
		return api.Segment{}, err
	}
	return f.addSegment(spec, subnet), nil
}

// checkSegment returns a Conflict if another segment has the name or the id.
func (f *Fake) checkSegment(spec api.SegmentSpec) error {
	for _, s := range f.segments {
		switch {
		case s.Name == spec.Name:
			return api.Conflictf("segment %q already exists: choose another name", spec.Name)
		case s.ID == spec.ID:
			return api.Conflictf("segment %s already exists: choose another id, "+
				"or none for a new one", spec.ID)
		}
	}
	return nil
}

func (f *Fake) addSegment(spec api.SegmentSpec, subnet netip.Prefix) api.Segment {
	id, uplink := f.id(spec.ID), api.UplinkOf(spec.Uplink, spec.Internal)
	s := &segment{Segment: api.Segment{
		ID: id, Uplink: uplink, Name: spec.Name, Driver: "vswitch", Scope: "local", Subnet: subnet,
		Internal: spec.Internal, MTU: spec.MTU,
		Labels: spec.Labels, Created: f.now(),
	}}
	s.Gateway = cmp.Or(spec.Gateway, subnet.Addr().Next()).String()
	s.next = subnet.Addr().Next()
	if r := spec.IPRange; r.IsValid() && r != subnet {
		s.IPRange, s.next = r.String(), r.Addr()
	}
	if s.MTU == 0 {
		s.MTU = 1500
	}
	if uplink == api.UplinkHost {
		counters := api.Counters{Since: s.Created, Drops: map[string]uint64{}}
		s.HostLink = api.HostLink{Name: "vs-" + id[:11], State: api.PortUp, Counters: counters}
	}
	f.segments = append(f.segments, s)
	return s.Segment
}

// Segments implements [api.Backend].
func (f *Fake) Segments(ctx context.Context) ([]api.Segment, error) {
	if err := f.enter(ctx, "Segments"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	var list []api.Segment
	for _, s := range slices.Backward(f.segments) { // the server sorts
		list = append(list, s.Segment)
	}
	return list, nil
}

// Segment implements [api.Backend].
func (f *Fake) Segment(ctx context.Context, ref string) (api.Segment, error) {
	if err := f.enter(ctx, "Segment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	return s.Segment, nil
}

// UpdateSegment implements [api.Backend].
func (f *Fake) UpdateSegment(ctx context.Context, ref string, u api.SegmentUpdate) (api.Segment, error) {
	if err := f.enter(ctx, "UpdateSegment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	if u.Name != nil && *u.Name != s.Name {
		if s.Name == api.DefaultSegment {
			return api.Segment{}, api.Conflictf("segment %q is the default segment and keeps its name: "+
				"ports without --segment need it", s.Name)
		}
		if err := f.checkSegment(api.SegmentSpec{Name: *u.Name}); err != nil {
			return api.Segment{}, err
		}
	}
	if u.Subnet != nil && *u.Subnet != s.Subnet {
		if err := f.renumber(s, *u.Subnet); err != nil {
			return api.Segment{}, err
		}
	}
	update(&s.Name, u.Name)
	for _, p := range f.ports {
		if p.SegmentID == s.ID {
			p.Segment = s.Name
		}
	}
	s.Labels = relabelled(s.Labels, u.Labels)
	return s.Segment, nil
}

// renumber gives a segment without ports another subnet.
func (f *Fake) renumber(s *segment, subnet netip.Prefix) error {
	if s.Ports > 0 {
		return api.Conflictf("segment %q has %d ports with addresses of %s: "+
			"remove them with vsctl del-port first", s.Name, s.Ports, s.Subnet)
	}
	if slices.ContainsFunc(f.pools, func(p *pool) bool { return p.segment == s }) {
		return api.Conflictf("segment %q has the subnet of a pool, %s: "+
			"add a segment anew instead", s.Name, s.Subnet)
	}
	other, err := f.free(subnet, s)
	if err != nil {
		return err
	}
	s.Subnet, s.IPRange, s.next = other, "", other.Addr().Next()
	s.Gateway = s.next.String()
	return nil
}

// DeleteSegment implements [api.Backend].
func (f *Fake) DeleteSegment(ctx context.Context, ref string, force bool) (api.Segment, error) {
	if err := f.enter(ctx, "DeleteSegment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	if s.Name == api.DefaultSegment {
		return api.Segment{}, api.Conflictf("segment %q is the default segment and stays: "+
			"ports without --segment need it", s.Name)
	}
	if s.Ports > 0 && !force {
		return api.Segment{}, api.Conflictf("segment %q has %d ports: "+
			"remove them with vsctl del-port, or give --force", s.Name, s.Ports)
	}
	view := s.Segment
	for _, p := range slices.Clone(f.ports) {
		if p.SegmentID == s.ID {
			f.deletePort(p)
		}
	}
	f.segments = slices.DeleteFunc(f.segments, func(o *segment) bool { return o == s })
	for _, p := range f.pools {
		if p.segment == s {
			p.segment = nil
		}
	}
	return view, nil
}

func (f *Fake) findSegment(ref string) (*segment, error) {
	key := func(s *segment) (id, name string) { return s.ID, s.Name }
	return find(f.segments, key, ref, "segment", "list-segments")
}

// filter resolves the segment of a listing; of an empty one it says that all are in it.
func (f *Fake) filter(ref string) (in func(segmentID string) bool, err error) {
	if ref == "" {
		return func(string) bool { return true }, nil
	}
	s, err := f.findSegment(ref)
	if err != nil {
		return nil, err
	}
	return func(id string) bool { return id == s.ID }, nil
}
