package vswitch

import (
	"fmt"
	"sync/atomic"

	"vswitch/switch/policy"
)

// Rule is a [policy.Rule] between ports: it allows or denies frames between two ports of a
// segment. Frames from and to the gateway, and the host behind it, are no rule's business.
type Rule struct {
	From, To []*Port // nil: any port; empty: none
	Protocol policy.Protocol
	Ports    policy.PortRange // destination ports of TCP or UDP; the zero range is all
	Action   policy.Action
	// Hits is where the rule's hits are counted, as [policy.Rule] has it.
	Hits []atomic.Uint64
}

// SetRules puts the segment under other rules: of those that match a frame, the
// first says whether it may pass, and where none does it may. When it returns, no
// frame is judged by the ones before. A port that is removed leaves the rules. No
// rules cost nothing; each that a frame is held against costs some nanoseconds.
func (s *Segment) SetRules(list []Rule) error {
	sw := s.owner
	sw.mu.Lock()
	defer sw.mu.Unlock()
	if err := sw.usable(s); err != nil {
		return err
	}
	bySlot := make([]policy.Rule, len(list))
	for i, c := range list {
		r := policy.Rule{Protocol: c.Protocol, Ports: c.Ports, Action: c.Action, Hits: c.Hits}
		var err error
		if r.From, err = s.slots(c.From); err == nil {
			r.To, err = s.slots(c.To)
		}
		if err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
		bySlot[i] = r
	}
	rules, err := policy.NewRules(bySlot, len(sw.workers))
	if err != nil {
		return err
	}
	s.rules.Store(rules)
	sw.republish()
	return nil
}

// slots are those of ports of the segment's containers.
func (s *Segment) slots(ports []*Port) ([]uint32, error) {
	if ports == nil {
		return nil, nil
	}
	slots := []uint32{}
	for _, p := range ports {
		if p.segment != s || p.responder != nil || p.filter != nil || !s.owner.holds(p) {
			return nil, fmt.Errorf("port %q: give ports of containers on this segment", p.name)
		}
		slots = append(slots, p.slot)
	}
	return slots, nil
}

// RuleHits is how many frames each of the segment's rules has decided on since they were set,
// and what their memory held then; of a frame that goes to several ports, each copy counts.
func (s *Segment) RuleHits() []uint64 { return s.rules.Load().Hits() }

// denied says whether the segment's rules deny the frame that the worker has parsed from p
// to out.
func (w *worker) denied(p, out *Port) bool {
	r := p.segment.rules.Load()
	if r == nil {
		return false
	}
	t := policy.Classify(&w.parsed)
	return !t.Exempt && r.Deny(w.id, p.slot, out.slot, t)
}
