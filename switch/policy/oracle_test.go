package policy_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// oracle says what docs/security.md promises, the slow and obvious way, for a port
// with the policy c: it shares no code with the guard, nor with frame.Parsed.
type oracle struct{ c policy.Policy }

// admit is Guard.Admit's verdict on a frame.
func (o oracle) admit(eth []byte) drop.Reason {
	src := eth[6:12]
	if bytes.Equal(src, gatewayMAC[:]) {
		return drop.SpoofedGateway
	}
	etherType, packet, vlan := untag(eth)
	if etherType == 0x0806 && !vlan && len(packet) >= 28 && (packet[1] == 1 || packet[1] == 6) &&
		bytes.Equal(packet[:6], []byte{0, packet[1], 8, 0, 6, 4}) &&
		ip(packet[14:18]) == host1.Gateway {
		return drop.SpoofedGateway
	}
	switch {
	case o.c.Security == policy.SecurityOff:
		return drop.None
	case !o.mayBe(src):
		return drop.SpoofedMAC
	case vlan && !o.carriesTags(eth):
		return drop.VLANTagged
	case o.c.Security == policy.SecurityMACOnly:
		return drop.None
	}
	return o.inspect(eth, etherType, packet)
}

// inspect is Guard.Inspect's verdict on the packet of an untagged frame.
func (o oracle) inspect(eth []byte, etherType uint16, packet []byte) drop.Reason {
	switch {
	case etherType == 0x0800:
		return o.ipv4(eth, packet)
	case etherType == 0x0806:
		return o.arp(packet)
	case etherType == 0x86dd && o.c.IPv6:
		return o.ipv6(packet)
	case bytes.Equal(eth[:5], []byte{1, 0x80, 0xc2, 0, 0}) && eth[5] < 16, o.carries(etherType):
		return drop.None
	}
	return drop.UnassignedProtocol
}

// mayBe says whether the host may have a MAC, bit by bit.
func (o oracle) mayBe(mac []byte) bool {
	same := func(m frame.MACMask) bool {
		for i := range 48 {
			bit := byte(0x80) >> (i % 8)
			if m.Mask[i/8]&bit != 0 && (m.MAC[i/8]^mac[i/8])&bit != 0 {
				return false
			}
		}
		return true
	}
	return bytes.Equal(mac, o.c.MAC[:]) || slices.ContainsFunc(o.c.MACs, same)
}

func (o oracle) carries(etherType uint16) bool {
	return slices.ContainsFunc(o.c.Protocols, func(p ethertype.Protocol) bool {
		return p == "llc" && etherType < 0x600 || slices.Contains(p.EtherTypes(), etherType)
	})
}

// carriesTags says whether the tags of a VLAN are whole, and of types that the host may send.
func (o oracle) carriesTags(eth []byte) bool {
	for b := eth[12:]; ; b = b[4:] {
		switch t := binary.BigEndian.Uint16(b); {
		case t == 0x9100:
			return o.carries(t)
		case t != 0x8100 && t != 0x88a8:
			return true
		case len(b) < 6:
			return false
		case (b[2]&0xf != 0 || b[3] != 0) && !o.carries(t):
			return false
		}
	}
}

// untag takes all tags off that can be taken off.
func untag(eth []byte) (etherType uint16, packet []byte, vlan bool) {
	etherType, packet = binary.BigEndian.Uint16(eth[12:]), eth[14:]
	for (etherType == 0x8100 || etherType == 0x88a8) && len(packet) >= 4 {
		vlan = vlan || packet[0]&0xf != 0 || packet[1] != 0
		etherType, packet = binary.BigEndian.Uint16(packet[2:]), packet[4:]
	}
	return etherType, packet, vlan || slices.Contains([]uint16{0x8100, 0x88a8, 0x9100}, etherType)
}

