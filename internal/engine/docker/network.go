package docker

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"vswitch/api"
)

// createNetwork makes a segment whose id is the network's.
func (p *Plugin) createNetwork(ctx context.Context, r createNetworkRequest) (any, error) {
	spec, err := segmentSpec(r)
	if err != nil {
		return nil, err
	}
	pool, err := p.poolOf(ctx, r.IPv4Data[0])
	if err != nil {
		return nil, err
	}
	if pool != "" {
		_, err = p.pools.AddSegmentOver(ctx, pool, spec)
	} else {
		err = p.addSegment(ctx, spec)
	}
	switch {
	case err == nil && ctx.Err() != nil: // dockerd believes that it failed
		_, err = p.backend.DeleteSegment(context.WithoutCancel(ctx), r.NetworkID, true)
		return nil, err
	case api.KindOf(err) == api.Conflict && p.sameSegment(ctx, spec):
		return done{}, nil // dockerd asks again after a broken connection
	case api.KindOf(err) == api.Conflict:
		return nil, fmt.Errorf("%w; with --ipam-driver vswitch Docker takes a free one", err)
	}
	return done{}, err
}

// addSegment adds a segment with a subnet that Docker has chosen.
func (p *Plugin) addSegment(ctx context.Context, spec api.SegmentSpec) error {
	_, err := p.backend.AddSegment(ctx, spec)
	if api.KindOf(err) == api.Conflict && p.makeRoom(ctx, spec.Subnet) {
		_, err = p.backend.AddSegment(ctx, spec)
	}
	return err
}

// makeRoom moves the default segment out of the way of a subnet that Docker has
// chosen, if nobody uses it: both take the lowest free pool and do not know of each
// other. It says whether it did.
func (p *Plugin) makeRoom(ctx context.Context, wanted netip.Prefix) bool {
	s, err := p.backend.Segment(ctx, api.DefaultSegment)
	if err != nil || s.Ports > 0 || !s.Subnet.Overlaps(wanted) {
		return false
	}
	_, err = p.backend.UpdateSegment(ctx, s.ID, api.SegmentUpdate{Subnet: new(netip.Prefix{})})
	return err == nil
}

// segmentSpec reads what Docker wants of a network.
func segmentSpec(r createNetworkRequest) (spec api.SegmentSpec, err error) {
	if r.NetworkID == "" { // would stand for a new one
		return spec, fmt.Errorf("network without an id: give NetworkID")
	}
	if flag(r.Options, optionEnableIPv6) || len(r.IPv6Data) > 0 {
		return spec, fmt.Errorf("IPv6 is not supported yet: create the network without --ipv6 and without an IPv6 subnet")
	}
	if len(r.IPv4Data) != 1 {
		return spec, fmt.Errorf("%d IPv4 subnets: a vswitch network has exactly one, give one --subnet or none for a free one", len(r.IPv4Data))
	}
	options, err := networkOptions(r.Options[optionGeneric])
	if err != nil {
		return spec, err
	}
	spec = api.SegmentSpec{
		ID: r.NetworkID, Name: options.name, Internal: flag(r.Options, optionInternal), MTU: options.mtu, Labels: options.labels,
		Offload: options.port.Offload,
	}
	if spec.Name == "" {
		spec.Name = derivedName(r.NetworkID)
	}
	subnet, err := netip.ParsePrefix(r.IPv4Data[0].Pool)
	if err != nil {
		return spec, fmt.Errorf("subnet %q: want an address and a prefix length, such as 10.1.0.0/24", r.IPv4Data[0].Pool)
	}
	spec.Subnet = subnet.Masked()
	if gateway := r.IPv4Data[0].Gateway; gateway != "" && !spec.Subnet.IsSingleIP() {
		if spec.Gateway, err = address("gateway", gateway); err != nil {
			return spec, err
		}
	}
	spec.AuxAddresses, err = auxAddresses(r.IPv4Data[0].AuxAddresses)
	return spec, err
}

// auxAddresses reads what was given with --aux-address.
func auxAddresses(given map[string]any) (map[string]netip.Addr, error) {
	if len(given) == 0 {
		return nil, nil
	}
	addresses := make(map[string]netip.Addr, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		a, err := address(fmt.Sprintf("auxiliary address %q", clip(name)), fmt.Sprint(given[name]))
		if err != nil {
			return nil, err
		}
		addresses[name] = a
	}
	return addresses, nil
}

// address is an address in CIDR notation without its length.
func address(what, cidr string) (netip.Addr, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s %q: want an address and a prefix length, such as 10.1.0.1/24", what, cidr)
	}
	return prefix.Addr(), nil
}

// derivedName is what a segment or port is called until Docker's name is known.
func derivedName(id string) string { return "docker-" + id[:min(12, len(id))] }

// sameSegment says whether the segment exists as spec wants it.
func (p *Plugin) sameSegment(ctx context.Context, spec api.SegmentSpec) bool {
	s, err := p.backend.Segment(ctx, spec.ID)
	return err == nil && s.ID == spec.ID && s.Subnet == spec.Subnet &&
		(!spec.Gateway.IsValid() || s.Gateway == spec.Gateway.String()) && s.Internal == spec.Internal &&
		maps.Equal(s.AuxAddresses, spec.AuxAddresses)
}

// deleteNetwork removes the segment, if it is there.
func (p *Plugin) deleteNetwork(ctx context.Context, r networkRequest) (any, error) {
	s, err := p.segment(ctx, r.NetworkID)
	if api.KindOf(err) == api.NotFound {
		return done{}, nil
	}
	if err == nil {
		err = p.deleteEndpoints(ctx, s)
	}
	if err == nil {
		_, err = p.backend.DeleteSegment(ctx, s.ID, false)
	}
	if api.KindOf(err) == api.NotFound { // by somebody else meanwhile
		err = nil
	}
	return done{}, err
}

// deleteEndpoints removes the ports of a network that dockerd has forgotten: it
// keeps a network as long as it knows of an endpoint. Ports that were not made for
// Docker stay, and keep the segment.
func (p *Plugin) deleteEndpoints(ctx context.Context, s api.Segment) error {
	ports, err := p.backend.Ports(ctx, s.ID)
	if err != nil {
		return err
	}
	for _, port := range ports {
		if port.Device == "" {
			continue
		}
		if _, err := p.backend.DeletePort(ctx, port.ID); err != nil && api.KindOf(err) != api.NotFound {
			return err
		}
	}
	return nil
}

// segment finds a segment by its whole id only: names and beginnings of ids are
// for people.
func (p *Plugin) segment(ctx context.Context, id string) (api.Segment, error) {
	s, err := p.backend.Segment(ctx, id)
	if err == nil && s.ID != id {
		err = api.NotFoundf("network %q is no segment: see vsctl list-segments", id)
	}
	return s, err
}
