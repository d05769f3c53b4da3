package api

import (
	"maps"
	"net/netip"
	"slices"

	"vswitch/internal/wellformed"
)

// AuxDefaultGateway is the name of the auxiliary address that is the way out of a segment's
// ports, as Docker's bridge driver has it (DefaultGatewayV4AuxKey in moby's
// libnetwork/drivers/bridge).
const AuxDefaultGateway = "DefaultGatewayIPv4"

// maxAuxAddresses is how many auxiliary addresses a segment may have.
const maxAuxAddresses = wellformed.MaxAuxAddresses

// DefaultGateway returns where the default route of the segment's ports leads: the gateway, unless
// an auxiliary address is named for it. It is empty for a segment without a gateway.
func (s Segment) DefaultGateway() string {
	if a, given := s.AuxAddresses[AuxDefaultGateway]; given {
		return a.String()
	}
	return s.Gateway
}

// withAux validates the auxiliary addresses, and unmaps them.
func (s SegmentSpec) withAux() (SegmentSpec, error) {
	switch n := len(s.AuxAddresses); {
	case n == 0:
		return s, nil
	case n > maxAuxAddresses:
		return s, Invalidf("%d auxiliary addresses: want at most %d", n, maxAuxAddresses)
	case !s.Subnet.IsValid():
		return s, Invalidf("auxiliary addresses need a subnet: give the subnet as well")
	}
	addresses := make(map[string]netip.Addr, len(s.AuxAddresses))
	names := make(map[netip.Addr]string, len(s.AuxAddresses))
	for _, name := range slices.Sorted(maps.Keys(s.AuxAddresses)) {
		a := s.AuxAddresses[name].Unmap()
		if name == "" || len(name) > maxName || !wellformed.Printable(name) {
			return s, Invalidf("name %q of an auxiliary address: want 1 to %d printable characters",
				clip(name), maxName)
		}
		if err := validateHostIn("auxiliary address", a, s.Subnet); err != nil {
			return s, err
		}
		if other, twice := names[a]; twice {
			return s, Invalidf("auxiliary address %s is given as %q and as %q: name it once", a, other, name)
		}
		if a == s.Gateway {
			return s, Invalidf("auxiliary address %s is the gateway's: leave it out", a)
		}
		addresses[name], names[a] = a, name
	}
	s.AuxAddresses = addresses
	return s, nil
}
