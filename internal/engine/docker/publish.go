package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"vswitch/api"
)

// optionPortMap is where dockerd puts what docker run -p asks for.
const optionPortMap = "com.docker.network.portmap"

// portBinding is one published port, after moby's libnetwork/types.PortBinding.
type portBinding struct {
	Proto       uint8  // the protocol's number in IPv4
	Port        uint16 // of the container
	HostIP      string // empty: all addresses
	HostPort    uint16 // 0: one that is free
	HostPortEnd uint16 // of a range of which one is to be taken; 0, or HostPort, is none
}

// publish has ports of the host lead to a container, as docker run -p asks for.
// It takes back what it has done when one of them cannot be had.
func (p *Plugin) publish(ctx context.Context, r endpointRequest) (any, error) {
	bindings, err := portBindings(r.Options)
	if err != nil || len(bindings) == 0 {
		return done{}, err
	}
	port, err := p.port(ctx, r.NetworkID, r.EndpointID)
	if err != nil {
		return nil, err
	}
	// dockerd asks again after a restart, its own or ours: what there is gives way.
	if err := p.unpublishAll(ctx, port); err != nil {
		return nil, err
	}
	for _, b := range bindings {
		if err := p.publishOne(ctx, port, b); err != nil {
			_ = p.unpublishAll(context.WithoutCancel(ctx), port) // the first failure is the one to tell
			return nil, err
		}
	}
	return done{}, nil
}

// publishOne publishes a binding, on the first port of its range that is free.
func (p *Plugin) publishOne(ctx context.Context, port api.Port, b portBinding) error {
	spec := api.PublishSpec{Ports: onePort(b.Port), Protocol: b.protocol()}
	if b.HostIP != "" {
		host, err := api.ParseAddr("host address", b.HostIP)
		if err != nil {
			return err
		}
		spec.HostIP = host
	}
	for n := b.HostPort; ; n++ {
		spec.HostPorts = onePort(n)
		_, err := p.backend.Publish(ctx, port.ID, spec)
		if api.KindOf(err) != api.Conflict || n >= b.HostPortEnd || ctx.Err() != nil {
			return err
		}
	}
}

// onePort is a range of one port; of 0, none.
func onePort(n uint16) api.PortRange { return api.PortRange{First: n, Last: n} }

// unpublish takes back what publish has done.
func (p *Plugin) unpublish(ctx context.Context, r endpointRequest) (any, error) {
	port, err := p.port(ctx, r.NetworkID, r.EndpointID)
	if err == nil {
		err = p.unpublishAll(ctx, port)
	}
	if api.KindOf(err) == api.NotFound {
		err = nil
	}
	return done{}, err
}

func (p *Plugin) unpublishAll(ctx context.Context, port api.Port) error {
	if len(port.Published) == 0 {
		return nil
	}
	list, err := p.backend.Published(ctx, port.SegmentID)
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.PortID != port.ID {
			continue
		}
		key := api.PublishedKey{HostIP: q.HostIP, HostPorts: q.HostPorts, Protocol: q.Protocol}
		if _, err := p.backend.Unpublish(ctx, port.ID, key); err != nil && api.KindOf(err) != api.NotFound {
			return err
		}
	}
	return nil
}

// portBindings reads the bindings in options. Those of IPv6 that newer engines add
// to each of IPv4 are left out: segments have none.
func portBindings(options map[string]any) ([]portBinding, error) {
	text, err := json.Marshal(options[optionPortMap])
	if err != nil {
		return nil, fmt.Errorf("option %s: %w", optionPortMap, err)
	}
	var given, wanted []portBinding
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, fmt.Errorf("option %s: %w: want a list of port bindings", optionPortMap, err)
	}
	for _, b := range given {
		if host, err := netip.ParseAddr(b.HostIP); err == nil && host.IsUnspecified() {
			b.HostIP = ""
			if host.Is6() {
				continue
			}
		}
		if b.protocol() == "" {
			return nil, fmt.Errorf("published port %d of protocol %d: want tcp or udp", b.Port, b.Proto)
		}
		wanted = append(wanted, b)
	}
	return wanted, nil
}

// protocol is the name of the binding's protocol, empty when it has no ports here.
func (b portBinding) protocol() api.Protocol {
	switch b.Proto {
	case 6:
		return api.ProtocolTCP
	case 17:
		return api.ProtocolUDP
	}
	return ""
}
