package api

import (
	"net/netip"
)

// Levels of port security.
const (
	SecurityStrict = "strict" // the port's own MAC and addresses only, and the protocols of its segment
	SecurityMAC    = "mac"    // the port's own MAC only, without VLAN tags but those of VID 0
	SecurityOff    = "off"    // all but what claims the gateway's or another port's addresses
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

func validateSecurity(level string) error {
	switch level {
	case SecurityStrict, SecurityMAC, SecurityOff:
		return nil
	}
	return Invalidf("security %q: want strict, mac or off", clip(level))
}

// ParseAllowed reads an address that a container may use besides its own, with or
// without a prefix length.
func ParseAllowed(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		s = netip.PrefixFrom(ip, ip.BitLen()).String()
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, Invalidf("allowed address %q: want an address or a network, such as 10.1.0.5 or 10.1.0.0/24", clip(s))
	}
	if masked := p.Masked(); p != masked {
		return netip.Prefix{}, Invalidf("allowed address %s has host bits set: want %s or %s", p, masked, p.Addr())
	}
	if a := p.Addr(); p.IsSingleIP() && (a.IsUnspecified() || a.IsMulticast()) {
		return netip.Prefix{}, Invalidf("allowed address %s is not a host's: want a unicast address", a)
	}
	return p, nil
}

// canonicalAllowed returns a list of prefixes in canonical form.
func canonicalAllowed(list []string) ([]string, error) {
	if len(list) > maxAllowed {
		return nil, Invalidf("%d allowed addresses: want at most %d; a network counts as one", len(list), maxAllowed)
	}
	canonical := make([]string, len(list))
	for i, s := range list {
		p, err := ParseAllowed(s)
		if err != nil {
			return nil, err
		}
		canonical[i] = p.String()
	}
	return canonical, nil
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

// canonicalRate leaves an empty rate empty.
func canonicalRate(what, s string) (string, error) {
	if s == "" {
		return "", nil
	}
	r, err := ParseRate(s)
	if err != nil {
		return "", Invalidf("%s: %w", what, err)
	}
	return r.String(), nil
}

// withPolicy validates what the port may do.
func (s PortSpec) withPolicy() (PortSpec, error) {
	if s.Security == "" {
		s.Security = SecurityStrict
	}
	if err := validateSecurity(s.Security); err != nil {
		return s, err
	}
	if err := validateMACLimit(s.MACLimit); err != nil {
		return s, err
	}
	if err := validateFloodLimit(s.FloodLimit); err != nil {
		return s, err
	}
	var err error
	if s.AllowAddresses, err = canonicalAllowed(s.AllowAddresses); err != nil {
		return s, err
	}
	if s.RateIn, err = canonicalRate("rate in", s.RateIn); err != nil {
		return s, err
	}
	s.RateOut, err = canonicalRate("rate out", s.RateOut)
	return s, err
}

// withPolicy validates what the port may do from now on.
func (u PortUpdate) withPolicy() (PortUpdate, error) {
	if u.Security != nil {
		if err := validateSecurity(*u.Security); err != nil {
			return u, err
		}
	}
	if u.MACLimit != nil {
		if err := validateMACLimit(*u.MACLimit); err != nil {
			return u, err
		}
	}
	if u.FloodLimit != nil {
		if err := validateFloodLimit(*u.FloodLimit); err != nil {
			return u, err
		}
	}
	if u.AllowAddresses != nil {
		list, err := canonicalAllowed(*u.AllowAddresses)
		if err != nil {
			return u, err
		}
		u.AllowAddresses = &list
	}
	for _, rate := range []struct {
		what string
		text **string
	}{{"rate in", &u.RateIn}, {"rate out", &u.RateOut}} {
		if *rate.text == nil {
			continue
		}
		canonical, err := canonicalRate(rate.what, **rate.text)
		if err != nil {
			return u, err
		}
		*rate.text = &canonical
	}
	return u, nil
}

// policy says whether the update changes what the port may do.
func (u PortUpdate) policy() bool {
	return u.Security != nil || u.AllowAddresses != nil || u.AllowReserved != nil || u.BPDUGuard != nil ||
		u.Isolated != nil || u.MACLimit != nil || u.FloodLimit != nil || u.RateIn != nil || u.RateOut != nil
}
