package vswitch

import (
	"encoding/binary"

	"vswitch/frame"
)

// Ports of DHCP (RFC 2131 §4.1) and DHCPv6 (RFC 8415 §7.2).
const (
	dhcpServer   = 67
	dhcpClient   = 68
	dhcpv6Client = 546
)

// Offsets in an IPv4 header (RFC 791 §3.1).
const (
	ipv4Fragment = 6
	ipv4Protocol = 9
	ipv4Source   = 12
	laterMask    = 0x1fff // of the fragment offset: not the first fragment
)

// inspectIPv4 wants a strict port's own source address, and no DHCP server. The
// packet may lie about its length: what is behind that, nobody reads.
func (g *guard) inspectIPv4(eth frame.Ethernet) Reason {
	p := eth.Payload()
	if len(p) < frame.IPv4HeaderLen || p[0]>>4 != 4 {
		return MalformedIP
	}
	header := int(p[0]&15) * 4
	if header < frame.IPv4HeaderLen || len(p) < header {
		return MalformedIP
	}
	src := binary.BigEndian.Uint32(p[ipv4Source:])
	known := src == g.own4 && src != 0 || g.allows4(src)
	if p[ipv4Protocol] != frame.ProtoUDP || binary.BigEndian.Uint16(p[ipv4Fragment:])&laterMask != 0 {
		if !known {
			return SpoofedIP
		}
		return none
	}
	udp := p[header:]
	if len(udp) < 8 {
		return MalformedIP
	}
	from, to := binary.BigEndian.Uint16(udp), binary.BigEndian.Uint16(udp[2:])
	switch {
	// Clients listen by the destination port, whatever the other one is.
	case to == dhcpClient:
		return RogueDHCP
	case known:
		return none
	// A client has no address yet (RFC 2131 §4.1).
	case src == 0 && from == dhcpClient && to == dhcpServer:
		return none
	}
	return SpoofedIP
}

// allows4 says whether a may be the source of an IPv4 packet.
func (g *guard) allows4(a uint32) bool {
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

// dhcpRequest says whether a frame to a group is a broadcast to the servers of DHCP
// over IPv4.
func dhcpRequest(eth frame.Ethernet) bool {
	const broadcast = 1<<48 - 1
	p := eth.Payload()
	if eth.EtherType() != frame.EtherTypeIPv4 || eth.DstUint64() != broadcast || len(p) < frame.IPv4HeaderLen || p[ipv4Protocol] != frame.ProtoUDP {
		return false
	}
	header := int(p[0]&15) * 4
	return header >= frame.IPv4HeaderLen && len(p) >= header+4 && binary.BigEndian.Uint16(p[header+2:]) == dhcpServer
}