func ip(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (o oracle) owns(a netip.Addr) bool {
	if slices.Contains(o.c.Addrs, a) || a == o.c.MAC.LinkLocal() {
		return true
	}
	b := a.AsSlice()
	if len(b) != 16 {
		return false
	}
	mac := frame.MAC{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
	return mac.LinkLocal() == a && o.mayBe(mac[:])
}

// mayClaim is for neighbour discovery.
func (o oracle) mayClaim(a netip.Addr) bool {
	linkLocal := netip.MustParsePrefix("fe80::/10")
	return o.owns(a) || !a.IsUnspecified() && slices.ContainsFunc(o.c.Prefixes, func(p netip.Prefix) bool {
		return p.Contains(a) && (p.Bits() >= 64 || p.Bits() >= 10 && p.Overlaps(linkLocal))
	})
}

func (o oracle) mayUse(a netip.Addr) bool {
	routed := slices.ContainsFunc(o.c.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	return o.owns(a) || routed && !a.IsUnspecified()
}

func (o oracle) arp(b []byte) drop.Reason {
	switch {
	case len(b) < 28 || !bytes.Equal(b[:6], []byte{0, 1, 8, 0, 6, 4}):
		return drop.MalformedARP
	case !o.mayBe(b[8:14]):
		return drop.SpoofedARP
	case o.owns(ip(b[14:18])), bytes.Equal(b[6:8], []byte{0, 1}) && ip(b[14:18]).IsUnspecified():
		return drop.None
	}
	return drop.SpoofedARP
}

func (o oracle) ipv4(eth, b []byte) drop.Reason {
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 || len(b) < int(b[0]&15)*4 {
		return drop.MalformedIP
	}
	src := ip(b[12:16])
	if b[9] == 17 && binary.BigEndian.Uint16(b[6:])<<3 == 0 { // UDP, and no later fragment
		udp := b[int(b[0]&15)*4:]
		if len(udp) < 8 {
			return drop.MalformedIP
		}
		if bytes.Equal(udp[2:4], []byte{0, 68}) {
			return drop.RogueDHCP
		}
		if src.IsUnspecified() && bytes.Equal(udp[:4], []byte{0, 68, 0, 67}) {
			return drop.None
		}
	}
	if !o.mayUse(src) && !isReportFromNowhere(eth, b) {
		return drop.SpoofedIP
	}
	return drop.None
}

// isReportFromNowhere says whether an IPv4 packet is a whole report of IGMP of any version, or a
// leave, from 0.0.0.0 to a group.
func isReportFromNowhere(eth, b []byte) bool {
	igmp, whole := b[int(b[0]&15)*4:], b[6]&0x3f == 0 && b[7] == 0
	return eth[0]&1 == 1 && ip(b[12:16]).IsUnspecified() && ip(b[16:20]).IsMulticast() && b[9] == 2 && whole &&
		len(igmp) >= 8 && slices.Contains([]byte{0x12, 0x16, 0x17, 0x22}, igmp[0])
}

// headers6 is what follows the extension headers of an IPv6 packet. Where they do
// not end in it, why says for what it is dropped.
func headers6(b []byte) (next uint8, rest []byte, first, later bool, why drop.Reason) {
	next, rest = b[6], b[40:]
	sizes := map[uint8]int{0: 8, 43: 8, 44: 0, 51: 4, 60: 8, 135: 8, 139: 8, 140: 8}
	for n := 0; ; n++ {
		unit, extension := sizes[next]
		fragment := next == 44
		if !extension {
			return next, rest, first, false, drop.None
		}
		if n == 8 {
			return 0, nil, false, false, drop.RogueRA
		}
		if len(rest) < 8 {
			if first || fragment {
				return 0, nil, false, false, drop.RogueRA
			}
			return 0, nil, false, false, drop.MalformedIP
		}
		first = first || fragment
		if fragment && binary.BigEndian.Uint16(rest[2:])>>3 != 0 {
			return rest[0], rest[8:], true, true, drop.None
		}
		size := 8 + int(rest[1])*unit
		if size > len(rest) {
			if first || rest[0] == 44 {
				return 0, nil, false, false, drop.RogueRA
			}
			return 0, nil, false, false, drop.MalformedIP
		}
		next, rest = rest[0], rest[size:]
	}
}

func (o oracle) ipv6(b []byte) drop.Reason {
	if len(b) < 40 || b[0]>>4 != 6 || len(b) < 40+int(b[4])<<8+int(b[5]) {
		return drop.MalformedIP
	}
	b = b[:40+int(b[4])<<8+int(b[5])]
	next, rest, fragment, later, why := headers6(b)
	if why != drop.None {
		return why
	}
	src := ip(b[8:24])
	short := drop.MalformedIP
	if fragment {
		short = drop.RogueRA
	}
	switch {
	case later:
	case next == 17 && len(rest) < 8, next == 58 && len(rest) < 4:
		return short
	case next == 17 && bytes.Equal(rest[2:4], []byte{2, 34}):
		return drop.RogueDHCP
	case next == 58 && (rest[0] == 134 || rest[0] == 137):
		return drop.RogueRA
	case next == 58 && rest[0] >= 133 && rest[0] <= 136:
		return o.discovery(src, rest, fragment)
	case next == 58 && src.IsUnspecified() && slices.Contains([]byte{131, 132, 143}, rest[0]):
		return drop.None
	}
	if !o.mayUse(src) {
		return drop.SpoofedIP
	}
	return drop.None
}

// discovery is about a router or neighbour solicitation or an advertisement.
func (o oracle) discovery(src netip.Addr, b []byte, fragment bool) drop.Reason {
	fixed := map[byte]int{133: 8, 135: 24, 136: 24}[b[0]]
	switch {
	case !o.mayUse(src) && !src.IsUnspecified():
		return drop.SpoofedIP
	case fragment:
		return drop.SpoofedND
	case len(b) < fixed:
		return drop.MalformedIP
	}
	foreign := false
	for options := b[fixed:]; len(options) > 0; {
		if len(options) < 8 || options[1] == 0 || len(options) < int(options[1])*8 {
			return drop.MalformedIP
		}
		own := options[1] == 1 && o.mayBe(options[2:8])
		foreign = foreign || (options[0] == 1 || options[0] == 2) && !own
		options = options[int(options[1])*8:]
	}
	switch {
	case foreign:
		return drop.SpoofedND
	case b[0] == 133:
		return drop.None
	case b[0] == 136 && src.IsUnspecified():
		return drop.SpoofedIP
	case (b[0] == 136 || src.IsUnspecified()) && !o.mayClaim(ip(b[8:24])):
		return drop.SpoofedND
	}
	return drop.None
}
