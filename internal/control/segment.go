package control

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/counters"
	"vswitch/internal/frame"
	"vswitch/internal/gateway"
	"vswitch/internal/ipam"
	vswitch "vswitch/switch"
)

// segments makes segments of the switch and ends them.
type segments struct {
	*core
	pools     *pools
	rules     *rules
	hostLinks *hostLinks
	gateways  *gateways
	ports     *ports
	devices   *devices
}

// segment is a segment of the switch with its addresses.
type segment struct {
	record   model.Segment
	subnet   *ipam.Subnet
	pool     *pool // whose subnet it is; nil: it has its own
	sw       *vswitch.Segment
	bindings *arp.Table
	answers  answers   // for ports, by bindings
	mac      frame.MAC // the gateway's
	gateway  *gateway.Gateway
	services *services                  // at the gateway's address
	host     *hostLink                  // nil without that uplink
	enforced []string                   // ids of the rules that the switch has
	hits     map[string]*counters.Block // of rules, by id
}

func (s *segment) title() string { return s.record.Name }

// AddSegment implements [api.Backend].
func (ss *segments) AddSegment(_ context.Context, spec api.SegmentSpec) (api.Segment, error) {
	ss.lock()
	defer ss.unlock()
	return ss.newSegment(spec, nil)
}

// newSegment is AddSegment, over a pool if there is one.
func (ss *segments) newSegment(spec api.SegmentSpec, over *pool) (api.Segment, error) {
	if err := ss.checkSegmentName(spec.Name); err != nil {
		return api.Segment{}, err
	}
	if _, taken := ss.allSegments[spec.ID]; taken {
		return api.Segment{}, api.Conflictf("segment %s already exists: choose another id, or none for a new one", spec.ID)
	}
	config, err := subnetConfig(spec)
	if err != nil {
		return api.Segment{}, err
	}
	s, err := ss.makeSegment(spec, config, over)
	if err != nil {
		return api.Segment{}, err
	}
	ss.log.Info("segment added", "segment", s.record.Name, "id", s.record.ID, "subnet", s.record.IPv4().Prefix)
	return ss.shown(s), nil
}

// shown returns a segment that was just made as readers find it, with what the firewall says of it.
func (ss *segments) shown(s *segment) api.Segment {
	ss.publishSnapshot()
	return ss.segmentNow(s).View(ss.way().Beyond())
}

// makeSegment takes every step of AddSegment, or none.
func (ss *segments) makeSegment(spec api.SegmentSpec, config ipam.SubnetConfig, over *pool) (*segment, error) {
	var undo undo
	defer undo.run()
	var subnet *ipam.Subnet
	if over != nil {
		subnet = over.subnet
	} else {
		var err error
		if subnet, err = ss.pools.takeSubnet(config, nil, &undo); err != nil {
			return nil, err
		}
	}
	if err := checkHasGateway(subnet, spec.Internal); err != nil {
		return nil, err
	}
	if err := checkAux(spec.AuxAddresses, subnet); err != nil {
		return nil, err
	}
	uplink := api.UplinkOf(spec.Uplink, spec.Internal)
	if uplink == api.UplinkHost {
		if err := ss.checkHostFree(subnet.Prefix()); err != nil {
			return nil, err
		}
	}
	record := model.Segment{
		ID: cmp.Or(spec.ID, ss.newID()), Name: spec.Name, Subnets: subnetsOf(subnet),
		Internal: spec.Internal, Uplink: string(uplink), MTU: cmp.Or(spec.MTU, vswitch.DefaultMTU), Labels: spec.Labels, AuxAddresses: spec.AuxAddresses,
		Offload: string(spec.Offload), Created: time.Now().UTC(),
	}
	if over != nil {
		record.Subnets[0].PoolID = over.record.ID
	}
	if err := ss.store.Apply(model.PutSegment(record)); err != nil {
		return nil, api.Internalf("store segment %q: %w", spec.Name, err)
	}
	undo.add(func() { ss.logFailure("take back segment", ss.store.Apply(model.DeleteSegment(record.ID))) })
	s, err := ss.addSegment(record, subnet)
	if err != nil {
		return nil, err
	}
	undo.add(func() { ss.removeSegment(s); ss.releaseCounters(s) })
	if err := ss.hostLinks.addUplink(s); err != nil {
		return nil, err
	}
	undo.keep()
	return s, nil
}

