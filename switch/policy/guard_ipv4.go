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

// Messages of IGMP by which a host joins and leaves groups: reports of version 1 (RFC 1112), 2 and
// 3 (RFC 3376 §4), and version 2's leave (RFC 2236 §2.1).
const (
	igmpReport1 = 0x12
	igmpReport2 = 0x16
	igmpLeave   = 0x17
	igmpReport3 = 0x22
)

// igmpLen is the length of the shortest IGMP message in bytes (RFC 2236 §2).
const igmpLen = 8

// udpHeaderLen is the length of a UDP header in bytes (RFC 768).
const udpHeaderLen = 8

// plain4 reports whether inspectIPv4 is known to find nothing, as with most frames.
func (g *Guard) plain4(h *frame.PlainIPv4) bool {
	return uint64(h.Src()) == g.own4 &&
		(h.Protocol() != frame.ProtoUDP || h.DstPort() != dhcpClient)
}

// inspectIPv4 wants a strict port's own source address, and no DHCP server. From none a
// host may ask for an address, and say which groups it listens to. The packet's total
// length may be wrong: nobody reads what is behind it.
func (g *Guard) inspectIPv4(f *frame.Parsed) drop.Reason {
	known := uint64(f.Src4) == g.own4 || g.allows4(f.Src4)
	if f.Protocol == frame.ProtoUDP && !f.Later {
		return inspectUDP4(f, known)
	}
	if !known && !groupReport(f) {
		return drop.SpoofedIP
	}
	return drop.None
}

// groupReport reports whether an IPv4 packet joins or leaves groups as a host does that has no
// address yet (RFC 3376 §4.2.13), or a bridge for those behind it (RFC 4541 §2.1.1).
func groupReport(f *frame.Parsed) bool {
	if f.Src4 != 0 || f.Protocol != frame.ProtoIGMP || f.Fragment ||
		f.Dst4>>28 != 0xe || !f.Eth.Dst().IsGroup() { // 224.0.0.0/4
		return false
	}
	message := f.Body()
	if len(message) < igmpLen {
		return false
	}
	switch message[0] {
	case igmpReport1, igmpReport2, igmpLeave, igmpReport3:
		return true
	}
	return false
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
