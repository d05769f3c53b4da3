package policy

import (
	"slices"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// plain6 reports whether inspectIPv6 is known to find nothing, as with most frames.
func (g *Guard) plain6(h *frame.PlainIPv6) bool {
	switch h.NextHeader() {
	case frame.ProtoTCP:
	case frame.ProtoUDP:
		if h.DstPort() == dhcpv6Client {
			return false
		}
	default:
		return false
	}
	return g.carries6 && g.owns6(h.Src())
}

// inspectIPv6 wants a strict port's own source address, no router and no DHCP
// server, and neighbour discovery about its own host. Where it cannot be known
// what a packet is, because the headers go on in a later fragment or without an
// end, it is taken for a router's (RFC 7113 §3).
func (g *Guard) inspectIPv6(f *frame.Parsed) drop.Reason {
	if f.Network() != frame.NetworkIPv6 {
		return drop.MalformedIP
	}
	if !f.Upper() {
		return undetermined(f)
	}
	known := g.allows6(f.Src6)
	if !f.Later {
		switch f.Protocol {
		case frame.ProtoICMPv6:
			return g.inspectICMPv6(f, known)
		case frame.ProtoUDP:
			if len(f.Body()) < udpHeaderLen || !f.Ports() {
				return undetermined(f)
			}
			if f.DstPort == dhcpv6Client {
				return drop.RogueDHCP
			}
		}
	}
	if !known {
		return drop.SpoofedIP
	}
	return drop.None
}

// undetermined returns why a packet is dropped whose headers do not end inside it.
func undetermined(f *frame.Parsed) drop.Reason {
	if f.Fragment || f.TooMany {
		return drop.RogueRA
	}
	return drop.MalformedIP
}

func (g *Guard) inspectICMPv6(f *frame.Parsed, known bool) drop.Reason {
	message := f.Body()
	if len(message) < 4 {
		return undetermined(f)
	}
	unspecified := f.Src6 == frame.Addr6{}
	switch message[0] {
	case frame.ICMPv6RouterAdvertisement, frame.ICMPv6Redirect:
		return drop.RogueRA
	case frame.ICMPv6RouterSolicitation,
		frame.ICMPv6NeighbourSolicitation, frame.ICMPv6NeighbourAdvertisement:
		if !known && !unspecified {
			return drop.SpoofedIP
		}
		if f.Fragment { // no one may send it so, and options may follow (RFC 6980 §5)
			return drop.SpoofedND
		}
		return g.inspectND(message, unspecified)
	case frame.ICMPv6ListenerReport, frame.ICMPv6ListenerDone, frame.ICMPv6ListenerReport2:
		if unspecified { // while the link-local address is not yet checked (RFC 3590 §4)
			return drop.None
		}
	}
	if !known {
		return drop.SpoofedIP
	}
	return drop.None
}

// inspectND inspects neighbour discovery from the host's own address, or from
// none: then it may look for a router (RFC 4861 §4.1) or whether another has the
// address that it is about to take (RFC 4862 §5.4.2).
func (g *Guard) inspectND(message []byte, unspecified bool) drop.Reason {
	n, ok := frame.ParseND(message)
	if !ok {
		return drop.MalformedIP
	}
	if _, foreign := n.ForeignLinkLayer(g.mayBe); foreign {
		return drop.SpoofedND
	}
	switch n.Type() {
	case frame.ICMPv6NeighbourAdvertisement:
		if unspecified {
			return drop.SpoofedIP
		}
		if !g.mayClaim6(frame.Addr6From(n.Target())) {
			return drop.SpoofedND
		}
	case frame.ICMPv6NeighbourSolicitation:
		if unspecified && !g.mayClaim6(frame.Addr6From(n.Target())) {
			return drop.SpoofedND
		}
	}
	return drop.None
}

// owns6 reports whether a is an address of the port's host.
func (g *Guard) owns6(a frame.Addr6) bool { return slices.Contains(g.own6, a) }

// mayClaim6 reports whether neighbour discovery may say that the port's host has a.
func (g *Guard) mayClaim6(a frame.Addr6) bool {
	return g.owns6(a) || anyContains(g.links6, a) || g.more.hasLinkLocal(a)
}

// allows6 reports whether a may be the source of an IPv6 packet.
func (g *Guard) allows6(a frame.Addr6) bool {
	return g.owns6(a) || anyContains(g.nets6, a) || g.more.hasLinkLocal(a)
}

// anyContains reports whether one of the networks has a, which no host has that is zero.
func anyContains(nets []net6, a frame.Addr6) bool {
	for _, n := range nets {
		if a.Hi&n.mask.Hi == n.addr.Hi && a.Lo&n.mask.Lo == n.addr.Lo {
			return a != frame.Addr6{}
		}
	}
	return false
}
