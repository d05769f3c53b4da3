package api

import (
	"net/netip"
	"path/filepath"
	"strings"

	"vswitch/internal/frame"
	"vswitch/internal/wellformed"
)

// Lengths in bytes, and counts, of what a request may hold.
const (
	maxName       = wellformed.MaxName
	maxRef        = 64  // an id is longer than a name
	maxNetNSName  = 255 // NAME_MAX, since a namespace's name is a file's
	maxPath       = wellformed.MaxPath
	maxPID        = 1 << 22
	maxLabelKey   = 128
	maxLabelValue = 4096
)

// MaxLabels is how many labels a segment or port may have.
const MaxLabels = 64

// Prefix lengths of subnets: nothing that spans different sorts of address at the most, and at
// the least a gateway and a container (RFC 3021), or a container alone.
const (
	minSubnetBits = 8
	maxSubnetBits = 32
)

// reservedNet, of addresses for the future, is the one larger subnet (RFC 1112 §4).
var reservedNet = netip.MustParsePrefix("240.0.0.0/4")

// validate returns the spec in canonical form, or an Invalid or Unsupported error.
func (s SegmentSpec) validate() (SegmentSpec, error) {
	if err := validateID("segment id", s.ID); err != nil {
		return s, err
	}
	if err := validateName("segment name", s.Name); err != nil {
		return s, err
	}
	if err := validateLabels(s.Labels); err != nil {
		return s, err
	}
	if s.MTU != 0 && (s.MTU < MinMTU || s.MTU > MaxMTU) {
		return s, Invalidf("mtu %d: want %d to %d bytes", s.MTU, MinMTU, MaxMTU)
	}
	if err := validateUplink(s.Uplink, s.Internal); err != nil {
		return s, err
	}
	if err := s.Offload.validate(); err != nil {
		return s, err
	}
	if err := validateSubnet(s.Subnet, s.IPRange); err != nil {
		return s, err
	}
	if s.Gateway.IsValid() {
		if !s.Subnet.IsValid() {
			return s, Invalidf("a gateway needs a subnet: give the subnet as well")
		}
		if err := validateHostIn("gateway", s.Gateway, s.Subnet); err != nil {
			return s, err
		}
	}
	return s.withAux()
}

// validate returns the spec in canonical form with its defaults filled in, or an
// Invalid, Unsupported or, for a name that is reserved, Conflict error.
func (s PortSpec) validate() (PortSpec, error) {
	if err := validateID("port id", s.ID); err != nil {
		return s, err
	}
	if err := validatePortName(s.Name); err != nil {
		return s, err
	}
	if s.Segment == "" {
		s.Segment = DefaultSegment
	}
	if err := validateRef("segment", s.Segment); err != nil {
		return s, err
	}
	if err := s.validateContainer(); err != nil {
		return s, err
	}
	if s.IfName == "" && !s.Handover {
		s.IfName = DefaultIfName
	}
	if s.IP.DHCP {
		s.IP.Addr = netip.Addr{}
	}
	if s.IP.Addr.IsValid() {
		if err := validateHost("ip", s.IP.Addr); err != nil {
			return s, err
		}
	}
	if !s.MAC.IsZero() {
		if err := validateMAC(s.MAC); err != nil {
			return s, err
		}
	}
	if err := validateLabels(s.Labels); err != nil {
		return s, err
	}
	s, err := s.withNames()
	if err != nil {
		return s, err
	}
	return s.withPolicy()
}

func (u PortUpdate) validate() (PortUpdate, error) {
	if u.empty() {
		return u, Invalidf("nothing to change: give a name, aliases, an ip, a mac, up, labels, " +
			"or what the port may do")
	}
	if u.Name != nil {
		if err := validatePortName(*u.Name); err != nil {
			return u, err
		}
	}
	if u.IP != nil {
		if err := validateHost("ip", *u.IP); err != nil {
			return u, err
		}
	}
	if u.MAC != nil {
		if err := validateMAC(*u.MAC); err != nil {
			return u, err
		}
	}
	if u.NetNS != nil && *u.NetNS != "" {
		if err := validateNetNS(*u.NetNS); err != nil {
			return u, err
		}
	}
	if err := validateLabelChange(u.Labels); err != nil {
		return u, err
	}
	u, err := u.withNames()
	if err != nil {
		return u, err
	}
	return u, u.validatePolicy()
}

// empty says that the update changes nothing.
func (u PortUpdate) empty() bool {
	return u.Name == nil && u.IP == nil && u.MAC == nil && u.Up == nil && u.NetNS == nil && len(u.Labels) == 0 &&
		u.Aliases == nil && !u.policy()
}

func (s FDBSpec) validate() (FDBSpec, error) {
	if err := validateMAC(s.MAC); err != nil {
		return s, err
	}
	return s, validateRef("port", s.Port)
}

func (f FDBFlush) validate() (FDBFlush, error) {
	if f.Port == "" {
		return f, nil
	}
	return f, validateRef("port", f.Port)
}

func validateName(what, name string) error {
	if !wellformed.Name(name, maxName) {
		return Invalidf("%s %q: want 1 to %d letters, digits, '_', '.' or '-', the first a letter or digit", what, clip(name), maxName)
	}
	return nil
}

