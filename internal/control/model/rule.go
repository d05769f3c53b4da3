package model

import (
	"fmt"

	"vswitch/internal/wellformed"
)

// Rule allows or denies frames between ports of the segment that has it.
type Rule struct {
	ID       string  `json:"id"`
	Deny     bool    `json:"deny,omitempty"` // false: allow
	From     RuleEnd `json:"from,omitzero"`
	To       RuleEnd `json:"to,omitzero"`
	Protocol string  `json:"protocol,omitempty"` // its name; empty: all
	// Destination ports, both ends included; both 0: all.
	FirstPort uint16 `json:"first_port,omitempty"`
	LastPort  uint16 `json:"last_port,omitempty"`
}

// RuleEnd says which ports a rule is about; the zero one, all. The port need not
// exist any more.
type RuleEnd struct {
	PortID     string `json:"port_id,omitempty"`
	LabelKey   string `json:"label_key,omitempty"`
	LabelValue string `json:"label_value,omitempty"`
}

// checkRules says what is wrong with the rules of a segment.
func checkRules(rules []Rule) error {
	if len(rules) > wellformed.MaxRules {
		return fmt.Errorf("%d rules are more than %d", len(rules), wellformed.MaxRules)
	}
	seen := make(map[string]bool, len(rules))
	for i, r := range rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
		if seen[r.ID] {
			return fmt.Errorf("rule %d: id %s is that of another rule as well", i+1, r.ID)
		}
		seen[r.ID] = true
	}
	return nil
}

// check says what is wrong with the rule alone.
func (r Rule) check() error {
	switch {
	case !wellformed.ID(r.ID):
		return fmt.Errorf("id %q is not 64 hex digits", wellformed.Clip(r.ID))
	case len(r.Protocol) > wellformed.MaxName || !wellformed.Printable(r.Protocol):
		return fmt.Errorf("protocol %q is not the name of one", wellformed.Clip(r.Protocol))
	case r.FirstPort > r.LastPort:
		return fmt.Errorf("ports %d to %d have the higher one first", r.FirstPort, r.LastPort)
	}
	for _, e := range []RuleEnd{r.From, r.To} {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

func (e RuleEnd) check() error {
	switch {
	case e.PortID != "" && !wellformed.ID(e.PortID):
		return fmt.Errorf("port id %q is not 64 hex digits", wellformed.Clip(e.PortID))
	case e.PortID != "" && e.LabelKey != "":
		return fmt.Errorf("port %s and label %q are both given", e.PortID, wellformed.Clip(e.LabelKey))
	case e.LabelKey == "" && e.LabelValue != "" ||
		!wellformed.Printable(e.LabelKey) || !wellformed.Printable(e.LabelValue):
		return fmt.Errorf("label %q has no key or has control characters", wellformed.Clip(e.LabelKey))
	}
	return nil
}
