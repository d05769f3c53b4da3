package ipam

import (
	"math"
	"net/netip"

	"go4.org/netipx"
)

// family is what differs between IPv4 and IPv6.
type family struct {
	name       string
	firstRole  string // of the first address of a subnet, which no host may have
	broadcasts bool   // the last address of a subnet is its broadcast address
	// A route of at most this many bits is a default route, whole or in parts.
	defaultBits int
	maxBits     int    // the greatest length of the prefix of a subnet that is asked for
	private     string // a prefix as a user may choose it
	pool        string // a pool as a user may add it
	// special holds the ranges whose addresses no host may have as its own in an
	// ordinary network.
	special []specialRange
}

type specialRange struct {
	prefix netip.Prefix
	use    string
	// A subnet that is asked for may have addresses of the range if its prefix has at most this
	// length; 0: none may.
	asked int
}

// RFC 6890 section 2.2.2, and RFC 5771 for multicast. VPN clients install a default
// route as two halves. A subnet of two addresses has neither a network nor a broadcast address
// (RFC 3021), and one of a single address has no gateway either.
var ipv4 = family{
	name: "IPv4", firstRole: "network address", broadcasts: true, defaultBits: 1, maxBits: 32,
	private: "10.1.0.0/16", pool: "base=10.0.0.0/8,size=24",
	special: []specialRange{
		{netip.MustParsePrefix("0.0.0.0/8"), `unspecified addresses ("this network")`, 0},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback", 0},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local addresses", 32},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast", 0},
		{netip.MustParsePrefix("255.255.255.255/32"), "limited broadcast", 30}, // of which it is the broadcast address
	},
}

// RFC 4291 sections 2.4, 2.5.6 and 2.6.1 (which has the first address of each subnet
// belong to all its routers), and RFC 6666. OpenVPN installs a default route as ::/3,
// 2000::/4, 3000::/4 and fc00::/7; no network is as large as those.
var ipv6 = family{
	name: "IPv6", firstRole: "subnet-router anycast address", defaultBits: 7, maxBits: 126,
	private: "fd12:3456:789a::/64", pool: "base=fd12:3456:789a::/48,size=64",
	special: []specialRange{
		{netip.MustParsePrefix("::/8"), "unspecified, loopback and translated addresses", 0},
		{netip.MustParsePrefix("100::/64"), "discarded traffic", 0},
		{netip.MustParsePrefix("fe80::/10"), "link-local addresses", 0},
		{netip.MustParsePrefix("ff00::/8"), "multicast", 0},
	},
}

// familyOf returns the family of an address or of a prefix's address.
func familyOf(a netip.Addr) *family {
	if a.Is4() {
		return &ipv4
	}
	return &ipv6
}

// poolFamily returns the family of the pools that a subnet is taken from.
func poolFamily(six bool) *family {
	if six {
		return &ipv6
	}
	return &ipv4
}

// reserved returns the addresses of p that no host may have: the first, and the
// broadcast address, which is the zero Addr in a family that has none. Both are the zero Addr
// where p has no more than two addresses.
func (f *family) reserved(p netip.Prefix) (first, broadcast netip.Addr) {
	if size(p) <= 2 {
		return netip.Addr{}, netip.Addr{}
	}
	if f.broadcasts {
		broadcast = netipx.PrefixLastIP(p)
	}
	return p.Addr(), broadcast
}

// size returns the number of addresses in p, or math.MaxUint64 if there are more.
func size(p netip.Prefix) uint64 {
	if bits := p.Addr().BitLen() - p.Bits(); bits < 64 {
		return 1 << bits
	}
	return math.MaxUint64
}
