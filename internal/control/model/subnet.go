package model

import (
	"fmt"
	"net/netip"
)

// Subnet is a prefix of a segment or a pool, with the address of its gateway.
type Subnet struct {
	Prefix  netip.Prefix `json:"prefix"`  // without host bits
	Gateway netip.Addr   `json:"gateway"` // the zero Addr only where Prefix is one address
	Range   netip.Prefix `json:"range"`   // which automatic leases come from; all of Prefix if not narrowed
}

// checkSubnet says what is wrong with the subnet alone.
func checkSubnet(s Subnet) error {
	alone := s.Prefix.IsSingleIP() && !s.Gateway.IsValid()
	switch {
	case !s.Prefix.IsValid() || s.Prefix != s.Prefix.Masked() || s.Prefix.Addr().Is4In6():
		return fmt.Errorf("subnet %q is not a prefix without host bits", s.Prefix)
	case !alone && !s.Prefix.Contains(s.Gateway) || s.Gateway.Zone() != "":
		return fmt.Errorf("gateway %q is outside subnet %s", s.Gateway, s.Prefix)
	case s.Range != s.Range.Masked() || !s.Prefix.Contains(s.Range.Addr()) || s.Range.Bits() < s.Prefix.Bits():
		return fmt.Errorf("range %q is not a prefix in subnet %s", s.Range, s.Prefix)
	}
	return nil
}

// hasRoomFor reports whether a port can have address a.
func (s Subnet) hasRoomFor(a netip.Addr) bool { return s.Prefix.Contains(a) && a != s.Gateway }
