package api

import (
	"cmp"
	"strings"

	"vswitch/internal/wellformed"
)

// MaxRules is how many rules a segment may have.
const MaxRules = wellformed.MaxRules

// maxRuleLabel bounds, in bytes, the value of a label that a rule names.
const maxRuleLabel = 255

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

// validate returns the spec in canonical form with its defaults filled in, or an
// Invalid error.
func (s RuleSpec) validate() (RuleSpec, error) {
	if !s.Action.Valid() {
		return s, Invalidf("action %q: want allow or deny", clip(string(s.Action)))
	}
	if err := s.From.validate("from"); err != nil {
		return s, err
	}
	if err := s.To.validate("to"); err != nil {
		return s, err
	}
	s.Protocol = cmp.Or(s.Protocol, ProtocolAny)
	if !s.Protocol.Valid() {
		return s, Invalidf("protocol %q: want tcp, udp, icmp or any", clip(string(s.Protocol)))
	}
	if s.Position < 0 || s.Position > MaxRules {
		return s, Invalidf("position %d: want 1 for the first to %d, or 0 for behind all others", s.Position, MaxRules)
	}
	if s.Protocol == ProtocolICMP && s.Ports != (PortRange{}) {
		return s, Invalidf("ports %q with protocol icmp, which has none: want tcp, udp or any", s.Ports)
	}
	return s, s.Ports.validate()
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
