package dns

import (
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// reverseZone is where the addresses of IPv4 are (RFC 1035 §3.5).
const reverseZone = ".in-addr.arpa."

// reverseAddr is the address that a name below in-addr.arpa stands for.
func reverseAddr(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(mdns.CanonicalName(name), reverseZone)
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(digits, ".")
	slices.Reverse(parts)
	addr, err := netip.ParseAddr(strings.Join(parts, "."))
	return addr, err == nil && addr.Is4()
}
