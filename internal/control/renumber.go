package control

import (
	"context"
	"net/netip"

	"vswitch/api"
	"vswitch/internal/control/model"
)

// UpdateSegment implements [api.Backend].
func (d *Control) UpdateSegment(_ context.Context, ref string, update api.SegmentUpdate) (api.Segment, error) {
	d.lock()
	defer d.unlock()
	s, err := d.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	record := s.record
	if update.Name != nil && *update.Name != record.Name {
		if record.Name == api.DefaultSegment {
			return api.Segment{}, api.Conflictf("segment %q is the default segment and keeps its name: ports without --segment need it", record.Name)
		}
		if err := d.checkSegmentName(*update.Name); err != nil {
			return api.Segment{}, err
		}
		record.Name = *update.Name
	}
	if record.Labels, err = withLabels(record.Labels, update.Labels); err != nil {
		return api.Segment{}, err
	}
	if update.Subnet != nil && *update.Subnet != record.IPv4().Prefix {
		return d.renumber(s, record, *update.Subnet)
	}
	if err := d.store.Apply(model.PutSegment(record)); err != nil {
		return api.Segment{}, api.Internalf("store segment %q: %w", record.Name, err)
	}
	s.record = record
	if s.host != nil {
		d.lookAtHostSoon(s.host, 0) // its alias has the segment's name
	}
	return d.segmentNow(s).View(d.beyondHost()), nil
}

// renumber gives a segment without ports another subnet, a free one if none is
// given, or leaves it as it was. The other may be a part of the one that it has, or
// more than that.
func (d *Control) renumber(s *segment, record model.Segment, wanted netip.Prefix) (api.Segment, error) {
	if ports := d.portsOf(s); len(ports) > 0 {
		return api.Segment{}, api.Conflictf("segment %q has %d ports with addresses of %s: remove them with vsctl del-port first", s.record.Name, len(ports), s.record.IPv4().Prefix)
	}
	if s.pool != nil {
		return api.Segment{}, api.Conflictf("segment %q has the subnet of a pool, %s: add a segment anew instead", s.record.Name, s.record.IPv4().Prefix)
	}
	config, err := subnetConfig(api.SegmentSpec{Subnet: wanted})
	if err != nil {
		return api.Segment{}, err
	}
	var undo undo
	defer undo.run()
	subnet, err := d.takeSubnet(config, s.subnet, &undo)
	if err != nil {
		return api.Segment{}, err
	}
	old := s.record
	record.Subnets = subnetsOf(subnet)
	if err := d.store.Apply(model.PutSegment(record)); err != nil {
		return api.Segment{}, api.Internalf("store segment %q: %w", record.Name, err)
	}
	undo.add(func() {
		d.logFailure("take back the subnet of segment "+old.Name, d.store.Apply(model.PutSegment(old)))
	})
	d.removeSegment(s)
	undo.add(func() { d.logFailure("put back segment "+old.Name, d.restoreSegmentOn(old, s.subnet)) })
	if record.Uplink == string(api.UplinkHost) { // whose interface for the old subnet is gone by now
		if err := checkHostFree(subnet.Prefix()); err != nil {
			return api.Segment{}, err
		}
	}
	fresh, err := d.addSegment(record, subnet)
	if err != nil {
		return api.Segment{}, err
	}
	undo.add(func() { d.removeSegment(fresh) })
	if err := d.addUplink(fresh); err != nil {
		return api.Segment{}, err
	}
	undo.keep()
	d.logFailure("release subnet", d.ipam.Remove(s.subnet))
	d.log.Info("segment has another subnet", "segment", record.Name, "from", old.IPv4().Prefix, "to", subnet.Prefix())
	return d.segmentNow(fresh).View(d.beyondHost()), nil
}
