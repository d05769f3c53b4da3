package gateway

import (
	"net/netip"
	"sync/atomic"

	"vswitch/arp"
	"vswitch/frame"
	"vswitch/icmp"
	vswitch "vswitch/switch"
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
func (g *Gateway) Respond(buf []byte) vswitch.Response {
	h, b, ok := frame.ParseVNet(buf)
	if !ok {
		return refuse(vswitch.Runt)
	}
	eth, ok := frame.ParseEthernet(b)
	if !ok {
		return refuse(vswitch.Runt)
	}
	switch eth.EtherType() {
	case frame.EtherTypeARP:
		return g.respondARP(h, eth)
	case frame.EtherTypeIPv4:
		if r, taken := g.serve(h, eth); taken {
			return r
		}
	}
	switch etherType := eth.EtherType(); {
	case eth.Dst() != g.mac:
		return vswitch.Response{Action: vswitch.Pass}
	case etherType == frame.EtherTypeIPv4 && g.host.Load():
		return g.toHost(eth)
	case etherType == frame.EtherTypeIPv4:
		return g.respondIPv4(h, eth)
	case etherType == frame.EtherTypeIPv6:
		return refuse(vswitch.NoUplink)
	}
	return refuse(vswitch.GatewayUnhandled)
}

func (g *Gateway) respondARP(h frame.VNet, eth frame.Ethernet) vswitch.Response {
	// The switch does not say yet which port a frame came from.
	switch g.arp.Respond(eth, frame.EthernetHeaderLen, arp.Origin{}) {
	case arp.Answered:
		return answered(h, eth)
	case arp.Malformed:
		return refuse(vswitch.MalformedARP)
	case arp.Spoofed:
		return refuse(vswitch.SpoofedARP)
	}
	return vswitch.Response{Action: vswitch.Pass}
}

func (g *Gateway) respondIPv4(h frame.VNet, eth frame.Ethernet) vswitch.Response {
	packet, ok := frame.ParseIPv4(eth.Payload())
	if !ok {
		return refuse(vswitch.MalformedIP)
	}
	if packet.Dst() != g.addr {
		return refuse(g.elsewhere(packet.Dst()))
	}
	switch icmp.Echo(packet) {
	case icmp.Answered:
		eth.SetDst(eth.Src())
		eth.SetSrc(g.mac)
		return answered(h, eth)
	case icmp.Malformed:
		return refuse(vswitch.MalformedIP)
	}
	return refuse(vswitch.GatewayUnhandled)
}

// elsewhere is why nothing can go by way of the gateway to dst, which is not its
// own address.
func (g *Gateway) elsewhere(dst netip.Addr) vswitch.Reason {
	switch {
	case g.own.Contains(dst):
		return vswitch.GatewayUnhandled
	case g.pools.Contain(dst):
		return vswitch.CrossSegment
	}
	return vswitch.NoUplink
}

func answered(h frame.VNet, eth frame.Ethernet) vswitch.Response {
	h.Clear()
	return vswitch.Response{Action: vswitch.Answered, Len: len(h) + len(eth)}
}

func refuse(r vswitch.Reason) vswitch.Response {
	return vswitch.Response{Action: vswitch.Refused, Reason: r}
}