// validatePortName returns a Conflict for the name that the gateway has in every segment.
func validatePortName(name string) error {
	if name == GatewayName {
		return Conflictf("port name %q is reserved for the segment's gateway in listings: "+
			"choose another name", name)
	}
	return validateName("port name", name)
}

func validateRef(what, ref string) error {
	if !wellformed.Name(ref, maxRef) {
		return Invalidf("%s %q: want a name, an id or the beginning of an id", what, clip(ref))
	}
	return nil
}

// clip keeps an error one readable line when the value is huge.
func clip(s string) string { return wellformed.Cut(s, 80) }

func validateNamespace(netns string, pid int) error {
	switch {
	case netns == "" && pid == 0:
		return Invalidf("no namespace: give netns or pid")
	case netns != "" && pid != 0:
		return Invalidf("netns %q and pid %d are both given: give one of them", clip(netns), pid)
	case netns == "":
		if pid < 1 || pid > maxPID {
			return Invalidf("pid %d: want 1 to %d", pid, maxPID)
		}
		return nil
	}
	return validateNetNS(netns)
}

func validateNetNS(netns string) error {
	isPath := filepath.IsAbs(netns) && len(netns) <= maxPath
	isName := !strings.Contains(netns, "/") && netns != "." && netns != ".." && len(netns) <= maxNetNSName
	if !wellformed.Printable(netns) || !isPath && !isName {
		return Invalidf("netns %q: want a name as in \"ip netns list\" or an absolute path", clip(netns))
	}
	return nil
}

func validateIfName(name string) error {
	if !wellformed.IfName(name) {
		return Invalidf("ifname %q: want 1 to 15 characters without spaces, '/', ':' or '%%', such as eth0", clip(name))
	}
	return nil
}

func validateLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return Invalidf("%d labels: want at most %d", len(labels), MaxLabels)
	}
	for k, v := range labels {
		if k == "" || len(k) > maxLabelKey || !wellformed.Printable(k) || strings.ContainsAny(k, "= ") {
			return Invalidf("label key %q: want 1 to %d printable characters without '=' and spaces", clip(k), maxLabelKey)
		}
		if len(v) > maxLabelValue || !wellformed.Printable(v) {
			return Invalidf("label %s: want a value of at most %d bytes without control characters", k, maxLabelValue)
		}
	}
	return nil
}

// ParsePrefix reads a network; what is the name that it goes by.
func ParsePrefix(what, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, Invalidf("%s %q: want an address and a prefix length, such as 10.1.0.0/24", what, clip(s))
	}
	return p, nil
}

// ParseAddr reads an address; what is the name that it goes by.
func ParseAddr(what, s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return ip, Invalidf("%s %q: want an address without prefix length, such as 10.1.0.5", what, clip(s))
	}
	return ip, nil
}

// validateSubnet checks a subnet and the part of it that addresses are taken from, each of which
// may be the zero Prefix, for none.
func validateSubnet(subnet, part netip.Prefix) error {
	switch masked := subnet.Masked(); {
	case !subnet.IsValid() && part.IsValid():
		return Invalidf("an ip range needs a subnet: give the subnet as well")
	case !subnet.IsValid():
		return nil
	case !subnet.Addr().Is4():
		return Unsupportedf("subnet %s: only IPv4 is supported so far, such as 10.1.0.0/24", subnet)
	case subnet.Bits() < minSubnetBits && subnet != reservedNet:
		return Invalidf("subnet %s: want a prefix length of %d to %d", subnet, minSubnetBits, maxSubnetBits)
	case subnet != masked:
		return Invalidf("subnet %s has host bits set: want %s", subnet, masked)
	case !frame.IsIPv4Host(subnet.Addr()):
		return Invalidf("subnet %s is not for hosts: want a unicast network, such as 10.1.0.0/24", subnet)
	}
	switch masked := part.Masked(); {
	case !part.IsValid():
		return nil
	case part != masked:
		return Invalidf("ip range %s has host bits set: want %s", part, masked)
	case !subnet.Contains(part.Addr()) || part.Bits() < subnet.Bits():
		return Invalidf("ip range %s is not inside subnet %s", part, subnet)
	}
	return nil
}

func validateHost(what string, ip netip.Addr) error {
	if !ip.Is4() {
		return Unsupportedf("%s %q: only IPv4 is supported so far, such as 10.1.0.5", what, clip(ip.String()))
	}
	if !frame.IsIPv4Host(ip) {
		return Invalidf("%s %s is not a host's: want a unicast address", what, ip)
	}
	return nil
}

// validateHostIn wants an address of subnet that a host can have, so neither the first
// (the network's) nor the last (broadcast), unless there are no others (RFC 3021).
func validateHostIn(what string, ip netip.Addr, subnet netip.Prefix) error {
	if err := validateHost(what, ip); err != nil {
		return err
	}
	first := subnet.Addr()
	if subnet.Bits() >= maxSubnetBits-1 {
		if !subnet.Contains(ip) {
			return Invalidf("%s %s is not in subnet %s: want one such as %s", what, ip, subnet, first)
		}
		return nil
	}
	if !subnet.Contains(ip) || ip == first || !subnet.Contains(ip.Next()) {
		return Invalidf("%s %s is not a host of subnet %s: want one such as %s", what, ip, subnet, first.Next())
	}
	return nil
}