// takeSubnet reserves a subnet, which may have addresses of old: it is to take that
// one's place.
func (ps *pools) takeSubnet(config ipam.SubnetConfig, old *ipam.Subnet, undo *undo) (*ipam.Subnet, error) {
	avoid, err := ps.kernel.HostPrefixes()
	if err != nil {
		return nil, api.Internalf("list the host's routes: %w", err)
	}
	subnet, err := ps.ipam.AddInstead(old, config, avoid)
	if err != nil {
		return nil, ipamError(err)
	}
	undo.add(func() { ps.logFailure("release subnet", ps.ipam.Remove(subnet)) })
	return subnet, nil
}

// addSegment puts a segment with its gateway into the switch.
func (ss *segments) addSegment(record model.Segment, subnet *ipam.Subnet) (*segment, error) {
	var undo undo
	defer undo.run()
	s := &segment{
		record: record, subnet: subnet, pool: ss.allPools[record.IPv4().PoolID], bindings: new(arp.Table),
		mac: gatewayMAC(subnet), hits: make(map[string]*counters.Block),
	}
	s.answers.table = s.bindings
	var err error
	if s.sw, err = ss.sw.AddSegment(vswitch.SegmentConfig{MTU: s.record.MTU, Gateway: subnet.Gateway()}); err != nil {
		return nil, switchError(err)
	}
	undo.add(func() { ss.logFailure("remove segment", ss.sw.RemoveSegment(s.sw)) })
	s.gateway = gateway.New(s.mac, subnet.Gateway(), subnet.Prefix(), s.bindings, ss.gateways.prefixes)
	s.services = ss.gateways.newServices(s)
	undo.add(s.services.close)
	port, err := ss.sw.AddResponder(s.sw, s.mac, s.gateway)
	if err != nil {
		return nil, switchError(err)
	}
	s.services.run(port)
	if err := s.bindGateway(port); err != nil {
		return nil, err
	}
	if err := ss.rules.enforceRules(s, record.Rules); err != nil {
		return nil, err
	}
	undo.keep()
	if view.UplinkOf(record) == api.UplinkHost {
		s.host = newHostLink(s, ss.counters.take(countsHostLink, record.ID))
	}
	ss.gateways.prefixes.Add(subnet.Prefix())
	ss.allSegments[s.record.ID] = s
	return s, nil
}

// gatewayMAC returns the MAC of the gateway of a subnet. Without a gateway it is that of what
// answers ARP for the ports and cannot be sent to otherwise: no address of the subnet makes it.
func gatewayMAC(s *ipam.Subnet) frame.MAC {
	if gateway := s.Gateway(); gateway.IsValid() {
		return frame.MACFromIPv4(gateway)
	}
	mac := frame.MACFromIPv4(s.Prefix().Addr())
	mac[0] |= 4 // still a local unicast address
	return mac
}

// bindGateway has the segment answer for its gateway, which is at that port, if it has one.
func (s *segment) bindGateway(port *vswitch.Port) error {
	gateway := s.subnet.Gateway()
	if !gateway.IsValid() {
		return nil
	}
	err := s.bindings.Bind(arp.Binding{
		IP: gateway, MAC: s.mac, Kind: arp.Gateway, Port: view.GatewayName, Slot: port.Slot(),
	})
	if err != nil {
		return api.Invalidf("%w", err)
	}
	return nil
}

// checkHasGateway refuses a subnet without a gateway for a segment that is not internal.
func checkHasGateway(s *ipam.Subnet, internal bool) error {
	if s.Gateway().IsValid() || internal {
		return nil
	}
	return api.Invalidf("subnet %s has no room for a gateway: make the segment internal, or use a larger subnet", s.Prefix())
}

// removeSegment takes a segment without ports out of the switch.
func (ss *segments) removeSegment(s *segment) {
	if s.host != nil {
		ss.hostLinks.removeHostLink(s.host)
	}
	s.services.close()
	ss.gateways.prefixes.Remove(s.subnet.Prefix())
	ss.logFailure("remove segment", ss.sw.RemoveSegment(s.sw))
	delete(ss.allSegments, s.record.ID)
}

