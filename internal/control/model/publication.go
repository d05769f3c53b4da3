package model

import (
	"fmt"
	"net/netip"

	"vswitch/internal/wellformed"
)

// Publication has ports of the host lead to the port that has it.
type Publication struct {
	Protocol string     `json:"protocol"`         // its name
	HostIP   netip.Addr `json:"host_ip,omitzero"` // an address of the host; zero: all
	HostPort uint16     `json:"host_port"`        // the first
	Port     uint16     `json:"port"`             // the first, of the container
	Count    int        `json:"count,omitempty"`  // how many in a row; 0: one
}

func checkPublished(list []Publication) error {
	if len(list) > maxPublications {
		return fmt.Errorf("%d publications are more than %d", len(list), maxPublications)
	}
	for _, p := range list {
		if err := p.check(); err != nil {
			return fmt.Errorf("publication of port %d: %w", p.HostPort, err)
		}
	}
	return nil
}

// check says what is wrong with the publication alone.
func (p Publication) check() error {
	switch n := max(p.Count, 1); {
	case p.Protocol == "" || len(p.Protocol) > wellformed.MaxName || !wellformed.Printable(p.Protocol):
		return fmt.Errorf("protocol %q is not the name of one", wellformed.Clip(p.Protocol))
	case p.HostIP.Zone() != "":
		return fmt.Errorf("host address %q is not one such as 127.0.0.1", wellformed.Clip(p.HostIP.String()))
	case p.HostPort == 0 || p.Port == 0 || p.Count < 0 || p.Count > 65535 || int(max(p.HostPort, p.Port))+n-1 > 65535:
		return fmt.Errorf("%d ports from %d to %d on are not within 1 to 65535", n, p.HostPort, p.Port)
	}
	return nil
}
