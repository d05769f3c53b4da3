package frame

import "encoding/binary"

// IPv6 extension headers (IANA, "IPv6 Extension Header Types"). ESP is none to
// step over: what follows is encrypted.
const (
	ipv6HopByHop       = 0
	ipv6Routing        = 43
	ipv6Fragment       = 44
	ipv6Authentication = 51
	ipv6Destination    = 60
	ipv6Mobility       = 135
	ipv6HIP            = 139
	ipv6Shim6          = 140
)

// MaxExtensions is the number of IPv6 extension headers that are stepped over.
// RFC 8200 §4.1 recommends an order with six of them; the limit keeps a hostile
// chain from costing more than a few steps.
const MaxExtensions = 8

// Sets of extension headers, for chain.walk.
const (
	// extAny is all of them.
	extAny = 1 << iota
	// extGSO is those that may stand before the transport header of a super-frame:
	// the kernel steps over them in ipv6_gso_pull_exthdrs (net/ipv6/ip6_offload.c).
	extGSO
)

// extensions holds the sets that each extension header is in; 0 for what is none.
var extensions = [256]uint8{
	ipv6HopByHop:       extAny | extGSO,
	ipv6Routing:        extAny | extGSO,
	ipv6Destination:    extAny | extGSO,
	ipv6Fragment:       extAny,
	ipv6Authentication: extAny,
	ipv6Mobility:       extAny,
	ipv6HIP:            extAny,
	ipv6Shim6:          extAny,
}

// chain is a place in an IPv6 packet's chain of headers (RFC 8200 §4).
type chain struct {
	protocol uint8 // the type of the header at offset
	fragment bool  // a fragment header is among those before offset, or at it
	later    bool  // it is of a fragment other than the first, where the chain ends
	routed   bool  // a routing header is among those before offset
	tooMany  bool  // the chain goes on after MaxExtensions headers
	offset   int
}

// walk steps over the extension headers that are in the set over and lie in b. It
// reports whether it has come to a header of another type, or to the end of a
// later fragment's chain, within b.
func (c *chain) walk(b []byte, over uint8) bool {
	for n := 0; extensions[c.protocol]&over != 0; n++ {
		c.fragment = c.fragment || c.protocol == ipv6Fragment
		if n == MaxExtensions {
			c.tooMany = c.offset <= len(b)
			return false
		}
		if len(b) < c.offset+8 {
			return false
		}
		h := b[c.offset : c.offset+8]
		size := (int(h[1]) + 1) * 8
		switch c.protocol {
		case ipv6Fragment:
			size = 8
			c.later = binary.BigEndian.Uint16(h[2:4])&0xfff8 != 0
		case ipv6Authentication: // RFC 4302 §2.2: in words of 32 bits, less two
			size = (int(h[1]) + 2) * 4
		case ipv6Routing:
			c.routed = true
		}
		c.protocol = h[0]
		c.offset += size
		if c.later {
			return true
		}
	}
	return c.offset <= len(b)
}
