package view

import (
	"net/netip"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/model"
	"vswitch/internal/counters"
	vswitch "vswitch/switch"
)

// Segment is a segment as it was asked for and as it is.
type Segment struct {
	Record   model.Segment
	Place    *vswitch.Segment // in the switch
	Bindings *arp.Table       // what it answers
	HostLink *HostLink        // nil without that uplink
	Ports    []*Port

	Hits map[string]*counters.Block // of the rules, by their ids
}

func (s *Segment) id() string    { return s.Record.ID }
func (s *Segment) title() string { return s.Record.Name }

// UplinkOf returns a segment's uplink. A record without one is of a version that had
// none; a kind that we do not know is a later version's, and no way out for us.
func UplinkOf(r model.Segment) api.Uplink {
	if u := api.UplinkOf(api.Uplink(r.Uplink), r.Internal); u == api.UplinkHost {
		return u
	}
	return api.UplinkNone
}

// DefaultGateway returns where the default route of a segment's ports leads: the gateway, unless
// an auxiliary address is named for it. It is the zero Addr for a segment without a gateway.
func DefaultGateway(r model.Segment) netip.Addr {
	if a, given := r.AuxAddresses[api.AuxDefaultGateway]; given {
		return a
	}
	return r.IPv4().Gateway
}

// textOf is the text of an address, empty for none.
func textOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// View shows the segment; beyond is what is wrong with the way out behind its host link.
func (s *Segment) View(beyond string) api.Segment {
	r, subnet := s.Record, s.Record.IPv4()
	v := api.Segment{
		ID: r.ID, Name: r.Name, Driver: "vswitch", Scope: "local",
		Subnet: subnet.Prefix, Gateway: textOf(subnet.Gateway),
		Internal: r.Internal, Uplink: UplinkOf(r), MTU: r.MTU,
		Labels: r.Labels, Created: r.Created, Ports: len(s.Ports), AuxAddresses: r.AuxAddresses,
		Offload: offload(r.Offload),
	}
	if s.HostLink != nil {
		v.HostLink = s.HostLink.view(beyond)
	}
	if subnet.Range != subnet.Prefix {
		v.IPRange = subnet.Range.String()
	}
	return v
}

// HostLink is the interface by which the host reaches a segment, as it is.
type HostLink struct {
	Name    string
	Made    uint64 // which one of those that this process has made; 0: it was there before
	Problem string // why it is not what it should be
	Counts  *counters.Block
}

// view shows the link; beyond is what is wrong with the way from there on.
func (h *HostLink) view(beyond string) api.HostLink {
	v := api.HostLink{
		Name: h.Name, State: api.PortUp, Reason: beyond, Counters: countersView(h.Counts),
	}
	if h.Problem != "" {
		v.State, v.Reason = api.PortDown, h.Problem
	}
	return v
}
