package ipam

import "net/netip"

// SubnetConfig is what the user says about a subnet. The zero value asks for a
// subnet from the pools.
type SubnetConfig struct {
	// Prefix is the subnet, /8 to /32 of IPv4, 240.0.0.0/4, or /8 to /126 of IPv6, without
	// host bits. Zero: the lowest free block of the pools of one family; Gateway and Range
	// must then be zero too.
	Prefix netip.Prefix
	// IPv6 says which family's pools those are. It has no meaning with a Prefix.
	IPv6 bool
	// Gateway is a host address in Prefix, in Range or not. Zero: the first
	// host address in Range, so with 172.28.0.0/16 and the range
	// 172.28.5.0/24 it is 172.28.5.0, as Docker has it (moby,
	// daemon/libnetwork: ipamAllocateVersion in network.go asks the
	// sub-pool). A subnet of one address has none.
	Gateway netip.Addr
	// Range is the part of Prefix that automatic leases come from, without
	// host bits. Zero: the whole Prefix.
	Range netip.Prefix
}

func (c SubnetConfig) unmap() SubnetConfig {
	c.Prefix, c.Gateway, c.Range = unmapPrefix(c.Prefix), c.Gateway.Unmap(), unmapPrefix(c.Range)
	return c
}

// checkAutomatic refuses what cannot be promised before the prefix is known.
func (c SubnetConfig) checkAutomatic() error {
	if c.Gateway.IsValid() {
		return failf(ErrInvalid, "gateway %s needs a subnet: give the prefix that it is in", c.Gateway)
	}
	if c.Range != (netip.Prefix{}) {
		return failf(ErrInvalid, "range %s needs a subnet: give the prefix that it is in", c.Range)
	}
	return nil
}

// checkRange says whether r can be the range of prefix.
func checkRange(r, prefix netip.Prefix) error {
	switch {
	case !r.IsValid():
		return failf(ErrInvalid, "the range is not valid: write it as a prefix inside %s", prefix)
	case r != r.Masked():
		return failf(ErrInvalid, "range %s has host bits set: write %s", r, r.Masked())
	case r.Bits() < prefix.Bits() || !prefix.Contains(r.Addr()):
		return failf(ErrInvalid, "range %s is not inside the subnet %s: choose a part of the subnet", r, prefix)
	}
	return nil
}