// releaseCounters ends the counters of a segment that was removed for good.
func (ss *segments) releaseCounters(s *segment) {
	ss.counters.release(countsHostLink, s.record.ID)
	for id := range s.hits {
		ss.counters.release(countsRule, id)
	}
}

// subnetsOf is the list of a segment's subnets, of which one is offered yet.
func subnetsOf(s *ipam.Subnet) []model.SegmentSubnet {
	return []model.SegmentSubnet{{Subnet: subnetRecord(s)}}
}

func subnetRecord(s *ipam.Subnet) model.Subnet {
	return model.Subnet{Prefix: s.Prefix(), Gateway: s.Gateway(), Range: s.Range()}
}

// subnetConfig returns the addresses of a spec.
func subnetConfig(spec api.SegmentSpec) (ipam.SubnetConfig, error) {
	if err := CheckOffered(spec.Subnet); err != nil {
		return ipam.SubnetConfig{}, api.Invalidf("%w", err)
	}
	return ipam.SubnetConfig{Prefix: spec.Subnet, Gateway: spec.Gateway, Range: spec.IPRange}, nil
}

// CheckOffered refuses a prefix of a family that users cannot have yet.
func CheckOffered(p netip.Prefix) error {
	if p.Addr().Unmap().Is6() {
		return fmt.Errorf("%s: IPv6 subnets are not supported yet: "+
			"use an IPv4 prefix such as 10.1.0.0/16", p)
	}
	return nil
}

// DeleteSegment implements [api.Backend].
func (ss *segments) DeleteSegment(_ context.Context, ref string, force bool) (api.Segment, error) {
	ss.preparing.RLock()
	defer ss.preparing.RUnlock()
	shown, gone, err := ss.deleteSegment(ref, force)
	ss.devices.letGoOf(gone)
	return shown, err
}

// deleteSegment is DeleteSegment but for the ports' devices, which it returns.
func (ss *segments) deleteSegment(
	ref string, force bool,
) (shown api.Segment, gone []goneDevice, err error) {
	ss.lock()
	defer ss.unlock()
	s, err := ss.findSegment(ref)
	if err != nil {
		return shown, nil, err
	}
	ports := ss.portsOf(s)
	if err := ss.checkDeletable(s, len(ports), force); err != nil {
		return shown, nil, err
	}
	shown = ss.segmentNow(s).View(ss.way().Beyond())
	changes := append(ends(s, s.record.Rules, ports...), model.DeleteSegment(s.record.ID))
	if err := ss.store.Apply(changes...); err != nil {
		return api.Segment{}, nil, api.Internalf("store the end of segment %q: %w", s.record.Name, err)
	}
	for _, p := range ports {
		gone = append(gone, ss.ports.remove(p)...)
	}
	ss.removeSegment(s)
	ss.releaseCounters(s)
	if s.pool == nil {
		ss.logFailure("release subnet", ss.pools.ipam.Remove(s.subnet))
	}
	ss.log.Info("segment removed", "segment", s.record.Name, "id", s.record.ID)
	return shown, gone, nil
}

// checkDeletable says why a segment with so many ports is not deleted.
func (ss *segments) checkDeletable(s *segment, ports int, force bool) error {
	pending := ss.pendingOf(s)
	switch {
	case s.record.Name == api.DefaultSegment:
		return api.Conflictf("segment %q is the default segment and stays: ports without --segment need it", s.record.Name)
	case ports+pending > 0 && !force:
		return api.Conflictf("segment %q has %d ports: remove them with vsctl del-port, or give --force", s.record.Name, ports+pending)
	case pending > 0:
		return api.Conflictf("segment %q has %d ports that are being added: try again", s.record.Name, pending)
	}
	return nil
}

func (ss *segments) checkSegmentName(name string) error {
	if _, taken := ss.store.State().SegmentNamed(name); taken {
		return api.Conflictf("segment %q already exists: choose another name", name)
	}
	return nil
}
