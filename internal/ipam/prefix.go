package ipam

import (
	"net/netip"

	"go4.org/netipx"
)

// Bounds of a subnet's prefix length. A /30 has two host addresses: one for
// the gateway and one to lease. Nothing longer has both.
const (
	minBits = 8
	maxBits = 30
)

// special holds the ranges whose addresses no host may have as its own in an
// ordinary network (RFC 6890 section 2.2.2, RFC 5771 for multicast).
var special = [...]struct {
	prefix netip.Prefix
	use    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), `unspecified addresses ("this network")`},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local addresses"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "limited broadcast"},
}

// checkPrefix says whether p can serve as a subnet or as the base of a pool;
// the error is ErrInvalid.
func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return failf(ErrInvalid, "the prefix is not valid: write it as 10.1.0.0/16")
	case !p.Addr().Is4():
		return failf(ErrInvalid, "%s: IPv6 subnets are not supported yet: use an IPv4 prefix such as 10.1.0.0/16", p)
	case p.Bits() < minBits:
		return failf(ErrInvalid, "%s is too large: use a prefix length from %d to %d", p, minBits, maxBits)
	case p.Bits() > maxBits:
		return failf(ErrInvalid, "%s has no room for a gateway and a container: use a prefix length from %d to %d", p, minBits, maxBits)
	case p != p.Masked():
		return failf(ErrInvalid, "%s has host bits set: write %s", p, p.Masked())
	}
	for _, s := range special {
		if p.Overlaps(s.prefix) {
			return failf(ErrInvalid, "%s overlaps %s, which is reserved for %s: use a private range such as 10.1.0.0/16", p, s.prefix, s.use)
		}
	}
	return nil
}

// unmapPrefix turns ::ffff:10.0.0.0/104, the form in which net.IP often hands
// over IPv4, into 10.0.0.0/8. Left as it is, it would never overlap anything.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// firstBlock finds the lowest prefix of length bits that lies wholly in r.
func firstBlock(r netipx.IPRange, bits int) (netip.Prefix, bool) {
	block := netip.PrefixFrom(r.From(), bits).Masked()
	if block.Addr() != r.From() {
		block = netip.PrefixFrom(netipx.PrefixLastIP(block).Next(), bits)
	}
	ok := block.IsValid() && r.Contains(block.Addr()) && r.Contains(netipx.PrefixLastIP(block))
	return block, ok
}

// size is the number of addresses in p, which must be an IPv4 prefix.
func size(p netip.Prefix) int { return 1 << (p.Addr().BitLen() - p.Bits()) }
