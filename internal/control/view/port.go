package view

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/model"
	"vswitch/internal/counters"
	"vswitch/internal/frame"
	"vswitch/internal/gateway/dhcp"
	"vswitch/internal/netns"
	"vswitch/internal/wellformed"
	vswitch "vswitch/switch"
)

// Port is a port as it was asked for and as it is.
type Port struct {
	Record    model.Port
	Segment   *Segment
	Place     Place // in the switch
	Counts    *counters.Block
	Lost      bool // it has no device
	Link      Link
	Offloads  []string      // what the device leaves to the switch
	Published []Publication // in the order of the record's
}

// Place is a [vswitch.Port], or a test's.
type Place interface {
	Slot() uint32
	Trusted() bool
	ErrDisabled() bool
	Refusals() []vswitch.Refusal
}

// Link is what the kernel says of a port's interface.
type Link struct {
	Name  string // as it is, whatever its bytes; empty: nobody has looked
	Down  bool   // set down by whoever is in the namespace
	MAC   frame.MAC
	Addrs []netip.Addr // set there
}

func (p *Port) id() string    { return p.Record.ID }
func (p *Port) title() string { return p.Record.Name }

// HostName returns what the link of a port is called where vswitchd runs.
func HostName(r model.Port) string { return "vst-" + r.ID[:8] }

// Waits reports whether the device of a port that is externally managed is still, or again,
// where it was made.
func Waits(r model.Port) bool { return r.Handover && r.IfName == HostName(r) }

// Namespace returns how to name a port's namespace to people; empty as long as its device waits
// to be moved into one.
func Namespace(r model.Port) string {
	if r.NetNS != "" || r.Handover {
		return r.NetNS
	}
	return netns.PID(r.PID).String()
}

// Prefix returns the port's address with the length of its subnet's prefix.
func (p *Port) Prefix() netip.Prefix {
	return netip.PrefixFrom(p.Record.IPv4(), p.Segment.Record.IPv4().Prefix.Bits())
}

// MAC returns the address of the port's interface as far as it may use it: at other levels of
// security than off it is the one that the port was given.
func (p *Port) MAC() frame.MAC {
	if !p.Lost && !p.Link.MAC.IsZero() && p.Place.Trusted() {
		return p.Link.MAC
	}
	return p.Record.MAC
}

// Binding returns what the segment answers for the port as things are; false: nothing. It
// answers only while a frame would get to the port.
func (p *Port) Binding() (arp.Binding, bool) {
	b := arp.Binding{
		IP: p.Record.IPv4(), MAC: p.Link.MAC, Kind: arp.Port, Port: p.Record.Name, Slot: p.Place.Slot(),
	}
	return b, !p.Lost && !p.Record.Down && !p.Place.ErrDisabled() && !p.Link.Down &&
		(p.Link.MAC == p.Record.MAC || p.Place.Trusted()) && slices.Contains(p.Link.Addrs, b.IP)
}

// leaseDuration is for how long a client may keep its address without asking again. The address
// is its port's for as long as that exists.
const leaseDuration = time.Hour

// Lease returns what the port's DHCP client is told.
func (p *Port) Lease() dhcp.Lease {
	gw, mac := p.Segment.Record.IPv4().Gateway, p.MAC()
	l := dhcp.Lease{
		MAC: mac[:], Addr: p.Prefix(), Server: gw, Router: DefaultGateway(p.Segment.Record), DNS: gw,
		MTU: p.Segment.Record.MTU, HostName: p.Record.Name, Duration: leaseDuration,
	}
	if p.Record.NoDefaultRoute {
		l.Router = netip.Addr{}
	}
	return l
}

func (p *Port) state() api.PortState {
	switch {
	case p.Lost:
		return api.PortLost
	case p.Record.Down, p.Link.Down, p.Place.ErrDisabled():
		return api.PortDown
	}
	return api.PortUp
}

// reason says why the port does not carry what it should; it may be empty.
func (p *Port) reason() string {
	switch {
	case p.Lost:
		return p.Record.LostReason
	case p.Record.Down:
		return "set down with vsctl set-port"
	case p.Link.Down && Waits(p.Record):
		return "waits to be moved into its container"
	case p.Link.Down:
		return "set down in its network namespace"
	case p.Place.ErrDisabled():
		return "err-disabled: a loop was found; resumes within 10 s"
	case p.Link.MAC != p.Record.MAC && !p.Link.MAC.IsZero() && !p.Place.Trusted():
		return "its MAC address was changed to " + p.Link.MAC.String() + " in its network namespace"
	}
	return ""
}

// ifName returns the name of the port's interface, fit to be shown.
func (p *Port) ifName() string {
	if p.Lost {
		return p.Record.IfName
	}
	return wellformed.Clean(cmp.Or(p.Link.Name, p.Record.IfName))
}

// View shows the port.
func (p *Port) View() api.Port {
	r, segment := p.Record, p.Segment.Record
	v := api.Port{
		ID: r.ID, Name: r.Name, Segment: segment.Name, SegmentID: r.SegmentID, MAC: p.MAC(),
		IPs: []netip.Prefix{p.Prefix()}, Gateway: textOf(DefaultGateway(segment)), NetNS: Namespace(r),
		IfName: p.ifName(), MTU: segment.MTU, Kind: api.PortTAP, State: p.state(), Reason: p.reason(),
		Labels: r.Labels, Created: r.Created, Counters: countersView(p.Counts),
		Aliases: r.Aliases, DHCP: r.DHCP, ResolvConf: r.ResolvConf, AllowHostNetNS: r.AllowHostNetNS,
		Offload: offload(r.Offload), Offloads: p.Offloads,
	}
	if r.Handover {
		v.Device = HostName(r)
	}
	viewPolicy(&v, r)
	v.Hints = p.hints(v.Counters.Drops)
	for _, q := range p.Published {
		v.Published = append(v.Published, p.published(q.Record).String())
	}
	return v
}
