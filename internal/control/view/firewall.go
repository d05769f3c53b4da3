package view

import (
	"slices"

	"vswitch/internal/host"
)

// Firewall is what the host's kernel is to do for the switch.
type Firewall struct {
	Config host.Config
	// Made holds the [HostLink.Made] of each segment of Config. An interface that was made anew
	// lacks the settings that came with Config before.
	Made []uint64
}

// Firewall returns what the host's kernel is to do: forward for the segments that have a host
// link, and lead the ports of the host that could be had to the ports that publish them.
func (s *Snapshot) Firewall() *Firewall {
	var f Firewall
	for _, segment := range s.Segments {
		if segment.HostLink == nil {
			continue
		}
		r := segment.Record
		f.Made = append(f.Made, segment.HostLink.Made)
		f.Config.Segments = append(f.Config.Segments, host.Segment{
			Link: segment.HostLink.Name, Masquerade: true,
			Subnet: r.IPv4().Prefix, Gateway: r.IPv4().Gateway,
		})
		for _, p := range segment.Ports {
			for _, q := range p.Published {
				if q.Problem == "" {
					f.Config.Forwards = append(f.Config.Forwards, Forward(q.Record, p))
				}
			}
		}
	}
	return &f
}

// Equal reports whether f and g have the kernel do the same for the same interfaces.
func (f *Firewall) Equal(g *Firewall) bool {
	return slices.Equal(f.Made, g.Made) && slices.Equal(f.Config.Segments, g.Config.Segments) &&
		slices.Equal(f.Config.Forwards, g.Config.Forwards)
}
