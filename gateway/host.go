package gateway

import (
	"net/netip"

	"vswitch/frame"
	vswitch "vswitch/switch"
)

// SetHost says whether the host has the gateway's address, and a port on the
// segment that Gateway is the [vswitch.HostFilter] of. While it has not, the
// gateway answers alone.
func (g *Gateway) SetHost(there bool) { g.host.Store(there) }

// toHost decides on IPv4 to the gateway's MAC. All but what is for other segments,
// or must not go by way of a router, is the host's to answer or to route.
func (g *Gateway) toHost(eth frame.Ethernet) vswitch.Response {
	packet, ok := frame.ParseIPv4(eth.Payload())
	if !ok {
		return refuse(vswitch.MalformedIP)
	}
	// A port without security may claim any source; what answered it would be sent
	// into the segment of that.
	if src := packet.Src(); g.foreign(src) || src.IsLoopback() {
		return refuse(vswitch.SpoofedIP)
	}
	dst := packet.Dst()
	if dst == g.addr {
		return vswitch.Response{Action: vswitch.ToHost}
	}
	// Loopback could be routed to the host's own services (route_localnet).
	if g.own.Contains(dst) || g.pools.Contain(dst) || !routable(dst) {
		return refuse(g.elsewhere(dst))
	}
	return vswitch.Response{Action: vswitch.ToHost}
}

// routable says whether dst is one station's address, which packets may be routed
// to (RFC 1812 §5.3.7, §5.3.5.1).
func routable(dst netip.Addr) bool {
	first := dst.As4()[0]
	return first != 0 && first != 127 && first < 224
}

// foreign says whether a is in the subnet of another segment.
func (g *Gateway) foreign(a netip.Addr) bool { return !g.own.Contains(a) && g.pools.Contain(a) }

// FromHost implements [vswitch.HostFilter]. What another segment's station, or the
// host in the name of one, has sent is not let in.
func (g *Gateway) FromHost(buf []byte) vswitch.Response {
	from, reason := g.sender(buf)
	switch {
	case !from.IsValid():
		return refuse(reason)
	case g.foreign(from):
		return refuse(vswitch.CrossSegment)
	}
	return vswitch.Response{Action: vswitch.Pass}
}

// Overhears implements [vswitch.HostFilter]. The host hears broadcasts and
// multicasts of the segment's own, and none by which it could be made to answer at
// another segment's address.
func (g *Gateway) Overhears(buf []byte) bool {
	from, _ := g.sender(buf)
	if !from.IsValid() || g.foreign(from) || from.IsLoopback() {
		return false
	}
	eth := frame.Ethernet(buf[frame.VNetHeaderLen:])
	if eth.EtherType() == frame.EtherTypeARP {
		return true
	}
	dst := frame.IPv4(eth.Payload()).Dst()
	return g.own.Contains(dst) || dst.IsMulticast() || dst == limitedBroadcast
}

// limitedBroadcast is that of RFC 919 §7.
var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// sender is the address that an IPv4 packet or ARP says it comes from; the zero
// Addr, with the reason, where it is neither: the host speaks no other protocol
// here.
func (g *Gateway) sender(buf []byte) (netip.Addr, vswitch.Reason) {
	_, b, ok := frame.ParseVNet(buf)
	if !ok {
		return netip.Addr{}, vswitch.Runt
	}
	eth, ok := frame.ParseEthernet(b)
	if !ok {
		return netip.Addr{}, vswitch.Runt
	}
	switch eth.EtherType() {
	case frame.EtherTypeIPv4:
		if p, ok := frame.ParseIPv4(eth.Payload()); ok {
			return p.Src(), 0
		}
		return netip.Addr{}, vswitch.MalformedIP
	case frame.EtherTypeARP:
		if a, ok := frame.ParseARP(eth.Payload()); ok {
			return a.SenderIP(), 0
		}
		return netip.Addr{}, vswitch.MalformedARP
	}
	return netip.Addr{}, vswitch.UnassignedProtocol
}
