package dns

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// Where the names of addresses are: of IPv4 by decimal bytes (RFC 1035 §3.5), of IPv6
// by hexadecimal half bytes (RFC 3596 §2.5), in either the last one first.
const (
	reverseZone4 = ".in-addr.arpa."
	reverseZone6 = ".ip6.arpa."
)

// reverseAddr returns the address that a fully qualified name below in-addr.arpa or
// ip6.arpa stands for, and false for any other name, that of a network included.
func reverseAddr(name string) (netip.Addr, bool) {
	name = mdns.CanonicalName(name)
	if labels, ok := strings.CutSuffix(name, reverseZone4); ok {
		parts := strings.Split(labels, ".")
		slices.Reverse(parts)
		addr, err := netip.ParseAddr(strings.Join(parts, "."))
		return addr, err == nil && addr.Is4()
	}
	if labels, ok := strings.CutSuffix(name, reverseZone6); ok {
		return reverse6(labels)
	}
	return netip.Addr{}, false
}

// reverse6 reads the 32 labels of an IPv6 address.
func reverse6(labels string) (netip.Addr, bool) {
	var digits [2 * 16]byte
	var raw [16]byte
	if len(labels) != 2*len(digits)-1 {
		return netip.Addr{}, false
	}
	for i := range digits {
		if at := 2*i + 1; at < len(labels) && labels[at] != '.' {
			return netip.Addr{}, false
		}
		digits[len(digits)-1-i] = labels[2*i]
	}
	if _, err := hex.Decode(raw[:], digits[:]); err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(raw), true
}
