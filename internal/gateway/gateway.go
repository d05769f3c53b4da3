package gateway

import (
	"net/netip"
	"sync/atomic"

	"vswitch/arp"
	"vswitch/icmp"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// Gateway answers for one segment. It implements [vswitch.Responder] and may be
// called by several workers at once.
type Gateway struct {
	mac   frame.MAC
	addr  netip.Addr
	own   netip.Prefix
	arp   *arp.Responder
	pools *Prefixes
	inbox *Inbox      // nil: no services
	host  atomic.Bool // the host has the gateway's address: it answers and routes
}

// New makes the gateway with address addr and mac of the segment whose subnet is
// own. bindings are the addresses that it answers ARP for, its own among them;
// pools holds the subnets of all segments.
func New(mac frame.MAC, addr netip.Addr, own netip.Prefix, bindings *arp.Table, pools *Prefixes) *Gateway {
	return &Gateway{mac: mac, addr: addr, own: own, arp: arp.NewResponder(bindings), pools: pools}
}

// Respond implements [vswitch.Responder].
func (g *Gateway) Respond(from vswitch.Origin, f *frame.Parsed, buf []byte) vswitch.Response {
	network := f.Network()
	if f.VLAN { // another network's, with addresses of its own
		network = frame.NetworkOther
	}
	if f.EtherType == frame.EtherTypeARP && !f.VLAN {
		return g.respondARP(from, f, buf)
	}
	toGateway := f.Eth.Dst() == g.mac
	if network == frame.NetworkIPv4 {
		if r, taken := g.serve(from, f, buf); taken {
			return r
		}
	}
	switch {
	case !toGateway:
		return vswitch.Response{Action: vswitch.Pass}
	case network == frame.NetworkIPv4 && g.host.Load():
		return g.toHost(f)
	case network == frame.NetworkIPv4:
		return g.respondIPv4(f, buf)
	case f.VLAN:
		return refuse(drop.GatewayUnhandled)
	case f.EtherType == frame.EtherTypeIPv4:
		return refuse(drop.MalformedIP)
	case f.EtherType == frame.EtherTypeIPv6:
		return refuse(drop.NoUplink)
	}
	return refuse(drop.GatewayUnhandled)
}

func (g *Gateway) respondARP(from vswitch.Origin, f *frame.Parsed, buf []byte) vswitch.Response {
	switch g.arp.Respond(f.Eth, int(f.Offset), arp.Origin(from)) {
	case arp.Answered:
		return answered(buf, f.Eth)
	case arp.Malformed:
		return refuse(drop.MalformedARP)
	case arp.Spoofed:
		return refuse(drop.SpoofedARP)
	case arp.Probe:
		return vswitch.Response{Action: vswitch.Probe}
	}
	return vswitch.Response{Action: vswitch.Pass}
}

func (g *Gateway) respondIPv4(f *frame.Parsed, buf []byte) vswitch.Response {
	packet, ok := f.IPv4()
	if !ok {
		return refuse(drop.MalformedIP)
	}
	if packet.Dst() != g.addr {
		return refuse(g.elsewhere(packet.Dst()))
	}
	switch icmp.Echo(packet) {
	case icmp.Answered:
		f.Eth.SetDst(f.Eth.Src())
		f.Eth.SetSrc(g.mac)
		return answered(buf, f.Eth)
	case icmp.Malformed:
		return refuse(drop.MalformedIP)
	}
	return refuse(drop.GatewayUnhandled)
}

// elsewhere is why nothing can go by way of the gateway to dst, which is not its
// own address.
func (g *Gateway) elsewhere(dst netip.Addr) drop.Reason {
	switch {
	case g.own.Contains(dst):
		return drop.GatewayUnhandled
	case g.pools.Contain(dst):
		return drop.CrossSegment
	}
	return drop.NoUplink
}

func answered(buf []byte, eth frame.Ethernet) vswitch.Response {
	frame.VNet(buf[:frame.VNetHeaderLen]).Clear()
	return vswitch.Response{Action: vswitch.Answered, Len: frame.VNetHeaderLen + len(eth)}
}

func refuse(r drop.Reason) vswitch.Response {
	return vswitch.Response{Action: vswitch.Refused, Reason: r}
}
