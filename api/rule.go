package api

import (
	"strconv"
	"strings"
	"time"
)

// Actions of rules.
const (
	RuleAllow = "allow"
	RuleDeny  = "deny"
)

// Protocols of rules.
const (
	ProtocolAny  = "any" // all frames, IP or not
	ProtocolTCP  = "tcp"
	ProtocolUDP  = "udp"
	ProtocolICMP = "icmp" // that of IPv4 or ICMPv6
)

// MaxRules is how many rules a segment may have.
const MaxRules = 1024

// maxRuleLabel bounds, in bytes, the value of a label that a rule names.
const maxRuleLabel = 255

// RuleEnd says which of a segment's ports a rule is about. The zero one is all.
type RuleEnd struct {
	Port  string `json:"port,omitempty"`  // name, id or id prefix
	Label string `json:"label,omitempty"` // KEY=VALUE: each port that has it, now or later
}

// String is how people write it: a port's name, KEY=VALUE or any.
func (e RuleEnd) String() string {
	switch {
	case e.Port != "":
		return e.Port
	case e.Label != "":
		return e.Label
	}
	return "any"
}

// RuleSpec asks for a rule about frames from some ports of a segment to others.
type RuleSpec struct {
	Action   string  `json:"action"` // [RuleAllow] or [RuleDeny]
	From     RuleEnd `json:"from,omitzero"`
	To       RuleEnd `json:"to,omitzero"`
	Protocol string  `json:"protocol,omitempty"` // empty is [ProtocolAny]
	Ports    string  `json:"ports,omitempty"`    // destination ports of TCP or UDP: N or N-M; empty is all
	Position int     `json:"position,omitempty"` // from 1 on; 0 is behind all others
}

// Rule is one of a segment's rules. The first that matches a frame decides; where
// none does the frame passes.
type Rule struct {
	ID       string  `json:"id"`      // 64 hex digits
	Segment  string  `json:"segment"` // name
	Position int     `json:"position"`
	Action   string  `json:"action"`
	From     RuleEnd `json:"from,omitzero"`
	To       RuleEnd `json:"to,omitzero"`
	Protocol string  `json:"protocol"`
	Ports    string  `json:"ports,omitempty"`
	Hits     uint64  `json:"hits"` // frames that the rule has decided on since Since
	// Since is when Hits began at zero, as [Counters.Since].
	Since time.Time `json:"since"`
}

// ParsePorts reads N or N-M, ports of TCP or UDP, both ends included.
func ParsePorts(s string) (first, last uint16, err error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	a, errLow := strconv.ParseUint(low, 10, 16)
	b, errHigh := strconv.ParseUint(high, 10, 16)
	if errLow != nil || errHigh != nil || a == 0 {
		return 0, 0, Invalidf("ports %q: want one of 1 to 65535, or a range such as 8000-8080", clip(s))
	}
	if a > b {
		return 0, 0, Invalidf("ports %q: want the lower one first, %d-%d", clip(s), b, a)
	}
	return uint16(a), uint16(b), nil
}

// FormatPorts writes ports as ParsePorts reads them; 0 to 0 is all, "".
func FormatPorts(first, last uint16) string {
	switch {
	case first == 0 && last == 0:
		return ""
	case first == last:
		return strconv.Itoa(int(first))
	}
	return strconv.Itoa(int(first)) + "-" + strconv.Itoa(int(last))
}

// validate returns the spec in canonical form with its defaults filled in, or an
// Invalid error.
func (s RuleSpec) validate() (RuleSpec, error) {
	if s.Action != RuleAllow && s.Action != RuleDeny {
		return s, Invalidf("action %q: want allow or deny", clip(s.Action))
	}
	if err := s.From.validate("from"); err != nil {
		return s, err
	}
	if err := s.To.validate("to"); err != nil {
		return s, err
	}
	switch s.Protocol {
	case "":
		s.Protocol = ProtocolAny
	case ProtocolAny, ProtocolTCP, ProtocolUDP, ProtocolICMP:
	default:
		return s, Invalidf("protocol %q: want tcp, udp, icmp or any", clip(s.Protocol))
	}
	if s.Position < 0 || s.Position > MaxRules {
		return s, Invalidf("position %d: want 1 for the first to %d, or 0 for behind all others", s.Position, MaxRules)
	}
	if s.Ports == "" {
		return s, nil
	}
	if s.Protocol == ProtocolICMP {
		return s, Invalidf("ports %q with protocol icmp, which has none: want tcp, udp or any", clip(s.Ports))
	}
	first, last, err := ParsePorts(s.Ports)
	s.Ports = FormatPorts(first, last)
	return s, err
}

func (e RuleEnd) validate(what string) error {
	switch {
	case e.Port != "" && e.Label != "":
		return Invalidf("%s port %q and label %q are both given: give one of them", what, clip(e.Port), clip(e.Label))
	case e.Port != "":
		return validateRef(what+" port", e.Port)
	case e.Label == "":
		return nil
	}
	key, value, ok := strings.Cut(e.Label, "=")
	if !ok || key == "" || len(value) > maxRuleLabel {
		return Invalidf("%s label %q: want KEY=VALUE with a value of at most %d bytes", what, clip(e.Label), maxRuleLabel)
	}
	return validateLabels(map[string]string{key: value})
}
