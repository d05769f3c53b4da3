package control

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/ipam"
	"vswitch/internal/netns"
)

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

var _ api.Pools = (*Control)(nil)

// AddPool implements [api.Pools].
func (d *Control) AddPool(_ context.Context, spec api.PoolSpec) (api.Pool, error) {
	d.lock()
	defer d.unlock()
	config, err := subnetConfig(api.SegmentSpec{Subnet: spec.Subnet, IPRange: spec.IPRange})
	if err != nil {
		return api.Pool{}, err
	}
	avoid, err := netns.HostPrefixes()
	if err != nil {
		return api.Pool{}, api.Internalf("list the host's routes: %w", err)
	}
	subnet, err := d.ipam.Add(config, avoid)
	if err != nil {
		return api.Pool{}, ipamError(err)
	}
	p := &pool{subnet: subnet, record: model.Pool{
		ID: newID(), Subnet: subnetRecord(subnet), Created: time.Now().UTC(),
	}}
	if err := d.store.Apply(model.PutPool(p.record)); err != nil {
		d.logFailure("release subnet", d.ipam.Remove(subnet))
		return api.Pool{}, api.Internalf("store pool %s: %w", subnet.Prefix(), err)
	}
	d.leasePools[p.record.ID] = p
	d.log.Info("pool added", "subnet", p.record.Prefix, "id", p.record.ID)
	return d.poolNow(p).View(), nil
}

// DeletePool implements [api.Pools].
func (d *Control) DeletePool(_ context.Context, id string) (api.Pool, error) {
	d.lock()
	defer d.unlock()
	p, err := d.findPool(id)
	if err != nil {
		return api.Pool{}, err
	}
	return d.deletePool(p)
}

// ReclaimPool implements [api.Backend].
func (d *Control) ReclaimPool(_ context.Context, ref string) (api.Pool, error) {
	d.lock()
	defer d.unlock()
	p, err := resolve(d.leasePools, ref, "pool", "list-pools")
	if err != nil {
		return api.Pool{}, err
	}
	if s := d.segmentOver(p); s != nil {
		return api.Pool{}, api.Conflictf("pool %s is in use by segment %q: delete that, or its network in Docker", p.record.Prefix, s.record.Name)
	}
	return d.deletePool(p)
}

func (d *Control) deletePool(p *pool) (api.Pool, error) {
	id := p.record.ID
	shown := d.poolNow(p).View()
	if err := d.store.Apply(model.DeletePool(id)); err != nil {
		return api.Pool{}, api.Internalf("store the end of pool %s: %w", p.record.Prefix, err)
	}
	for _, a := range p.record.Leases {
		if !d.portHas(p, a) {
			d.logFailure("release address", p.subnet.Release(a))
		}
	}
	if s := d.segmentOver(p); s != nil {
		s.pool = nil
		s.record, _ = d.store.State().Segment(s.record.ID)
	} else {
		d.logFailure("release subnet", d.ipam.Remove(p.subnet))
	}
	delete(d.leasePools, id)
	d.log.Info("pool removed", "subnet", p.record.Prefix, "id", id)
	return shown, nil
}

// Lease implements [api.Pools].
func (d *Control) Lease(_ context.Context, id string, want netip.Addr) (netip.Prefix, error) {
	d.lock()
	defer d.unlock()
	p, err := d.findPool(id)
	if err != nil {
		return netip.Prefix{}, err
	}
	addr, err := p.subnet.Allocate(want)
	if err != nil {
		return netip.Prefix{}, ipamError(err)
	}
	record := p.record
	record.Leases = append(slices.Clone(record.Leases), addr)
	if err := d.store.Apply(model.PutPool(record)); err != nil {
		d.logFailure("take back address", p.subnet.Cancel(addr))
		return netip.Prefix{}, api.Internalf("store the lease of %s: %w", addr, err)
	}
	p.record = record
	return netip.PrefixFrom(addr, record.Prefix.Bits()), nil
}

