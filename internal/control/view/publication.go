package view

import (
	"net/netip"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/host"
)

// Publication has ports of the host lead to the port that has it.
type Publication struct {
	Record  model.Publication
	Problem string // why the ports of the host could not be had; empty: they are
}

// Count returns how many ports of the host a record is about.
func Count(r model.Publication) int { return max(r.Count, 1) }

// HostPorts returns them.
func HostPorts(r model.Publication) api.PortRange { return portRange(r.HostPort, Count(r)) }

// portRange returns n ports from the first on.
func portRange(first uint16, n int) api.PortRange {
	return api.PortRange{First: first, Last: first + uint16(n-1)}
}

// Forward returns a record as the host's kernel needs it; p may be nil where that is of no
// interest.
func Forward(r model.Publication, p *Port) host.Forward {
	f := host.Forward{
		Protocol: host.Protocol(r.Protocol), HostIP: r.HostIP, HostPort: r.HostPort,
		Count: Count(r), ToPort: r.Port,
	}
	if p != nil {
		f.To = p.Record.IPv4()
		if h := p.Segment.HostLink; h != nil {
			f.Link = h.Name
		}
	}
	return f
}

// PublishedView shows a publication, and why it is not reachable if it is not; beyond is what is
// wrong with the way from the host to all ports.
func (p *Port) PublishedView(q Publication, beyond string) api.Published {
	v := p.published(q.Record)
	switch h := p.Segment.HostLink; {
	case q.Problem != "":
		v.Reason = q.Problem
	case h == nil:
		v.Reason = "the segment has no link to the host"
	case h.Problem != "":
		v.Reason = "the segment's link to the host: " + h.Problem
	case beyond != "":
		v.Reason = beyond
	case p.Lost:
		v.Reason = "the port is lost: " + p.Record.LostReason
	}
	return v
}

func (p *Port) published(r model.Publication) api.Published {
	v := api.Published{
		Port: p.Record.Name, PortID: p.Record.ID, Segment: p.Segment.Record.Name,
		HostIP: netip.IPv4Unspecified(), HostPorts: HostPorts(r),
		IP: p.Record.IPv4(), Ports: portRange(r.Port, Count(r)), Protocol: api.Protocol(r.Protocol),
	}
	if r.HostIP.IsValid() {
		v.HostIP = r.HostIP
	}
	return v
}
