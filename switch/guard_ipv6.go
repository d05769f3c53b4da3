package vswitch

import (
	"encoding/binary"
	"slices"

	"vswitch/frame"
)

// Offsets in an IPv6 header (RFC 8200 §3).
const ipv6Source = 8

// inspectIPv6 wants a strict port's own source address, no router and no DHCP
// server, and neighbour discovery about its own station. Where it cannot be told
// what a packet is, because the headers go on in a later fragment, it is taken for
// a router's (RFC 7113 §3).
func (g *guard) inspectIPv6(eth frame.Ethernet) Reason {
	p, ok := frame.ParseIPv6(eth.Payload())
	if !ok {
		return MalformedIP
	}
	u, ok := p.Upper()
	if !ok {
		return undetermined(u)
	}
	known := g.allows6(addr6At(p[ipv6Source:]))
	if !u.Later {
		switch u.Protocol {
		case frame.ProtoICMPv6:
			return g.inspectICMPv6(p, u, known)
		case frame.ProtoUDP:
			if len(p) < u.Offset+8 {
				return undetermined(u)
			}
			if binary.BigEndian.Uint16(p[u.Offset+2:]) == dhcpv6Client {
				return RogueDHCP
			}
		}
	}
	if !known {
		return SpoofedIP
	}
	return none
}

// undetermined is why a packet is dropped whose headers do not end inside it.
func undetermined(u frame.Upper) Reason {
	if u.Fragment {
		return RogueRA
	}
	return MalformedIP
}

// inspectICMPv6 looks at a packet whose ICMPv6 header is where u says.
func (g *guard) inspectICMPv6(p frame.IPv6, u frame.Upper, known bool) Reason {
	if len(p) < u.Offset+4 {
		return undetermined(u)
	}
	unspecified := addr6At(p[ipv6Source:]) == addr6{}
	switch p[u.Offset] {
	case frame.ICMPv6RouterAdvertisement, frame.ICMPv6Redirect:
		return RogueRA
	case frame.ICMPv6RouterSolicitation, frame.ICMPv6NeighbourSolicitation, frame.ICMPv6NeighbourAdvertisement:
		if !known && !unspecified {
			return SpoofedIP
		}
		if u.Fragment { // no one may send it so, and options may follow (RFC 6980 §5)
			return SpoofedND
		}
		return g.inspectND(p[u.Offset:], unspecified)
	case frame.ICMPv6ListenerReport, frame.ICMPv6ListenerDone, frame.ICMPv6ListenerReport2:
		if unspecified { // while the link-local address is not yet checked (RFC 3590 §4)
			return none
		}
	}
	if !known {
		return SpoofedIP
	}
	return none
}

// inspectND looks at neighbour discovery from the station's own address, or from
// none: then it may look for a router (RFC 4861 §4.1) or whether another has the
// address that it is about to take (RFC 4862 §5.4.2).
func (g *guard) inspectND(b []byte, unspecified bool) Reason {
	n, ok := frame.ParseND(b)
	if !ok {
		return MalformedIP
	}
	if !n.OnlyLinkLayer(g.policy.MAC) {
		return SpoofedND
	}
	switch n.Type() {
	case frame.ICMPv6NeighbourAdvertisement:
		if unspecified {
			return SpoofedIP
		}
		if !g.owns6(toAddr6(n.Target())) {
			return SpoofedND
		}
	case frame.ICMPv6NeighbourSolicitation:
		if unspecified && !g.owns6(toAddr6(n.Target())) {
			return SpoofedND
		}
	}
	return none
}

// owns6 says whether a is an address of the port's station.
func (g *guard) owns6(a addr6) bool { return slices.Contains(g.own6, a) }

// allows6 says whether a may be the source of an IPv6 packet.
func (g *guard) allows6(a addr6) bool {
	if g.owns6(a) {
		return true
	}
	for _, n := range g.nets6 {
		if a.hi&n.mask.hi == n.addr.hi && a.lo&n.mask.lo == n.addr.lo {
			return a != addr6{}
		}
	}
	return false
}
