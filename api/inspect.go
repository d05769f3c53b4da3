package api

import (
	"strconv"
	"time"
)

// mtuOption is the network option under which Docker keeps the MTU.
const mtuOption = "com.docker.network.driver.mtu"

// linkOption is the one under which it keeps the name of the host's interface.
const linkOption = "com.docker.network.bridge.name"

// Inspect has the shape of one element of what "docker network inspect" prints
// (moby's api/types/network, NetworkResource), so that scripts written for it work.
type Inspect struct {
	Name       string
	ID         string `json:"Id"`
	Created    time.Time
	Scope      string
	Driver     string
	EnableIPv6 bool
	IPAM       InspectIPAM
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom InspectConfigFrom
	ConfigOnly bool
	Containers map[string]InspectContainer // by port id
	Options    map[string]string
	Labels     map[string]string
}

// InspectIPAM is the address management part of [Inspect].
type InspectIPAM struct {
	Driver  string
	Options map[string]string
	Config  []InspectPool
}

// InspectPool is one subnet of [InspectIPAM].
type InspectPool struct {
	Subnet  string
	IPRange string `json:",omitempty"`
	Gateway string `json:",omitempty"`
}

// InspectConfigFrom names the network a configuration comes from; always empty.
type InspectConfigFrom struct {
	Network string
}

// InspectContainer is one attached container of [Inspect].
type InspectContainer struct {
	Name        string
	EndpointID  string
	MacAddress  string
	IPv4Address string // with prefix length, empty when there is none
	IPv6Address string
}

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
			Config:  []InspectPool{{Subnet: s.Subnet.String(), IPRange: s.IPRange, Gateway: s.Gateway}},
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
	c := InspectContainer{Name: p.Name, EndpointID: p.ID, MacAddress: p.MAC}
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
