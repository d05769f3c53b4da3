package ipam

import (
	"net/netip"

	"go4.org/netipx"
)

// minBits is the least length of a subnet's prefix.
const minBits = 8

// reservedNet is the one subnet that is larger: addresses for a future use that never came, which
// hosts may have (RFC 1112 section 4; Linux has taken them as unicast ones since 2.6.25).
var reservedNet = netip.MustParsePrefix("240.0.0.0/4")

// maxPoolBits returns the greatest length of the prefix of a subnet that is cut from base. A /30
// of IPv4 has two host addresses: one for the gateway and one to lease. A /126 of IPv6 has three,
// and nothing longer has two.
func maxPoolBits(base netip.Prefix) int { return base.Addr().BitLen() - 2 }

// checkPool says whether p can serve as the base of a pool; the error is ErrInvalid.
func checkPool(p netip.Prefix) error {
	if err := checkLength(p, maxPoolBits(p)); err != nil {
		return err
	}
	for _, s := range familyOf(p.Addr()).special {
		if p.Overlaps(s.prefix) {
			return specialError(p, s)
		}
	}
	return nil
}

// checkPrefix says whether p can serve as a subnet that is asked for; the error is ErrInvalid.
func checkPrefix(p netip.Prefix) error {
	f := familyOf(p.Addr())
	if err := checkLength(p, f.maxBits); err != nil {
		return err
	}
	for _, s := range f.special {
		if p.Overlaps(s.prefix) && (s.asked == 0 || p.Bits() > s.asked) {
			return specialError(p, s)
		}
	}
	return nil
}

// checkLength says whether p is a prefix without host bits that is as long as it may be.
func checkLength(p netip.Prefix, longest int) error {
	switch {
	case !p.IsValid():
		return failf(ErrInvalid, "the prefix is not valid: write it as 10.1.0.0/16")
	case p.Bits() < minBits && p != reservedNet:
		return failf(ErrInvalid, "%s is too large: use a prefix length from %d to %d",
			p, minBits, longest)
	case p.Bits() > longest:
		return failf(ErrInvalid, "%s has no room for a gateway and a container: "+
			"use a prefix length from %d to %d", p, minBits, longest)
	case p != p.Masked():
		return failf(ErrInvalid, "%s has host bits set: write %s", p, p.Masked())
	}
	return nil
}

func specialError(p netip.Prefix, s specialRange) error {
	return failf(ErrInvalid, "%s overlaps %s, which is reserved for %s: "+
		"use a private range such as %s", p, s.prefix, s.use, familyOf(p.Addr()).private)
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
