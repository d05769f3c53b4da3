package frame

import "encoding/binary"

// IPv6 extension headers beside those that may stand in a super-frame (IANA,
// "IPv6 Extension Header Types"). ESP is none to step over: what follows is
// encrypted.
const (
	ipv6Fragment       = 44
	ipv6Authentication = 51
	ipv6Mobility       = 135
	ipv6HIP            = 139
	ipv6Shim6          = 140
)

// Upper is what an IPv6 packet carries behind its extension headers.
type Upper struct {
	Protocol uint8 // the type of the header at Offset
	Offset   int   // in the packet, in bytes
	Fragment bool  // there is a fragment header
	Later    bool  // of a fragment other than the first, which has no upper-layer header
}

// Upper follows the chain of extension headers to its end (RFC 8200 §4), however
// long it is (RFC 7113 §3). It is false where the chain does not end inside the
// packet; Fragment is right even then. A later fragment's chain ends at its
// fragment header.
func (p IPv6) Upper() (u Upper, ok bool) {
	u = Upper{Protocol: p.NextHeader(), Offset: IPv6HeaderLen}
	for {
		var size int
		if u.Protocol == ipv6Fragment {
			u.Fragment = true
		}
		if len(p) < u.Offset+8 {
			return u, !isExtension(u.Protocol) && len(p) >= u.Offset
		}
		h := p[u.Offset:]
		switch u.Protocol {
		case ipv6Fragment:
			size = 8
			u.Later = binary.BigEndian.Uint16(h[2:4])&0xfff8 != 0
		case ipv6Authentication: // RFC 4302 §2.2: in words of 32 bits, less two
			size = (int(h[1]) + 2) * 4
		default:
			if !isExtension(u.Protocol) {
				return u, true
			}
			size = (int(h[1]) + 1) * 8
		}
		u.Protocol = h[0]
		u.Offset += size
		if u.Later {
			return u, true
		}
	}
}

func isExtension(protocol uint8) bool {
	switch protocol {
	case ipv6HopByHop, ipv6Routing, ipv6Fragment, ipv6Authentication, ipv6Destination, ipv6Mobility, ipv6HIP, ipv6Shim6:
		return true
	}
	return false
}
