package control

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/ipam"
)

// pools leases addresses: to ports, and to others through [api.Pools].
type pools struct {
	*core
	ipam *ipam.Allocator
}

// pool is a subnet whose addresses are leased through [api.Pools], and by the ports
// of the segment over it. An address may be leased in both ways at once, as Docker
// does it: then it is free when both have given it back.
type pool struct {
	record model.Pool
	subnet *ipam.Subnet
}

// title is what people call it.
func (p *pool) title() string { return p.record.Prefix.String() }

func (p *pool) leased(a netip.Addr) bool { return p != nil && slices.Contains(p.record.Leases, a) }

func configOf(s model.Subnet) ipam.SubnetConfig {
	return ipam.SubnetConfig{Prefix: s.Prefix, Gateway: s.Gateway, Range: s.Range}
}

// AddPool implements [api.Pools].
func (ps *pools) AddPool(_ context.Context, spec api.PoolSpec) (api.Pool, error) {
	ps.lock()
	defer ps.unlock()
	config, err := subnetConfig(api.SegmentSpec{Subnet: spec.Subnet, IPRange: spec.IPRange})
	if err != nil {
		return api.Pool{}, err
	}
	avoid, err := ps.kernel.HostPrefixes()
	if err != nil {
		return api.Pool{}, api.Internalf("list the host's routes: %w", err)
	}
	subnet, err := ps.ipam.Add(config, avoid)
	if err != nil {
		return api.Pool{}, ipamError(err)
	}
	p := &pool{subnet: subnet, record: model.Pool{
		ID: ps.newID(), Subnet: subnetRecord(subnet), Created: time.Now().UTC(),
	}}
	if err := ps.store.Apply(model.PutPool(p.record)); err != nil {
		ps.logFailure("release subnet", ps.ipam.Remove(subnet))
		return api.Pool{}, api.Internalf("store pool %s: %w", subnet.Prefix(), err)
	}
	ps.allPools[p.record.ID] = p
	ps.log.Info("pool added", "subnet", p.record.Prefix, "id", p.record.ID)
	return ps.poolNow(p).View(), nil
}

// DeletePool implements [api.Pools].
func (ps *pools) DeletePool(_ context.Context, id string) (api.Pool, error) {
	ps.lock()
	defer ps.unlock()
	p, err := ps.findPool(id)
	if err != nil {
		return api.Pool{}, err
	}
	return ps.deletePool(p)
}

// ReclaimPool implements [api.Backend].
func (ps *pools) ReclaimPool(_ context.Context, ref string) (api.Pool, error) {
	ps.lock()
	defer ps.unlock()
	p, err := resolve(ps.allPools, ref, "pool", "list-pools")
	if err != nil {
		return api.Pool{}, err
	}
	if s := ps.segmentOver(p); s != nil {
		return api.Pool{}, api.Conflictf("pool %s is in use by segment %q: delete that, or its network in Docker", p.record.Prefix, s.record.Name)
	}
	return ps.deletePool(p)
}

func (ps *pools) deletePool(p *pool) (api.Pool, error) {
	id := p.record.ID
	shown := ps.poolNow(p).View()
	if err := ps.store.Apply(model.DeletePool(id)); err != nil {
		return api.Pool{}, api.Internalf("store the end of pool %s: %w", p.record.Prefix, err)
	}
	for _, a := range p.record.Leases {
		if !ps.portHas(p, a) {
			ps.logFailure("release address", p.subnet.Release(a))
		}
	}
	if s := ps.segmentOver(p); s != nil {
		s.pool = nil
		s.record, _ = ps.store.State().Segment(s.record.ID)
	} else {
		ps.logFailure("release subnet", ps.ipam.Remove(p.subnet))
	}
	delete(ps.allPools, id)
	ps.log.Info("pool removed", "subnet", p.record.Prefix, "id", id)
	return shown, nil
}

// Lease implements [api.Pools].
func (ps *pools) Lease(_ context.Context, id string, want netip.Addr) (netip.Prefix, error) {
	ps.lock()
	defer ps.unlock()
	p, err := ps.findPool(id)
	if err != nil {
		return netip.Prefix{}, err
	}
	if n := len(p.record.Leases); n >= model.MaxLeases {
		return netip.Prefix{}, api.Exhaustedf("pool %s has %d leases, which is all it may have: release one, or use another pool", p.record.Prefix, n)
	}
	addr, err := ps.leaseOf(p, want)
	if err != nil {
		return netip.Prefix{}, ipamError(err)
	}
	record := p.record
	record.Leases = append(slices.Clone(record.Leases), addr)
	if err := ps.store.Apply(model.PutPool(record)); err != nil {
		ps.logFailure("take back address", p.subnet.Cancel(addr))
		return netip.Prefix{}, api.Internalf("store the lease of %s: %w", addr, err)
	}
	p.record = record
	return netip.PrefixFrom(addr, record.Prefix.Bits()), nil
}

