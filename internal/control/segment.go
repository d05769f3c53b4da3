package control

import (
	"cmp"
	"context"
	"errors"
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
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// segment is a segment of the switch with its addresses.
type segment struct {
	record   model.Segment
	subnet   *ipam.Subnet
	pool     *pool // whose subnet it is; nil: it has its own
	sw       *vswitch.Segment
	bindings *arp.Table
	mac      frame.MAC // the gateway's
	gateway  *gateway.Gateway
	services *services                  // at the gateway's address
	host     *hostLink                  // nil without that uplink
	enforced []string                   // ids of the rules that the switch has
	hits     map[string]*counters.Block // of rules, by id
}

func (s *segment) title() string { return s.record.Name }

// AddSegment implements [api.Backend].
func (d *Control) AddSegment(_ context.Context, spec api.SegmentSpec) (api.Segment, error) {
	d.lock()
	defer d.unlock()
	return d.newSegment(spec, nil)
}

// newSegment is AddSegment, over a pool if there is one.
func (d *Control) newSegment(spec api.SegmentSpec, over *pool) (api.Segment, error) {
	if err := d.checkSegmentName(spec.Name); err != nil {
		return api.Segment{}, err
	}
	if _, taken := d.segments[spec.ID]; taken {
		return api.Segment{}, api.Conflictf("segment %s already exists: choose another id, or none for a new one", spec.ID)
	}
	config, err := subnetConfig(spec)
	if err != nil {
		return api.Segment{}, err
	}
	s, err := d.makeSegment(spec, config, over)
	if err != nil {
		return api.Segment{}, err
	}
	d.log.Info("segment added", "segment", s.record.Name, "id", s.record.ID, "subnet", s.record.IPv4().Prefix)
	return d.segmentNow(s).View(d.beyondHost()), nil
}

func (d *Control) checkSegmentName(name string) error {
	if _, taken := d.store.State().SegmentNamed(name); taken {
		return api.Conflictf("segment %q already exists: choose another name", name)
	}
	return nil
}

// makeSegment takes every step of AddSegment, or none.
func (d *Control) makeSegment(spec api.SegmentSpec, config ipam.SubnetConfig, over *pool) (*segment, error) {
	var undo undo
	defer undo.run()
	var subnet *ipam.Subnet
	if over != nil {
		subnet = over.subnet
	} else {
		var err error
		if subnet, err = d.takeSubnet(config, nil, &undo); err != nil {
			return nil, err
		}
	}
	uplink := api.UplinkOf(spec.Uplink, spec.Internal)
	if uplink == api.UplinkHost {
		if err := checkHostFree(subnet.Prefix()); err != nil {
			return nil, err
		}
	}
	record := model.Segment{
		ID: cmp.Or(spec.ID, newID()), Name: spec.Name, Subnets: subnetsOf(subnet),
		Internal: spec.Internal, Uplink: string(uplink), MTU: cmp.Or(spec.MTU, vswitch.DefaultMTU), Labels: spec.Labels, Created: time.Now().UTC(),
	}
	if over != nil {
		record.Subnets[0].PoolID = over.record.ID
	}
	if err := d.store.Apply(model.PutSegment(record)); err != nil {
		return nil, api.Internalf("store segment %q: %w", spec.Name, err)
	}
	undo.add(func() { d.logFailure("take back segment", d.store.Apply(model.DeleteSegment(record.ID))) })
	s, err := d.addSegment(record, subnet)
	if err != nil {
		return nil, err
	}
	undo.add(func() { d.removeSegment(s); d.releaseCounters(s) })
	if err := d.addUplink(s); err != nil {
		return nil, err
	}
	undo.keep()
	return s, nil
}

// takeSubnet reserves a subnet, which may have addresses of old: it is to take that
// one's place.
func (d *Control) takeSubnet(config ipam.SubnetConfig, old *ipam.Subnet, undo *undo) (*ipam.Subnet, error) {
	avoid, err := netns.HostPrefixes()
	if err != nil {
		return nil, api.Internalf("list the host's routes: %w", err)
	}
	subnet, err := d.ipam.AddInstead(old, config, avoid)
	if err != nil {
		return nil, ipamError(err)
	}
	undo.add(func() { d.logFailure("release subnet", d.ipam.Remove(subnet)) })
	return subnet, nil
}

// addSegment puts a segment with its gateway into the switch.
func (d *Control) addSegment(record model.Segment, subnet *ipam.Subnet) (*segment, error) {
	var undo undo
	defer undo.run()
	s := &segment{
		record: record, subnet: subnet, pool: d.leasePools[record.IPv4().PoolID], bindings: new(arp.Table),
		mac: frame.MACFromIPv4(subnet.Gateway()), hits: make(map[string]*counters.Block),
	}
	var err error
	if s.sw, err = d.sw.AddSegment(vswitch.SegmentConfig{MTU: s.record.MTU, Gateway: subnet.Gateway()}); err != nil {
		return nil, switchError(err)
	}
	undo.add(func() { d.logFailure("remove segment", d.sw.RemoveSegment(s.sw)) })
	s.gateway = gateway.New(s.mac, subnet.Gateway(), subnet.Prefix(), s.bindings, d.pools)
	s.services = d.newServices(s)
	undo.add(s.services.close)
	port, err := d.sw.AddResponder(s.sw, s.mac, s.gateway)
	if err != nil {
		return nil, switchError(err)
	}
	s.services.run(port)
	if err := s.bindings.Bind(arp.Binding{IP: subnet.Gateway(), MAC: s.mac, Kind: arp.Gateway, Port: view.GatewayName, Slot: port.Slot()}); err != nil {
		return nil, api.Invalidf("%w", err)
	}
	if err := d.enforceRules(s, record.Rules); err != nil {
		return nil, err
	}
	undo.keep()
	if view.UplinkOf(record) == api.UplinkHost {
		s.host = newHostLink(s, d.counters.take(countsHostLink, record.ID))
	}
	d.pools.Add(subnet.Prefix())
	d.segments[s.record.ID] = s
	return s, nil
}

// removeSegment takes a segment without ports out of the switch.
func (d *Control) removeSegment(s *segment) {
	if s.host != nil {
		d.removeHostLink(s.host)
	}
	s.services.close()
	d.pools.Remove(s.subnet.Prefix())
	d.logFailure("remove segment", d.sw.RemoveSegment(s.sw))
	delete(d.segments, s.record.ID)
}

// releaseCounters ends the counters of a segment that was removed for good.
func (d *Control) releaseCounters(s *segment) {
	d.counters.release(countsHostLink, s.record.ID)
	for id := range s.hits {
		d.counters.release(countsRule, id)
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
func (d *Control) DeleteSegment(_ context.Context, ref string, force bool) (api.Segment, error) {
	d.lock()
	defer d.unlock()
	s, err := d.findSegment(ref)
	if err != nil {
		return api.Segment{}, err
	}
	shown := d.segmentNow(s).View(d.beyondHost())
	if s.record.Name == api.DefaultSegment {
		return api.Segment{}, api.Conflictf("segment %q is the default segment and stays: ports without --segment need it", s.record.Name)
	}
	ports := d.portsOf(s)
	if len(ports) > 0 && !force {
		return api.Segment{}, api.Conflictf("segment %q has %d ports: remove them with vsctl del-port, or give --force", s.record.Name, len(ports))
	}
	changes := append(ends(s, s.record.Rules, ports...), model.DeleteSegment(s.record.ID))
	if err := d.store.Apply(changes...); err != nil {
		return api.Segment{}, api.Internalf("store the end of segment %q: %w", s.record.Name, err)
	}
	for _, p := range ports {
		d.remove(p)
	}
	d.removeSegment(s)
	d.releaseCounters(s)
	if s.pool == nil {
		d.logFailure("release subnet", d.ipam.Remove(s.subnet))
	}
	if s.host != nil {
		_ = d.applyNAT()
	}
	d.log.Info("segment removed", "segment", s.record.Name, "id", s.record.ID)
	return shown, nil
}

func (d *Control) findSegment(ref string) (*segment, error) {
	return resolve(d.segments, cmp.Or(ref, api.DefaultSegment), "segment", "list-segments")
}

func (d *Control) portsOf(s *segment) []*port {
	var list []*port
	for record := range d.store.State().PortsOf(s.record.ID) {
		if p := d.ports[record.ID]; p != nil { // not while it is being added
			list = append(list, p)
		}
	}
	return list
}

// logFailure notes that taking something back did not work: nothing can be done
// about it any more.
func (d *Control) logFailure(what string, err error) {
	if err != nil && !errors.Is(err, vswitch.ErrClosed) {
		d.log.Error("cannot "+what, "error", err)
	}
}
