package frame

import "net/netip"

// Types of ICMPv6 messages: multicast listener discovery (RFC 2710, RFC 3810)
// and neighbour discovery (RFC 4861 §4).
const (
	ICMPv6ListenerReport         = 131
	ICMPv6ListenerDone           = 132
	ICMPv6RouterSolicitation     = 133
	ICMPv6RouterAdvertisement    = 134
	ICMPv6NeighbourSolicitation  = 135
	ICMPv6NeighbourAdvertisement = 136
	ICMPv6Redirect               = 137
	ICMPv6ListenerReport2        = 143
)

// Sizes in bytes and option types (RFC 4861 §4).
const (
	ndSolicitRouterLen = 8  // fixed part of a router solicitation
	ndNeighbourLen     = 24 // of a neighbour solicitation or advertisement
	ndSourceLinkLayer  = 1
	ndTargetLinkLayer  = 2
)

// ND is a message by which a host finds its neighbours or its router (RFC 4861):
// router solicitation, neighbour solicitation or neighbour advertisement.
type ND []byte

// ParseND says whether b is such a message, with options that are well formed to
// its end. The checksum is not verified.
func ParseND(b []byte) (ND, bool) {
	if len(b) < ndSolicitRouterLen {
		return nil, false
	}
	n := ND(b)
	switch n.Type() {
	case ICMPv6RouterSolicitation:
	case ICMPv6NeighbourSolicitation, ICMPv6NeighbourAdvertisement:
		if len(b) < ndNeighbourLen {
			return nil, false
		}
	default:
		return nil, false
	}
	for o := n.options(); len(o) > 0; {
		size := ndOptionLen(o)
		if size == 0 || size > len(o) {
			return nil, false
		}
		o = o[size:]
	}
	return n, true
}

// Type is the ICMPv6 type.
func (n ND) Type() uint8 { return n[0] }

// Target is the address that is asked for or advertised; the zero Addr in a
// router solicitation.
func (n ND) Target() netip.Addr {
	if n.Type() == ICMPv6RouterSolicitation {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(n[8:24]))
}

// ForeignLinkLayer returns the first link-layer address in the options, the source's or
// the target's, to which may says no; the zero MAC where it is not six bytes long.
func (n ND) ForeignLinkLayer(may func(MAC) bool) (m MAC, found bool) {
	for o := n.options(); len(o) > 0; o = o[ndOptionLen(o):] {
		if o[0] != ndSourceLinkLayer && o[0] != ndTargetLinkLayer {
			continue
		}
		if ndOptionLen(o) != 8 {
			return MAC{}, true
		}
		if !may(MAC(o[2:8])) {
			return MAC(o[2:8]), true
		}
	}
	return MAC{}, false
}

func (n ND) options() []byte {
	if n.Type() == ICMPv6RouterSolicitation {
		return n[ndSolicitRouterLen:]
	}
	return n[ndNeighbourLen:]
}

// ndOptionLen is the size in bytes that an option says of itself; 0 where it is
// cut off.
func ndOptionLen(o []byte) int {
	if len(o) < 2 {
		return 0
	}
	return int(o[1]) * 8
}

// LinkLocal is the IPv6 link-local address with the modified EUI-64 interface
// identifier of m (RFC 4291 §2.5.6 and appendix A).
func (m MAC) LinkLocal() netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
