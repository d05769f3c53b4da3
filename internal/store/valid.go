package store

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"vswitch/internal/wellformed"
)

// Bounds of what a record may hold. Whether values make sense together with the
// kernel is for others to say; these keep a hostile file from reaching them.
const (
	maxName   = 63
	minMTU    = 68 // RFC 791 §3.2
	maxMTU    = 65535
	maxIfName = 15   // IFNAMSIZ less the NUL (include/uapi/linux/if.h)
	maxPath   = 4095 // PATH_MAX less the NUL
	maxRules  = 1024 // of a segment

	maxPublications = 4096 // of a port
	maxAliases      = 64   // of a port
)

// check says what is wrong with the record alone.
func (s Segment) check() error {
	switch {
	case !wellformed.ID(s.ID):
		return fmt.Errorf("id %q is not 64 hex digits", clip(s.ID))
	case !validName(s.Name):
		return fmt.Errorf("name %q is not 1 to %d letters, digits, '_', '.' or '-' behind a letter or digit", clip(s.Name), maxName)
	case s.MTU < minMTU || s.MTU > maxMTU:
		return fmt.Errorf("mtu %d is not %d to %d bytes", s.MTU, minMTU, maxMTU)
	case len(s.Uplink) > maxName || !wellformed.Printable(s.Uplink):
		return fmt.Errorf("uplink %q is not the name of a kind", clip(s.Uplink))
	case len(s.Rules) > maxRules:
		return fmt.Errorf("%d rules are more than %d", len(s.Rules), maxRules)
	}
	if err := checkSubnet(s.Subnet, s.Gateway, s.Range); err != nil {
		return err
	}
	seen := make(map[string]bool, len(s.Rules))
	for i, r := range s.Rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
		if seen[r.ID] {
			return fmt.Errorf("rule %d: id %s is that of another rule as well", i+1, r.ID)
		}
		seen[r.ID] = true
	}
	return checkLabels(s.Labels)
}

// checkSubnet says what is wrong with a subnet, its gateway and its range.
func checkSubnet(subnet netip.Prefix, gateway netip.Addr, within netip.Prefix) error {
	switch {
	case !subnet.IsValid() || subnet != subnet.Masked():
		return fmt.Errorf("subnet %q is not a prefix without host bits", subnet)
	case !subnet.Contains(gateway):
		return fmt.Errorf("gateway %q is outside subnet %s", gateway, subnet)
	case within != within.Masked() || !subnet.Contains(within.Addr()) || within.Bits() < subnet.Bits():
		return fmt.Errorf("range %q is not a prefix in subnet %s", within, subnet)
	}
	return nil
}

// check says what is wrong with the rule alone.
func (r Rule) check() error {
	switch {
	case !wellformed.ID(r.ID):
		return fmt.Errorf("id %q is not 64 hex digits", clip(r.ID))
	case len(r.Protocol) > maxName || !wellformed.Printable(r.Protocol):
		return fmt.Errorf("protocol %q is not the name of one", clip(r.Protocol))
	case r.FirstPort > r.LastPort:
		return fmt.Errorf("ports %d to %d have the higher one first", r.FirstPort, r.LastPort)
	}
	for _, e := range []RuleEnd{r.From, r.To} {
		switch {
		case e.PortID != "" && !wellformed.ID(e.PortID):
			return fmt.Errorf("port id %q is not 64 hex digits", clip(e.PortID))
		case e.PortID != "" && e.LabelKey != "":
			return fmt.Errorf("port %s and label %q are both given", e.PortID, clip(e.LabelKey))
		case e.LabelKey == "" && e.LabelValue != "" || !wellformed.Printable(e.LabelKey) || !wellformed.Printable(e.LabelValue):
			return fmt.Errorf("label %q has no key or has control characters", clip(e.LabelKey))
		}
	}
	return nil
}

