package docker

import (
	"context"
	"errors"

	"vswitch/api"
)

// createEndpoint makes a port whose id is the endpoint's, with the interface that
// dockerd is going to move.
func (p *Plugin) createEndpoint(ctx context.Context, r createEndpointRequest) (any, error) {
	segment, err := p.segment(ctx, r.NetworkID)
	if err != nil {
		return nil, err
	}
	want := endpointInterface{}
	if r.Interface != nil {
		want = *r.Interface
	}
	spec, err := portSpec(r, want, segment)
	if err != nil {
		return nil, err
	}
	port, err := p.addPort(ctx, spec)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // dockerd believes that it failed
		_, err := p.backend.DeletePort(context.WithoutCancel(ctx), port.ID)
		return nil, err
	}
	answer := endpointInterface{}
	if want.Address == "" {
		answer.Address = port.IPs[0].String()
	}
	if want.MacAddress == "" {
		answer.MacAddress = port.MAC.String()
	}
	return createEndpointResponse{Interface: &answer}, nil
}

// portSpec reads what Docker wants of an endpoint.
func portSpec(r createEndpointRequest, want endpointInterface, segment api.Segment) (spec api.PortSpec, err error) {
	if r.EndpointID == "" { // would stand for a new one
		return spec, errors.New("endpoint without an id: give EndpointID")
	}
	if want.AddressIPv6 != "" {
		return spec, errors.New("IPv6 is not supported yet: leave out --ip6")
	}
	spec = api.PortSpec{
		ID: r.EndpointID, Name: derivedName(r.EndpointID), Segment: segment.ID, Handover: true,
		NoDefaultRoute: segment.Internal, Isolated: isolated(segment),
	}
	if want.Address != "" {
		if spec.IP.Addr, err = address("address", want.Address); err != nil {
			return spec, err
		}
	}
	if want.MacAddress != "" {
		if spec.MAC, err = api.ParseMAC(want.MacAddress); err != nil {
			return spec, err
		}
	}
	return spec, setPortOptions(&spec, r.Options, segment)
}

// addPort adds a port, or finds the one that was added when dockerd asked before
// and did not hear the answer. A port of Docker's that has the address already is
// one that dockerd no longer knows, for it gives each out once; its container may be
// ending just now. One that has the MAC, which is the user's to choose, must have
// lost its container.
func (p *Plugin) addPort(ctx context.Context, spec api.PortSpec) (api.Port, error) {
	port, err := p.backend.AddPort(ctx, spec)
	if api.KindOf(err) != api.Conflict {
		return port, err
	}
	if there, e := p.port(ctx, spec.Segment, spec.ID); e == nil {
		if !spec.IP.Addr.IsValid() || there.IPs[0].Addr() == spec.IP.Addr {
			return there, nil
		}
		return port, err
	}
	ports, e := p.backend.Ports(ctx, spec.Segment)
	if e != nil {
		return port, err
	}
	for _, other := range ports {
		sameAddr, sameMAC := other.IPs[0].Addr() == spec.IP.Addr, other.MAC == spec.MAC
		if other.Device == "" || !sameAddr && (!sameMAC || other.State != api.PortLost) {
			continue
		}
		p.log.Info("port without a container makes room for another", "port", other.Name, "address", other.IPs[0])
		if _, e := p.backend.DeletePort(ctx, other.ID); e != nil && api.KindOf(e) != api.NotFound {
			return port, err
		}
	}
	return p.backend.AddPort(ctx, spec)
}

// deleteEndpoint removes the port, if it is there, and its interface with it,
// wherever that is by then.
func (p *Plugin) deleteEndpoint(ctx context.Context, r endpointRequest) (any, error) {
	port, err := p.port(ctx, r.NetworkID, r.EndpointID)
	if err == nil {
		_, err = p.backend.DeletePort(ctx, port.ID)
	}
	if api.KindOf(err) == api.NotFound {
		err = nil
	}
	return done{}, err
}

// operInfo says nothing that docker inspect does not know already.
func (p *Plugin) operInfo(ctx context.Context, r endpointRequest) (any, error) {
	_, err := p.port(ctx, r.NetworkID, r.EndpointID)
	return operInfoResponse{Value: map[string]any{}}, err
}

// port finds a port by its whole id, on a segment by its whole id.
func (p *Plugin) port(ctx context.Context, segment, id string) (api.Port, error) {
	port, err := p.backend.Port(ctx, id)
	if err == nil && (port.ID != id || port.SegmentID != segment) {
		err = api.NotFoundf("endpoint %q of network %q is no port: see vsctl list-ports", id, segment)
	}
	return port, err
}
