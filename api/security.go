package api

import (
	"cmp"
	"net/netip"
)

// Limits of a port whose spec names none.
const (
	DefaultMACLimit   = 16    // learned addresses
	DefaultFloodLimit = 20000 // frames per second
)

// Bounds of what a port may be given.
const (
	maxAllowed    = 64
	maxMACLimit   = 1 << 24
	maxFloodLimit = 1_000_000_000 // frames per second
)

// NoLimit is the value of a port's MACLimit or FloodLimit that lifts it.
const NoLimit = -1

func (s Security) validate() error {
	if !s.Valid() {
		return Invalidf("security %q: want strict, mac or off", clip(string(s)))
	}
	return nil
}

// ParseAllowed reads an address that a container may use besides its own, with or
// without a prefix length.
func ParseAllowed(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		s = netip.PrefixFrom(ip, ip.BitLen()).String()
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, Invalidf("allowed address %q: want an address or a network, such as 10.1.0.5 or 10.1.0.0/24", clip(s))
	}
	return p, validateAllowed(p)
}

// ParseAllAllowed reads each of a list as [ParseAllowed] does, none twice.
func ParseAllAllowed(list []string) ([]netip.Prefix, error) {
	return parseAll(list, "allowed addresses", ParseAllowed)
}

func validateAllowed(p netip.Prefix) error {
	if !p.IsValid() || p.Addr().Is4In6() {
		return Invalidf("allowed address %q: want an address or a network, such as 10.1.0.5 or 10.1.0.0/24", p)
	}
	if masked := p.Masked(); p != masked {
		return Invalidf("allowed address %s has host bits set: want %s or %s", p, masked, p.Addr())
	}
	if a := p.Addr(); p.IsSingleIP() && (a.IsUnspecified() || a.IsMulticast()) {
		return Invalidf("allowed address %s is not a host's: want a unicast address", a)
	}
	return nil
}

func validateAllAllowed(list []netip.Prefix) error {
	return validateEach(list, "allowed addresses", validateAllowed)
}

func validateLimit(what, unit string, n, most int) error {
	if n < NoLimit || n > most {
		return Invalidf("%s %d: want 1 to %d %s, 0 for the default, or %d for no limit", what, n, most, unit, NoLimit)
	}
	return nil
}

func validateMACLimit(n int) error { return validateLimit("mac limit", "addresses", n, maxMACLimit) }

func validateFloodLimit(n int) error {
	return validateLimit("flood limit", "frames per second", n, maxFloodLimit)
}

// withPolicy validates what the port may do.
func (s PortSpec) withPolicy() (PortSpec, error) {
	s.Security = cmp.Or(s.Security, SecurityStrict)
	return s, firstError(
		s.Security.validate, func() error { return validateMACLimit(s.MACLimit) },
		func() error { return validateFloodLimit(s.FloodLimit) },
		func() error { return validateAllAllowed(s.AllowAddresses) },
		func() error { return validateAllowedMACs(s.AllowMACs) },
		func() error { return validateAllowedProtocols(s.AllowProtocols) },
		func() error { return s.RateIn.validate("rate in") },
		func() error { return s.RateOut.validate("rate out") }, s.Offload.validate,
	)
}

// validatePolicy validates what the port may do from now on.
func (u PortUpdate) validatePolicy() error {
	return firstError(
		given(u.Security, Security.validate), given(u.MACLimit, validateMACLimit),
		given(u.FloodLimit, validateFloodLimit), given(u.AllowAddresses, validateAllAllowed),
		given(u.AllowMACs, validateAllowedMACs), given(u.AllowProtocols, validateAllowedProtocols),
		given(u.RateIn, func(r Rate) error { return r.validate("rate in") }),
		given(u.RateOut, func(r Rate) error { return r.validate("rate out") }),
		given(u.Offload, Offload.validate),
	)
}

// firstError returns the error of the first check that fails.
func firstError(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// given is a check of a value that may be missing.
func given[T any](v *T, check func(T) error) func() error {
	return func() error {
		if v == nil {
			return nil
		}
		return check(*v)
	}
}

// policy says whether the update changes what the port may do.
func (u PortUpdate) policy() bool {
	return u.Security != nil || u.AllowAddresses != nil || u.AllowMACs != nil ||
		u.AllowProtocols != nil || u.AllowReserved != nil || u.BPDUGuard != nil ||
		u.Isolated != nil || u.MACLimit != nil || u.FloodLimit != nil || u.RateIn != nil || u.RateOut != nil ||
		u.Offload != nil
}