// LeaseGateway implements [api.Pools].
func (d *Control) LeaseGateway(_ context.Context, id string, want netip.Addr) (netip.Prefix, error) {
	d.lock()
	defer d.unlock()
	p, err := d.findPool(id)
	if err != nil {
		return netip.Prefix{}, err
	}
	old := p.record.Gateway
	if want.IsValid() && want != old {
		if s := d.segmentOver(p); s != nil {
			return netip.Prefix{}, api.Conflictf("gateway of pool %s is that of segment %q already: %s", p.record.Prefix, s.record.Name, old)
		}
		if err := p.subnet.MoveGateway(want); err != nil {
			return netip.Prefix{}, ipamError(err)
		}
		record := p.record
		record.Gateway = want
		if err := d.store.Apply(model.PutPool(record)); err != nil {
			d.logFailure("take back the gateway", p.subnet.MoveGateway(old))
			return netip.Prefix{}, api.Internalf("store gateway %s: %w", want, err)
		}
		p.record = record
	}
	return netip.PrefixFrom(p.record.Gateway, p.record.Prefix.Bits()), nil
}

// Release implements [api.Pools].
func (d *Control) Release(_ context.Context, id string, addr netip.Addr) error {
	d.lock()
	defer d.unlock()
	p, err := d.findPool(id)
	if err != nil {
		return err
	}
	if addr == p.record.Gateway {
		return nil // stays reserved as long as there is the pool
	}
	i := slices.Index(p.record.Leases, addr)
	if i < 0 {
		return api.NotFoundf("%s is not leased in pool %s", addr, p.record.Prefix)
	}
	record := p.record
	record.Leases = slices.Delete(slices.Clone(record.Leases), i, i+1)
	if err := d.store.Apply(model.PutPool(record)); err != nil {
		return api.Internalf("store the end of the lease of %s: %w", addr, err)
	}
	p.record = record
	if !d.portHas(p, addr) {
		d.logFailure("release address", p.subnet.Release(addr))
	}
	return nil
}

// AddSegmentOver implements [api.Pools].
func (d *Control) AddSegmentOver(_ context.Context, id string, spec api.SegmentSpec) (api.Segment, error) {
	d.lock()
	defer d.unlock()
	p, err := d.findPool(id)
	if err != nil {
		return api.Segment{}, err
	}
	if s := d.segmentOver(p); s != nil {
		return api.Segment{}, api.Conflictf("pool %s is in use by segment %q: choose another", p.record.Prefix, s.record.Name)
	}
	if spec.Gateway.IsValid() && spec.Gateway != p.record.Gateway {
		return api.Segment{}, api.Conflictf("gateway %s is not that of pool %s, %s: lease it as such before", spec.Gateway, p.record.Prefix, p.record.Gateway)
	}
	return d.newSegment(spec, p)
}

// segmentOver is the segment over a pool, or nil.
func (d *Control) segmentOver(p *pool) *segment {
	for _, s := range d.segments {
		if s.pool == p {
			return s
		}
	}
	return nil
}

// portHas says whether a port has an address of the pool.
func (d *Control) portHas(p *pool, a netip.Addr) bool {
	for _, port := range d.ports {
		if port.segment.pool == p && slices.Contains(port.record.Addrs, a) {
			return true
		}
	}
	return false
}

func (d *Control) findPool(id string) (*pool, error) {
	p := d.leasePools[id]
	if p == nil {
		return nil, api.NotFoundf("pool %q does not exist", id)
	}
	return p, nil
}

// restorePool gives a pool its subnet and leases back.
func (d *Control) restorePool(record model.Pool) (err error) {
	p := &pool{record: record}
	if err := CheckOffered(record.Prefix); err != nil {
		return err
	}
	if p.subnet, err = d.ipam.Add(configOf(record.Subnet), nil); err != nil {
		return err
	}
	for _, a := range record.Leases {
		if _, err := p.subnet.Allocate(a); err != nil {
			return err
		}
	}
	d.leasePools[record.ID] = p
	return nil
}

// allocate leases an address of the segment for a port. One that is leased through
// the segment's pool is meant for a port, unless another has it already.
func (d *Control) allocate(s *segment, want netip.Addr) (netip.Addr, error) {
	if s.pool.leased(want) && !d.portHas(s.pool, want) {
		return want, nil
	}
	return s.subnet.Allocate(want)
}

// release is the reverse of allocate, for a port that is no longer in the list.
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
