package control

import (
	"context"
	"net/netip"

	"vswitch/api"
	"vswitch/internal/control/model"
)

// UpdateSegment implements [api.Backend].
func (ss *segments) UpdateSegment(_ context.Context, ref string, update api.SegmentUpdate) (api.Segment, error) {
	ss.lock()
	defer ss.unlock()
	s, err := ss.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	record := s.record
	if update.Name != nil && *update.Name != record.Name {
		if record.Name == api.DefaultSegment {
			return api.Segment{}, api.Conflictf("segment %q is the default segment and keeps its name: ports without --segment need it", record.Name)
		}
		if err := ss.checkSegmentName(*update.Name); err != nil {
			return api.Segment{}, err
		}
		record.Name = *update.Name
	}
	if record.Labels, err = withLabels(record.Labels, update.Labels); err != nil {
		return api.Segment{}, err
	}
	if update.Offload != nil {
		record.Offload = string(*update.Offload)
	}
	if update.Subnet != nil && *update.Subnet != record.IPv4().Prefix {
		return ss.renumber(s, record, *update.Subnet)
	}
	if err := ss.store.Apply(model.PutSegment(record)); err != nil {
		return api.Segment{}, api.Internalf("store segment %q: %w", record.Name, err)
	}
	s.record = record
	ss.ports.followOffload(ss.portsOf(s))
	if s.host != nil {
		ss.hostLinks.lookAtHostSoon(s.host, 0) // its alias has the segment's name
	}
	return ss.segmentNow(s).View(ss.way().Beyond()), nil
}

// renumber gives a segment without ports another subnet, a free one if none is
// given, or leaves it as it was. The other may be a part of the one that it has, or
// more than that.
func (ss *segments) renumber(s *segment, record model.Segment, wanted netip.Prefix) (api.Segment, error) {
	if n := len(ss.portsOf(s)) + ss.pendingOf(s); n > 0 {
		return api.Segment{}, api.Conflictf("segment %q has %d ports with addresses of %s: remove them with vsctl del-port first", s.record.Name, n, s.record.IPv4().Prefix)
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
	subnet, err := ss.pools.takeSubnet(config, s.subnet, &undo)
	if err != nil {
		return api.Segment{}, err
	}
	if err := checkHasGateway(subnet, record.Internal); err != nil {
		return api.Segment{}, err
	}
	if err := checkAux(record.AuxAddresses, subnet); err != nil {
		return api.Segment{}, err
	}
	old := s.record
	record.Subnets = subnetsOf(subnet)
	if err := ss.store.Apply(model.PutSegment(record)); err != nil {
		return api.Segment{}, api.Internalf("store segment %q: %w", record.Name, err)
	}
	undo.add(func() {
		ss.logFailure("take back the subnet of segment "+old.Name, ss.store.Apply(model.PutSegment(old)))
	})
	ss.removeSegment(s)
	undo.add(func() { ss.logFailure("put back segment "+old.Name, ss.restoreSegmentOn(old, s.subnet)) })
	if record.Uplink == string(api.UplinkHost) { // whose interface for the old subnet is gone by now
		if err := ss.checkHostFree(subnet.Prefix()); err != nil {
			return api.Segment{}, err
		}
	}
	fresh, err := ss.addSegment(record, subnet)
	if err != nil {
		return api.Segment{}, err
	}
	undo.add(func() { ss.removeSegment(fresh) })
	if err := ss.hostLinks.addUplink(fresh); err != nil {
		return api.Segment{}, err
	}
	undo.keep()
	ss.logFailure("release subnet", ss.pools.ipam.Remove(s.subnet))
	ss.log.Info("segment has another subnet", "segment", record.Name, "from", old.IPv4().Prefix, "to", subnet.Prefix())
	return ss.shown(fresh), nil
}