// check says what is wrong with the record alone.
func (p Port) check() error {
	switch {
	case !wellformed.ID(p.ID):
		return fmt.Errorf("id %q is not 64 hex digits", clip(p.ID))
	case !validName(p.Name):
		return fmt.Errorf("name %q is not 1 to %d letters, digits, '_', '.' or '-' behind a letter or digit", clip(p.Name), maxName)
	case !wellformed.ID(p.SegmentID):
		return fmt.Errorf("segment id %q is not 64 hex digits", clip(p.SegmentID))
	case !validMAC(p.MAC):
		return fmt.Errorf("mac %q is not a unicast address such as 02:42:ac:11:00:02", clip(p.MAC))
	case !p.Addr.IsValid() || p.Addr.Zone() != "":
		return fmt.Errorf("address %q is not one such as 172.17.0.2", clip(p.Addr.String()))
	case len(p.NetNS) > maxPath || !wellformed.Printable(p.NetNS):
		return fmt.Errorf("netns %q is not the name or path of a namespace", clip(p.NetNS))
	case len(p.Namespace) > maxPath || !wellformed.Printable(p.Namespace):
		return fmt.Errorf("namespace %q is not a namespace's identity", clip(p.Namespace))
	case p.PID < 0 || p.PID > 0 && p.NetNS != "":
		return fmt.Errorf("pid %d is negative, or given beside netns %q", p.PID, clip(p.NetNS))
	case !validIfName(p.IfName):
		return fmt.Errorf("ifname %q is not an interface's, such as eth0", clip(p.IfName))
	case len(p.Security) > maxName || !wellformed.Printable(p.Security):
		return fmt.Errorf("security %q is not the name of a mode", clip(p.Security))
	}
	return cmp.Or(checkAliases(p.Aliases), checkAllowed(p.AllowAddresses), checkPublished(p.Published), checkLabels(p.Labels))
}

func checkAllowed(list []netip.Prefix) error {
	for _, a := range list {
		if !a.IsValid() {
			return fmt.Errorf("allowed address %q is not a prefix such as 10.1.0.0/24", a)
		}
	}
	return nil
}

func checkPublished(list []Publication) error {
	if len(list) > maxPublications {
		return fmt.Errorf("%d publications are more than %d", len(list), maxPublications)
	}
	for _, p := range list {
		if err := p.check(); err != nil {
			return fmt.Errorf("publication of port %d: %w", p.HostPort, err)
		}
	}
	return nil
}

// check says what is wrong with the publication alone.
func (p Publication) check() error {
	switch n := max(p.Count, 1); {
	case p.Protocol == "" || len(p.Protocol) > maxName || !wellformed.Printable(p.Protocol):
		return fmt.Errorf("protocol %q is not the name of one", clip(p.Protocol))
	case p.HostIP.Zone() != "":
		return fmt.Errorf("host address %q is not one such as 127.0.0.1", clip(p.HostIP.String()))
	case p.HostPort == 0 || p.Port == 0 || p.Count < 0 || p.Count > 65535 || int(max(p.HostPort, p.Port))+n-1 > 65535:
		return fmt.Errorf("%d ports from %d to %d on are not within 1 to 65535", n, p.HostPort, p.Port)
	}
	return nil
}

// check says what is wrong with the record alone.
func (e Entry) check() error {
	switch {
	case !wellformed.ID(e.SegmentID):
		return fmt.Errorf("segment id %q is not 64 hex digits", clip(e.SegmentID))
	case !validMAC(e.MAC):
		return fmt.Errorf("mac %q is not a unicast address such as 02:42:ac:11:00:02", clip(e.MAC))
	case !wellformed.ID(e.PortID):
		return fmt.Errorf("port id %q is not 64 hex digits", clip(e.PortID))
	}
	return nil
}

func checkAliases(aliases []string) error {
	if len(aliases) > maxAliases {
		return fmt.Errorf("%d aliases are more than %d", len(aliases), maxAliases)
	}
	for _, a := range aliases {
		if !validName(a) {
			return fmt.Errorf("alias %q is not 1 to %d letters, digits, '_', '.' or '-' behind a letter or digit", clip(a), maxName)
		}
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	for k, v := range labels {
		if k == "" || !wellformed.Printable(k) || !wellformed.Printable(v) {
			return fmt.Errorf("label %q is empty or has control characters", clip(k))
		}
	}
	return nil
}

func validName(s string) bool { return wellformed.Name(s, maxName) }

// validMAC wants the canonical form, since a record's key is made of it, and an
// address that one station can have: not zero, and the group bit clear
// (IEEE 802-2014 §8.2).
func validMAC(s string) bool {
	if len(s) != 17 {
		return false
	}
	var mac [6]byte
	for i := range mac {
		digits := s[i*3 : i*3+2]
		if i > 0 && s[i*3-1] != ':' || !wellformed.LowerHex(digits) {
			return false
		}
		if _, err := hex.Decode(mac[i:i+1], []byte(digits)); err != nil {
			return false
		}
	}
	return mac[0]&1 == 0 && mac != [6]byte{}
}

// validIfName follows dev_valid_name (net/core/dev.c). Empty is no error: not
// every kind of port has an interface.
func validIfName(s string) bool {
	return len(s) <= maxIfName && s != "." && s != ".." && !strings.ContainsAny(s, "/: ") && wellformed.Printable(s)
}

// inSubnet says whether a port of a segment can have address a.
func inSubnet(a netip.Addr, subnet netip.Prefix, gateway netip.Addr) bool {
	return subnet.Contains(a) && a != gateway
}
