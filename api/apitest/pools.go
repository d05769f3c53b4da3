package apitest

import (
	"context"
	"net/netip"
	"slices"

	"vswitch/api"
)

// pool is a pool of the fake with its leases.
type pool struct {
	api.Pool
	segment *segment // over it, or nil
	leases  []netip.Addr
	next    netip.Addr
}

func (p *pool) view() api.Pool {
	v := p.Pool
	if p.segment != nil {
		v.Segment = p.segment.Name
	}
	return v
}

var _ api.Pools = (*Fake)(nil)

// AddPool implements [api.Pools].
func (f *Fake) AddPool(ctx context.Context, spec api.PoolSpec) (api.Pool, error) {
	if err := f.enter(ctx, "AddPool"); err != nil {
		return api.Pool{}, err
	}
	defer f.mu.Unlock()
	subnet, err := f.free(spec.Subnet, nil)
	if err != nil {
		return api.Pool{}, err
	}
	gateway := subnet.Addr().Next()
	p := &pool{Pool: api.Pool{ID: f.id(""), Subnet: subnet, Gateway: gateway, Created: f.now()}, next: gateway}
	if spec.IPRange.IsValid() {
		p.next = spec.IPRange.Addr()
	}
	f.pools = append(f.pools, p)
	return p.view(), nil
}

// Pools implements [api.Pools].
func (f *Fake) Pools(ctx context.Context) ([]api.Pool, error) {
	if err := f.enter(ctx, "Pools"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	list := []api.Pool{}
	for _, p := range f.pools {
		list = append(list, p.view())
	}
	return list, nil
}

// DeletePool implements [api.Pools].
func (f *Fake) DeletePool(ctx context.Context, id string) (api.Pool, error) {
	if err := f.enter(ctx, "DeletePool"); err != nil {
		return api.Pool{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPool(id)
	if err != nil {
		return api.Pool{}, err
	}
	f.pools = slices.DeleteFunc(f.pools, func(o *pool) bool { return o == p })
	return p.view(), nil
}

// ReclaimPool implements [api.Backend].
func (f *Fake) ReclaimPool(ctx context.Context, ref string) (api.Pool, error) {
	if err := f.enter(ctx, "ReclaimPool"); err != nil {
		return api.Pool{}, err
	}
	defer f.mu.Unlock()
	key := func(p *pool) (id, name string) { return p.ID, p.Subnet.String() }
	p, err := find(f.pools, key, ref, "pool", "list-pools")
	if err != nil {
		return api.Pool{}, err
	}
	if p.segment != nil {
		return api.Pool{}, api.Conflictf("pool %s is in use by segment %q: "+
			"delete that, or its network in Docker", p.Subnet, p.segment.Name)
	}
	f.pools = slices.DeleteFunc(f.pools, func(o *pool) bool { return o == p })
	return p.view(), nil
}

// Lease implements [api.Pools].
func (f *Fake) Lease(ctx context.Context, id string, want netip.Addr) (netip.Prefix, error) {
	if err := f.enter(ctx, "Lease"); err != nil {
		return netip.Prefix{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPool(id)
	if err != nil {
		return netip.Prefix{}, err
	}
	if !want.IsValid() {
		for p.next == p.Gateway || slices.Contains(p.leases, p.next) {
			p.next = p.next.Next()
		}
		want = p.next
		p.next = p.next.Next()
	}
	if slices.Contains(p.leases, want) || !p.Subnet.Contains(want) {
		return netip.Prefix{}, api.Conflictf("%s is already in use in %s: "+
			"request another address, or none for a free one", want, p.Subnet)
	}
	p.leases = append(p.leases, want)
	p.Leases = len(p.leases)
	return netip.PrefixFrom(want, p.Subnet.Bits()), nil
}

// LeaseGateway implements [api.Pools].
func (f *Fake) LeaseGateway(ctx context.Context, id string, want netip.Addr) (netip.Prefix, error) {
	if err := f.enter(ctx, "LeaseGateway"); err != nil {
		return netip.Prefix{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPool(id)
	if err != nil {
		return netip.Prefix{}, err
	}
	if want.IsValid() {
		p.Gateway = want
	}
	return netip.PrefixFrom(p.Gateway, p.Subnet.Bits()), nil
}

// Release implements [api.Pools].
func (f *Fake) Release(ctx context.Context, id string, addr netip.Addr) error {
	if err := f.enter(ctx, "Release"); err != nil {
		return err
	}
	defer f.mu.Unlock()
	p, err := f.findPool(id)
	if err != nil {
		return err
	}
	i := slices.Index(p.leases, addr)
	if i < 0 {
		return api.NotFoundf("%s is not leased in pool %s", addr, p.Subnet)
	}
	p.leases = slices.Delete(p.leases, i, i+1)
	p.Leases = len(p.leases)
	return nil
}

// AddSegmentOver implements [api.Pools].
func (f *Fake) AddSegmentOver(ctx context.Context, id string, spec api.SegmentSpec) (api.Segment, error) {
	if err := f.enter(ctx, "AddSegment"); err != nil {
		return api.Segment{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPool(id)
	if err != nil {
		return api.Segment{}, err
	}
	switch {
	case p.segment != nil:
		return api.Segment{}, api.Conflictf("pool %s is in use by segment %q: choose another",
			p.Subnet, p.segment.Name)
	case spec.Gateway.IsValid() && spec.Gateway != p.Gateway:
		return api.Segment{}, api.Conflictf("gateway %s is not that of pool %s, %s: "+
			"lease it as such before", spec.Gateway, p.Subnet, p.Gateway)
	}
	if err := f.checkSegment(spec); err != nil {
		return api.Segment{}, err
	}
	spec.Gateway = p.Gateway
	s := f.addSegment(spec, p.Subnet)
	p.segment = f.segments[len(f.segments)-1]
	return s, nil
}

func (f *Fake) findPool(id string) (*pool, error) {
	for _, p := range f.pools {
		if p.ID == id {
			return p, nil
		}
	}
	return nil, api.NotFoundf("pool %q does not exist", id)
}
