package api

import "strconv"

// mtuOption is the network option under which Docker keeps the MTU.
const mtuOption = "com.docker.network.driver.mtu"

// linkOption is the one under which it keeps the name of the host's interface.
const linkOption = "com.docker.network.bridge.name"

// NewInspect builds the document for a segment from the segment and its ports.
// Ports of other segments and the gateway are left out.
func NewInspect(s Segment, ports []Port) Inspect {
	in := Inspect{
		Name:       s.Name,
		ID:         s.ID,
		Created:    s.Created,
		Scope:      s.Scope,
		Driver:     s.Driver,
		EnableIPv6: s.Subnet.Addr().Is6(),
		IPAM: InspectIPAM{
			Driver:  "default",
			Options: map[string]string{},
			Config: []InspectPool{{
				Subnet: s.Subnet.String(), IPRange: s.IPRange, Gateway: s.Gateway,
				AuxiliaryAddresses: map[string]string{},
			}},
		},
		Internal:   s.Internal,
		Containers: map[string]InspectContainer{},
		Options:    map[string]string{},
		Labels:     map[string]string{},
	}
	if s.MTU != 0 {
		in.Options[mtuOption] = strconv.Itoa(s.MTU)
	}
	if s.HostLink.Name != "" {
		in.Options[linkOption] = s.HostLink.Name
	}
	for name, a := range s.AuxAddresses {
		in.IPAM.Config[0].AuxiliaryAddresses[name] = a.String()
	}
	for k, v := range s.Labels {
		in.Labels[k] = v
	}
	for _, p := range ports {
		if p.SegmentID == s.ID && p.Kind != PortGateway {
			in.Containers[p.ID] = newInspectContainer(p)
		}
	}
	return in
}

func newInspectContainer(p Port) InspectContainer {
	c := InspectContainer{Name: p.Name, EndpointID: p.ID, MacAddress: p.MAC.String()}
	for _, ip := range p.IPs {
		switch {
		case ip.Addr().Is4() && c.IPv4Address == "":
			c.IPv4Address = ip.String()
		case ip.Addr().Is6() && c.IPv6Address == "":
			c.IPv6Address = ip.String()
		}
	}
	return c
}
