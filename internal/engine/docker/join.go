package docker

import (
	"context"
	"fmt"

	"vswitch/api"
)

// join tells dockerd which interface to move, and notes where to, by which the
// device is found again when all daemons have been restarted.
func (p *Plugin) join(ctx context.Context, r endpointRequest) (any, error) {
	port, err := p.port(ctx, r.NetworkID, r.EndpointID)
	if err != nil {
		return nil, err
	}
	segment, err := p.segment(ctx, r.NetworkID)
	if err != nil {
		return nil, err
	}
	switch {
	case port.Device == "":
		return nil, fmt.Errorf("port %q was not made for Docker: remove it with vsctl del-port", port.Name)
	case port.State == api.PortLost:
		return nil, fmt.Errorf("interface %s of port %q: %s: start the container again", port.Device, port.Name, port.Reason)
	}
	if _, err := p.backend.UpdatePort(ctx, port.ID, api.PortUpdate{NetNS: &r.SandboxKey}); err != nil {
		return nil, err
	}
	answer := joinResponse{
		InterfaceName: interfaceName{SrcName: port.Device, DstPrefix: "eth"},
		StaticRoutes:  []struct{}{},
		// Otherwise a container without a gateway would get a way out on another
		// interface, behind our back.
		DisableGatewayService: true,
	}
	if !segment.Internal {
		answer.Gateway = segment.DefaultGateway()
	}
	return answer, nil
}

// leave has nothing to do: dockerd moves the interface back, which the switch
// notices by itself, and asks for the endpoint to be deleted.
func (p *Plugin) leave(context.Context, endpointRequest) (any, error) { return done{}, nil }