// LeaseGateway implements [api.Pools].
func (ps *pools) LeaseGateway(_ context.Context, id string, want netip.Addr) (netip.Prefix, error) {
	ps.lock()
	defer ps.unlock()
	p, err := ps.findPool(id)
	if err != nil {
		return netip.Prefix{}, err
	}
	old, want := p.record.Gateway, want.Unmap()
	if want.IsValid() && want != old {
		if s := ps.segmentOver(p); s != nil {
			return netip.Prefix{}, api.Conflictf("gateway of pool %s is that of segment %q already: %s", p.record.Prefix, s.record.Name, old)
		}
		if err := p.subnet.MoveGateway(want); err != nil {
			return netip.Prefix{}, ipamError(err)
		}
		record := p.record
		record.Gateway = want
		if err := ps.store.Apply(model.PutPool(record)); err != nil {
			ps.logFailure("take back the gateway", p.subnet.MoveGateway(old))
			return netip.Prefix{}, api.Internalf("store gateway %s: %w", want, err)
		}
		p.record = record
	}
	if !p.record.Gateway.IsValid() { // the port's address, for Docker must be given one
		return p.record.Prefix, nil
	}
	return netip.PrefixFrom(p.record.Gateway, p.record.Prefix.Bits()), nil
}

// Release implements [api.Pools].
func (ps *pools) Release(_ context.Context, id string, addr netip.Addr) error {
	ps.lock()
	defer ps.unlock()
	p, err := ps.findPool(id)
	if err != nil {
		return err
	}
	addr = addr.Unmap()
	if addr == p.record.Gateway {
		return nil // stays reserved as long as there is the pool
	}
	i := slices.Index(p.record.Leases, addr)
	if i < 0 {
		return api.NotFoundf("%s is not leased in pool %s", addr, p.record.Prefix)
	}
	record := p.record
	record.Leases = slices.Delete(slices.Clone(record.Leases), i, i+1)
	if err := ps.store.Apply(model.PutPool(record)); err != nil {
		return api.Internalf("store the end of the lease of %s: %w", addr, err)
	}
	p.record = record
	if !ps.portHas(p, addr) {
		ps.logFailure("release address", p.subnet.Release(addr))
	}
	return nil
}

// AddSegmentOver implements [api.Pools].
func (ss *segments) AddSegmentOver(_ context.Context, id string, spec api.SegmentSpec) (api.Segment, error) {
	ss.lock()
	defer ss.unlock()
	p, err := ss.pools.findPool(id)
	if err != nil {
		return api.Segment{}, err
	}
	if s := ss.segmentOver(p); s != nil {
		return api.Segment{}, api.Conflictf("pool %s is in use by segment %q: choose another", p.record.Prefix, s.record.Name)
	}
	if spec.Gateway.IsValid() && spec.Gateway.Unmap() != p.record.Gateway {
		return api.Segment{}, api.Conflictf("gateway %s is not that of pool %s, %s: lease it as such before", spec.Gateway, p.record.Prefix, p.record.Gateway)
	}
	return ss.newSegment(spec, p)
}

// portHas says whether a port has an address of the pool.
func (ps *pools) portHas(p *pool, a netip.Addr) bool {
	for _, ports := range []map[string]*port{ps.allPorts, ps.pending} {
		for _, port := range ports {
			if port.segment.pool == p && slices.Contains(port.record.Addrs, a) {
				return true
			}
		}
	}
	return false
}

func (ps *pools) findPool(id string) (*pool, error) {
	p := ps.allPools[id]
	if p == nil {
		return nil, api.NotFoundf("pool %q does not exist", id)
	}
	return p, nil
}

// restorePool gives a pool its subnet and leases back.
func (ps *pools) restorePool(record model.Pool) (err error) {
	p := &pool{record: record}
	if err := CheckOffered(record.Prefix); err != nil {
		return err
	}
	if p.subnet, err = ps.ipam.Add(configOf(record.Subnet), nil); err != nil {
		return err
	}
	for _, a := range record.Leases {
		if _, err := p.subnet.Allocate(a); err != nil {
			return err
		}
	}
	ps.allPools[record.ID] = p
	return nil
}

// release is the reverse of take, for a port that is no longer in the list.
func (s *segment) release(a netip.Addr) error {
	if s.pool.leased(a) {
		return nil
	}
	return s.subnet.Release(a)
}

// cancel is release for the latest lease, as if there had been none.
func (s *segment) cancel(a netip.Addr) error {
	if s.pool.leased(a) {
		return nil
	}
	return s.subnet.Cancel(a)
}
