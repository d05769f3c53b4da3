package api

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"vswitch/internal/wellformed"
)

// Lengths in bytes, and counts, of what a request may hold.
const (
	maxName       = 63
	maxRef        = 64   // an id is longer than a name
	maxIfName     = 15   // IFNAMSIZ less the NUL (include/uapi/linux/if.h)
	maxNetNSName  = 255  // NAME_MAX, since a namespace's name is a file's
	maxPath       = 4095 // PATH_MAX less the NUL
	maxPID        = 1 << 22
	maxLabelKey   = 128
	maxLabelValue = 4096
)

// MaxLabels is how many labels a segment or port may have.
const MaxLabels = 64

// Prefix lengths of subnets: room for a gateway and a container at the least, and
// nothing that spans different sorts of address at the most.
const (
	minSubnetBits = 8
	maxSubnetBits = 30
)

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
	if s.Subnet == "" {
		if s.Gateway != "" || s.IPRange != "" {
			return s, Invalidf("a gateway or an ip range needs a subnet: give the subnet as well")
		}
		return s, nil
	}
	subnet, err := parseSubnet(s.Subnet)
	if err != nil {
		return s, err
	}
	s.Subnet = subnet.String()
	if s.Gateway != "" {
		if s.Gateway, err = hostIn("gateway", s.Gateway, subnet); err != nil {
			return s, err
		}
	}
	if s.IPRange != "" {
		s.IPRange, err = rangeIn(s.IPRange, subnet)
	}
	return s, err
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
	if s.IP != "" && s.IP != IPDHCP {
		ip, err := parseHost("ip", s.IP)
		if err != nil {
			return s, err
		}
		s.IP = ip.String()
	}
	if s.MAC != "" {
		mac, err := canonicalMAC(s.MAC)
		if err != nil {
			return s, err
		}
		s.MAC = mac
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
		return u, Invalidf("nothing to change: give a name, aliases, a mac, up, labels, " +
			"or what the port may do")
	}
	if u.Name != nil {
		if err := validatePortName(*u.Name); err != nil {
			return u, err
		}
	}
	if u.MAC != nil {
		mac, err := canonicalMAC(*u.MAC)
		if err != nil {
			return u, err
		}
		u.MAC = &mac
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
	return u.withPolicy()
}

// empty says that the update changes nothing.
func (u PortUpdate) empty() bool {
	return u.Name == nil && u.MAC == nil && u.Up == nil && u.NetNS == nil && len(u.Labels) == 0 &&
		u.Aliases == nil && !u.policy()
}

func (s FDBSpec) validate() (FDBSpec, error) {
	mac, err := canonicalMAC(s.MAC)
	if err != nil {
		return s, err
	}
	s.MAC = mac
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
func clip(s string) string { return clipTo(80, s) }

func clipTo(most int, s string) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

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

// validateIfName follows dev_valid_name (net/core/dev.c); '%' would be taken for a
// pattern by dev_alloc_name.
func validateIfName(name string) error {
	if len(name) > maxIfName || name == "." || name == ".." || strings.ContainsAny(name, "/:% ") || !wellformed.Printable(name) {
		return Invalidf("ifname %q: want 1 to %d characters without spaces, '/', ':' or '%%', such as eth0", clip(name), maxIfName)
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

func parseSubnet(s string) (netip.Prefix, error) {
	subnet, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, Invalidf("subnet %q: want an address and a prefix length, such as 10.1.0.0/24", clip(s))
	}
	if !subnet.Addr().Is4() {
		return netip.Prefix{}, Unsupportedf("subnet %s: only IPv4 is supported so far, such as 10.1.0.0/24", subnet)
	}
	if subnet.Bits() < minSubnetBits || subnet.Bits() > maxSubnetBits {
		return netip.Prefix{}, Invalidf("subnet %s: want a prefix length of %d to %d", subnet, minSubnetBits, maxSubnetBits)
	}
	if masked := subnet.Masked(); subnet != masked {
		return netip.Prefix{}, Invalidf("subnet %s has host bits set: want %s", subnet, masked)
	}
	if !forHosts(subnet.Addr()) {
		return netip.Prefix{}, Invalidf("subnet %s is not for hosts: want a unicast network, such as 10.1.0.0/24", subnet)
	}
	return subnet, nil
}

func parseHost(what, s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return ip, Invalidf("%s %q: want an address without prefix length, such as 10.1.0.5", what, clip(s))
	}
	if !ip.Is4() {
		return ip, Unsupportedf("%s %q: only IPv4 is supported so far, such as 10.1.0.5", what, clip(s))
	}
	if !forHosts(ip) {
		return ip, Invalidf("%s %s is not a host's: want a unicast address", what, ip)
	}
	return ip, nil
}

// forHosts excludes "this network", loopback, multicast and the reserved class E
// (RFC 6890).
func forHosts(ip netip.Addr) bool {
	first := ip.As4()[0]
	return first != 0 && first != 127 && first < 224
}

// hostIn wants an address of subnet that a host can have, so neither the first
// (the network's) nor the last (broadcast).
func hostIn(what, s string, subnet netip.Prefix) (string, error) {
	ip, err := parseHost(what, s)
	if err != nil {
		return "", err
	}
	first := subnet.Addr()
	if !subnet.Contains(ip) || ip == first || !subnet.Contains(ip.Next()) {
		return "", Invalidf("%s %s is not a host of subnet %s: want one such as %s", what, ip, subnet, first.Next())
	}
	return ip.String(), nil
}

func rangeIn(s string, subnet netip.Prefix) (string, error) {
	r, err := netip.ParsePrefix(s)
	if err != nil {
		return "", Invalidf("ip range %q: want an address and a prefix length, such as %s", clip(s), subnet)
	}
	if masked := r.Masked(); r != masked {
		return "", Invalidf("ip range %s has host bits set: want %s", r, masked)
	}
	if !subnet.Contains(r.Addr()) || r.Bits() < subnet.Bits() {
		return "", Invalidf("ip range %s is not inside subnet %s", r, subnet)
	}
	return r.String(), nil
}

// canonicalMAC takes the forms of [net.ParseMAC] and returns lower case with
// colons. Only an address that one host can have is taken: not zero, and the group
// bit clear (IEEE 802-2014 §8.2).
func canonicalMAC(s string) (string, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return "", Invalidf("mac %q: want six bytes in hex, such as 02:42:ac:11:00:02", clip(s))
	}
	if mac[0]&1 != 0 {
		return "", Invalidf("mac %s is a group address: want a unicast one, its first byte even", mac)
	}
	if [6]byte(mac) == [6]byte{} {
		return "", Invalidf("mac %s belongs to nobody: want a unicast address, such as 02:42:ac:11:00:02", mac)
	}
	return mac.String(), nil
}
