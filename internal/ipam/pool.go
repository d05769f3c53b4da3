package ipam

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Pool is a range of addresses from which automatic subnets are cut: Base in
// blocks whose prefix length is Size.
type Pool struct {
	Base netip.Prefix
	Size int
}

// DefaultPools returns Docker's default pools (moby,
// daemon/libnetwork/ipamutils/utils.go): the blocks are 172.17.0.0/16 to
// 172.31.0.0/16 and then 192.168.0.0/20, 192.168.16.0/20 and so on.
func DefaultPools() []Pool {
	return []Pool{
		{netip.MustParsePrefix("172.17.0.0/16"), 16},
		{netip.MustParsePrefix("172.18.0.0/16"), 16},
		{netip.MustParsePrefix("172.19.0.0/16"), 16},
		{netip.MustParsePrefix("172.20.0.0/14"), 16},
		{netip.MustParsePrefix("172.24.0.0/14"), 16},
		{netip.MustParsePrefix("172.28.0.0/14"), 16},
		{netip.MustParsePrefix("192.168.0.0/16"), 20},
	}
}

// ParsePool reads the form of dockerd's --default-address-pool,
// "base=10.0.0.0/8,size=24". Both keys are needed, in either order and case.
// The base must be a prefix from /8 to /30 of IPv4 or to /126 of IPv6, without host
// bits, the size at least its length and at most 30 or 126. The error is ErrInvalid.
func ParsePool(s string) (Pool, error) {
	p, err := parsePool(s)
	if err != nil {
		return Pool{}, fmt.Errorf("address pool %q: %w", s, err)
	}
	return p, nil
}

func parsePool(s string) (Pool, error) {
	var p Pool
	seen := map[string]bool{}
	for field := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return Pool{}, failf(ErrInvalid, "%q is not key=value: write base=10.0.0.0/8,size=24", field)
		}
		key = strings.ToLower(key)
		if seen[key] {
			return Pool{}, failf(ErrInvalid, "%s is given twice: give it once", key)
		}
		seen[key] = true
		if err := p.set(key, value); err != nil {
			return Pool{}, err
		}
	}
	for _, key := range []string{"base", "size"} {
		if !seen[key] {
			return Pool{}, failf(ErrInvalid, "%s is missing: write base=10.0.0.0/8,size=24", key)
		}
	}
	return p, p.check()
}

func (p *Pool) set(key, value string) error {
	switch key {
	case "base":
		base, err := netip.ParsePrefix(value)
		if err != nil {
			return failf(ErrInvalid, "base %q is not a prefix: write it as 10.0.0.0/8", value)
		}
		p.Base = unmapPrefix(base)
	case "size":
		n, err := strconv.Atoi(value)
		if err != nil {
			return failf(ErrInvalid, "size %q is not a prefix length: write a number such as 24", value)
		}
		p.Size = n
	default:
		return failf(ErrInvalid, "unknown key %q: the keys are base and size", key)
	}
	return nil
}

func (p Pool) check() error {
	if err := checkPool(p.Base); err != nil {
		return err
	}
	switch {
	case p.Size < p.Base.Bits():
		return failf(ErrInvalid, "size %d makes blocks larger than the base %s: "+
			"use a size from %d to %d", p.Size, p.Base, p.Base.Bits(), maxPoolBits(p.Base))
	case p.Size > maxPoolBits(p.Base):
		return failf(ErrInvalid, "size %d leaves no room for a gateway and a container: "+
			"use a size from %d to %d", p.Size, p.Base.Bits(), maxPoolBits(p.Base))
	}
	return nil
}

// String is the form that [ParsePool] reads.
func (p Pool) String() string { return fmt.Sprintf("base=%s,size=%d", p.Base, p.Size) }
