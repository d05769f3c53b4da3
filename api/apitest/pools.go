package apitest

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"vswitch/api"
)

// pool is a pool of the fake with its leases.
type pool struct {
	api.Pool
	leases []netip.Addr
	next   netip.Addr
}

var _ api.Pools = (*Fake)(nil)

// AddPool implements [api.Pools].
func (f *Fake) AddPool(ctx context.Context, spec api.PoolSpec) (api.Pool, error) {
	if err := f.enter(ctx, "AddPool"); err != nil {
		return api.Pool{}, err
	}
	defer f.mu.Unlock()
	subnet, err := f.pool(spec.Subnet)
	if err != nil {
		return api.Pool{}, err
	}
	gateway := subnet.Addr().Next()
	p := &pool{Pool: api.Pool{ID: f.id(""), Subnet: subnet, Gateway: gateway, Created: f.now()}, next: gateway}
	if spec.IPRange != "" {
		p.next = netip.MustParsePrefix(spec.IPRange).Addr() // which the caller has checked
	}
	f.pools = append(f.pools, p)
	return p.Pool, nil
}

// Pools implements [api.Pools].
func (f *Fake) Pools(ctx context.Context) ([]api.Pool, error) {
	if err := f.enter(ctx, "Pools"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	list := []api.Pool{}
	for _, p := range f.pools {
		list = append(list, p.Pool)
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
	return p.Pool, nil
}

// ReclaimPool implements [api.Backend].
func (f *Fake) ReclaimPool(ctx context.Context, ref string) (api.Pool, error) {
	if err := f.enter(ctx, "ReclaimPool"); err != nil {
		return api.Pool{}, err
	}
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.pools, func(p *pool) bool { return strings.HasPrefix(p.ID, ref) })
	if i < 0 {
		return api.Pool{}, api.NotFoundf("no pool %q: see list-pools", ref)
	}
	p := f.pools[i]
	if p.Segment != "" {
		return api.Pool{}, api.Conflictf("pool %s is that of segment %s: delete that", p.Subnet, p.Segment)
	}
	f.pools = slices.Delete(f.pools, i, i+1)
	return p.Pool, nil
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
		return netip.Prefix{}, api.Conflictf("%s is not free in %s", want, p.Subnet)
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
		return api.NotFoundf("%s is not leased in %s", addr, p.Subnet)
	}
	p.leases = slices.Delete(p.leases, i, i+1)
	p.Leases = len(p.leases)
	return nil
}

// AddSegmentOver implements [api.Pools].
func (f *Fake) AddSegmentOver(ctx context.Context, id string, spec api.SegmentSpec) (api.Segment, error) {
	f.mu.Lock()
	p, err := f.findPool(id)
	f.mu.Unlock()
	if err != nil {
		return api.Segment{}, err
	}
	s, err := f.AddSegment(ctx, spec)
	if err == nil {
		p.Segment = s.Name
	}
	return s, err
}

func (f *Fake) findPool(id string) (*pool, error) {
	for _, p := range f.pools {
		if p.ID == id {
			return p, nil
		}
	}
	return nil, api.NotFoundf("no pool %q", id)
}
