package gateway

import (
	"net/netip"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// SetHost says whether the host has the gateway's address, and a port on the
// segment that Gateway is the [vswitch.HostFilter] of. While it has not, the
// gateway answers alone.
func (g *Gateway) SetHost(there bool) { g.host.Store(there) }

// toHost decides on IPv4 to the gateway's MAC. All but what is for other segments,
// or must not go by way of a router, is the host's to answer or to route.
func (g *Gateway) toHost(f *frame.Parsed) vswitch.Response {
	packet, ok := f.IPv4()
	if !ok {
		return refuse(drop.MalformedIP)
	}
	// A port without security may claim any source; what answered it would be sent
	// into the segment of that.
	if src := packet.Src(); g.foreign(src) || src.IsLoopback() {
		return refuse(drop.SpoofedIP)
	}
	dst := packet.Dst()
	if dst == g.addr {
		return vswitch.Response{Action: vswitch.ToHost}
	}
	// What is no one host's address is not routed (RFC 1812 §5.3.7, §5.3.5.1), and loopback could
	// be to the host's own services (route_localnet).
	if g.own.Contains(dst) || g.pools.Contain(dst) || !frame.IsIPv4Host(dst) {
		return refuse(g.elsewhere(dst))
	}
	return vswitch.Response{Action: vswitch.ToHost}
}

// foreign says whether a is in the subnet of another segment.
func (g *Gateway) foreign(a netip.Addr) bool { return !g.own.Contains(a) && g.pools.Contain(a) }

// FilterIngress implements [vswitch.HostFilter]. What another segment's host, or this one in
// the name of one, has sent is not let in.
func (g *Gateway) FilterIngress(f *frame.Parsed) drop.Reason {
	from, reason := g.sender(f)
	switch {
	case !from.IsValid():
		return reason
	case g.foreign(from):
		return drop.CrossSegment
	}
	return drop.None
}

// AcceptsFlood implements [vswitch.HostFilter]. The host gets broadcasts and multicasts of
// the segment's own, and none by which it could be made to answer at another segment's
// address.
func (g *Gateway) AcceptsFlood(f *frame.Parsed) bool {
	from, _ := g.sender(f)
	if !from.IsValid() || g.foreign(from) || from.IsLoopback() {
		return false
	}
	if f.Network() == frame.NetworkARP {
		return true
	}
	dst := frame.AddrFromUint32(f.Dst4)
	return g.own.Contains(dst) || dst.IsMulticast() || dst == frame.LimitedBroadcast
}

// sender is the address that an IPv4 packet or ARP says it comes from; the zero
// Addr, with the reason, where it is neither: the host speaks no other protocol
// here.
func (g *Gateway) sender(f *frame.Parsed) (netip.Addr, drop.Reason) {
	network := f.Network()
	switch {
	case f.VLAN:
		return netip.Addr{}, drop.UnassignedProtocol
	case network == frame.NetworkARP:
		return frame.AddrFromUint32(f.Src4), drop.None
	case f.EtherType == frame.EtherTypeARP:
		return netip.Addr{}, drop.MalformedARP
	case f.EtherType != frame.EtherTypeIPv4:
		return netip.Addr{}, drop.UnassignedProtocol
	}
	if p, ok := f.IPv4(); ok {
		return p.Src(), drop.None
	}
	return netip.Addr{}, drop.MalformedIP
}
