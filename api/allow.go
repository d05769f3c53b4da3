package api

import (
	"net"
	"slices"
	"strings"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
)

// MACMask is a MAC address, or those that have the bits of a mask in common, in text as
// 00:00:5e:00:01:00/ff:ff:ff:ff:ff:00.
type MACMask = frame.MACMask

// LinkProtocol names what an Ethernet frame carries beside IP and ARP: ptp, 0x88b5, llc.
type LinkProtocol = ethertype.Protocol

// LinkProtocolNames returns the names of protocols that a port may be allowed, sorted.
func LinkProtocolNames() []LinkProtocol { return ethertype.Names() }

// ParseAllowedMAC reads a MAC address that a container may use besides its own, with or
// without a mask.
func ParseAllowedMAC(s string) (MACMask, error) {
	m, ok := parseMACMask(s)
	if !ok {
		return m, Invalidf("allowed mac %q: want an address, such as 00:00:5e:00:01:33, "+
			"with a mask for several, such as 00:00:5e:00:01:00/ff:ff:ff:ff:ff:00", clip(s))
	}
	return m, validateAllowedMAC(m)
}

// parseMACMask takes the forms of [net.ParseMAC] for both halves.
func parseMACMask(s string) (MACMask, bool) {
	halves := [2]MAC{1: frame.Broadcast}
	for i, text := range strings.SplitN(s, "/", 2) {
		b, err := net.ParseMAC(text)
		if err != nil || len(b) != len(MAC{}) {
			return MACMask{}, false
		}
		halves[i] = MAC(b)
	}
	return MACMask{MAC: halves[0], Mask: halves[1]}, true
}

func validateAllowedMAC(m MACMask) error {
	switch masked := m.Masked(); {
	case m.Mask[0] != 0xff || m.Mask[1] != 0xff || m.Mask[2] != 0xff:
		return Invalidf("allowed mac %s covers too many: want a mask of three bytes at least, "+
			"such as ff:ff:ff:00:00:00", m)
	case m != masked:
		return Invalidf("allowed mac %s has bits outside its mask: want %s or %s", m, masked, m.MAC)
	}
	if err := validateMAC(m.MAC); err != nil {
		return Invalidf("allowed %w", err)
	}
	return nil
}

// ParseAllAllowedMACs reads each of a list as [ParseAllowedMAC] does, none twice.
func ParseAllAllowedMACs(list []string) ([]MACMask, error) {
	return parseAll(list, "allowed macs", ParseAllowedMAC)
}

func validateAllowedMACs(list []MACMask) error {
	return validateEach(list, "allowed macs", validateAllowedMAC)
}

// ParseAllowedProtocol reads a protocol that a container may send besides IP and ARP: a name of
// [LinkProtocolNames], or an EtherType as 0x88b5.
func ParseAllowedProtocol(s string) (LinkProtocol, error) {
	p, err := ethertype.Parse(s)
	if err != nil {
		return p, Invalidf("allowed protocol %q: %w; names are %s", clip(s), err, protocolNames())
	}
	return p, nil
}

func protocolNames() string {
	names := LinkProtocolNames()
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = string(name)
	}
	return strings.Join(list, ", ")
}

// ParseAllAllowedProtocols reads each of a list as [ParseAllowedProtocol] does, none twice.
func ParseAllAllowedProtocols(list []string) ([]LinkProtocol, error) {
	return parseAll(list, "allowed protocols", ParseAllowedProtocol)
}

func validateAllowedProtocols(list []LinkProtocol) error {
	return validateEach(list, "allowed protocols", func(p LinkProtocol) error {
		known, err := ParseAllowedProtocol(string(p))
		if err == nil && known != p {
			err = Invalidf("allowed protocol %q: want it written as %q", clip(string(p)), known)
		}
		return err
	})
}

// parseAll reads a list of no more texts than a port may be allowed.
func parseAll[T comparable](
	list []string, what string, parse func(string) (T, error),
) ([]T, error) {
	if err := validateCount(len(list), what); err != nil {
		return nil, err
	}
	values := make([]T, 0, len(list))
	for _, s := range list {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values, nil
}

func validateCount(n int, what string) error {
	if n > maxAllowed {
		return Invalidf("%d %s: want at most %d", n, what, maxAllowed)
	}
	return nil
}

func validateEach[T any](list []T, what string, validate func(T) error) error {
	if err := validateCount(len(list), what); err != nil {
		return err
	}
	for _, v := range list {
		if err := validate(v); err != nil {
			return err
		}
	}
	return nil
}
