package policy

import (
	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// Ports of DHCP (RFC 2131 §4.1) and DHCPv6 (RFC 8415 §7.2).
const (
	dhcpServer   = 67
	dhcpClient   = 68
	dhcpv6Client = 546
)

// udpHeaderLen is the length of a UDP header in bytes (RFC 768).
const udpHeaderLen = 8

// plain4 reports whether inspectIPv4 is known to find nothing, as with most frames.
func (g *Guard) plain4(h *frame.PlainIPv4) bool {
	return uint64(h.Src()) == g.own4 &&
		(h.Protocol() != frame.ProtoUDP || h.DstPort() != dhcpClient)
}

// inspectIPv4 wants a strict port's own source address, and no DHCP server. The
// packet's total length may be wrong: nobody reads what is behind it.
func (g *Guard) inspectIPv4(f *frame.Parsed) drop.Reason {
	known := uint64(f.Src4) == g.own4 || g.allows4(f.Src4)
	if f.Protocol == frame.ProtoUDP && !f.Later {
		return inspectUDP4(f, known)
	}
	if !known {
		return drop.SpoofedIP
	}
	return drop.None
}

func inspectUDP4(f *frame.Parsed, known bool) drop.Reason {
	if !f.Ports() || len(f.Eth) < int(f.Transport)+udpHeaderLen {
		return drop.MalformedIP
	}
	switch {
	// Clients listen by the destination port, whatever the other one is.
	case f.DstPort == dhcpClient:
		return drop.RogueDHCP
	case known:
		return drop.None
	// A client has no address yet (RFC 2131 §4.1).
	case f.Src4 == 0 && f.SrcPort == dhcpClient && f.DstPort == dhcpServer:
		return drop.None
	}
	return drop.SpoofedIP
}

// allows4 reports whether a may be the source of an IPv4 packet.
func (g *Guard) allows4(a uint32) bool {
	if g.owns4(a) {
		return true
	}
	for _, n := range g.nets4 {
		if a&n.mask == n.addr {
			return a != 0
		}
	}
	return false
}

// MayUse4 reports whether a frame from the port may have that IPv4 source address,
// a [frame.Uint32]. SecurityOff and SecurityMACOnly do not ask for it.
func (g *Guard) MayUse4(addr uint32) bool {
	return g.Security != SecurityStrict || g.allows4(addr)
}

// DHCPRequest reports whether a frame is a broadcast to the servers of DHCP over
// IPv4.
func DHCPRequest(f *frame.Parsed) bool {
	const broadcast = 1<<48 - 1
	return f.Eth.DstUint64() == broadcast && f.Network() == frame.NetworkIPv4 && !f.VLAN &&
		f.Protocol == frame.ProtoUDP && f.Ports() && f.DstPort == dhcpServer
}
