package control

import (
	"context"
	"slices"
	"strings"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/counters"
	vswitch "vswitch/switch"
	"vswitch/switch/policy"
)

// rules has the switch allow and deny frames between ports.
type rules struct{ *core }

// protocols are the names of what rules are about.
var protocols = map[api.Protocol]policy.Protocol{
	"":               policy.ProtocolAny,
	api.ProtocolAny:  policy.ProtocolAny,
	api.ProtocolTCP:  policy.ProtocolTCP,
	api.ProtocolUDP:  policy.ProtocolUDP,
	api.ProtocolICMP: policy.ProtocolICMP,
}

// AddRule implements [api.Backend].
func (rs *rules) AddRule(_ context.Context, ref string, spec api.RuleSpec) (api.Rule, error) {
	rs.lock()
	defer rs.unlock()
	s, err := rs.findSegment(ref)
	if err != nil {
		return api.Rule{}, err
	}
	if len(s.record.Rules) >= policy.MaxRules {
		return api.Rule{}, api.Exhaustedf("segment %q has %d rules, which is all it may have: delete some with vsctl del-rule", s.record.Name, len(s.record.Rules))
	}
	r := model.Rule{
		ID: rs.newID(), Deny: spec.Action == api.RuleDeny, Protocol: string(spec.Protocol),
		FirstPort: spec.Ports.First, LastPort: spec.Ports.Last,
	}
	if r.From, err = rs.ruleEnd(s, spec.From); err != nil {
		return api.Rule{}, err
	}
	if r.To, err = rs.ruleEnd(s, spec.To); err != nil {
		return api.Rule{}, err
	}
	at := len(s.record.Rules)
	if spec.Position > 0 {
		at = min(at, spec.Position-1)
	}
	if err := rs.setRules(s, slices.Insert(slices.Clone(s.record.Rules), at, r)); err != nil {
		return api.Rule{}, err
	}
	rs.log.Info("rule added", "segment", s.record.Name, "rule", r.ID, "position", at+1)
	return rs.segmentNow(s).RuleView(at), nil
}

// DeleteRule implements [api.Backend].
func (rs *rules) DeleteRule(_ context.Context, segment, ref string) (api.Rule, error) {
	rs.lock()
	defer rs.unlock()
	s, err := rs.findSegment(segment)
	if err != nil {
		return api.Rule{}, err
	}
	byID := make(map[string]nameless, len(s.record.Rules))
	for i, r := range s.record.Rules {
		byID[r.ID] = nameless(i)
	}
	i, err := resolve(byID, ref, "rule", "list-rules")
	if err != nil {
		return api.Rule{}, err
	}
	shown := rs.segmentNow(s).RuleView(int(i))
	if err := rs.setRules(s, slices.Delete(slices.Clone(s.record.Rules), int(i), int(i)+1)); err != nil {
		return api.Rule{}, err
	}
	rs.log.Info("rule removed", "segment", s.record.Name, "rule", shown.ID)
	return shown, nil
}

// nameless is the place of something that has an id and no name.
type nameless int

func (nameless) title() string { return "" }

// ruleEnd finds the port that an end names.
func (rs *rules) ruleEnd(s *segment, end api.RuleEnd) (model.RuleEnd, error) {
	if end.Port == "" {
		key, value, _ := strings.Cut(end.Label, "=")
		return model.RuleEnd{LabelKey: key, LabelValue: value}, nil
	}
	p, err := rs.findPortOn(s, end.Port)
	if err != nil {
		return model.RuleEnd{}, err
	}
	return model.RuleEnd{PortID: p.record.ID}, nil
}

// setRules takes every step to give a segment other rules, or none. When it
// returns they are in force and on disk.
func (rs *rules) setRules(s *segment, rules []model.Rule) error {
	old := s.record.Rules
	defer rs.releaseHits(s)
	if err := rs.enforceRules(s, rules); err != nil {
		return err
	}
	record := s.record
	record.Rules = rules
	if err := rs.store.Apply(model.PutSegment(record)); err != nil {
		rs.logFailure("take back the rules of segment "+s.record.Name, rs.enforceRules(s, old))
		return api.Internalf("store the rules of segment %q: %w", s.record.Name, err)
	}
	s.record = record
	return nil
}

// enforceRules puts a segment's ports under rules, as they and their labels are
// now. More ports may be given that are about to be the segment's. A rule's hits
// go on counting.
func (rs *rules) enforceRules(s *segment, rules []model.Rule, more ...*port) error {
	if len(rules) == 0 && len(s.enforced) == 0 {
		return nil
	}
	ports := rs.portsOf(s)
	for _, p := range more {
		if !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	list, ids := make([]vswitch.Rule, len(rules)), make([]string, len(rules))
	for i, r := range rules {
		protocol, known := protocols[api.Protocol(r.Protocol)]
		if !known {
			return api.Internalf("rule %s of segment %q has protocol %q, which this version does not know", r.ID, s.record.Name, r.Protocol)
		}
		ids[i] = r.ID
		list[i] = vswitch.Rule{
			From: portsAt(r.From, ports), To: portsAt(r.To, ports), Protocol: protocol,
			Ports: policy.PortRange{First: r.FirstPort, Last: r.LastPort},
			Hits:  rs.takeHits(s, r.ID).Words,
		}
		if r.Deny {
			list[i].Action = policy.Deny
		}
	}
	if err := s.sw.SetRules(list); err != nil {
		return switchError(err)
	}
	s.enforced = ids
	return nil
}

// takeHits returns where the hits of a rule of the segment's are counted.
func (rs *rules) takeHits(s *segment, id string) *counters.Block {
	if s.hits[id] == nil {
		s.hits[id] = rs.counters.take(countsRule, id)
	}
	return s.hits[id]
}

// releaseHits ends the hits of rules that are neither the segment's nor in force any more.
func (rs *rules) releaseHits(s *segment) {
	used := make(map[string]bool, len(s.record.Rules))
	for _, r := range s.record.Rules {
		used[r.ID] = true
	}
	for _, id := range s.enforced {
		used[id] = true
	}
	for id := range s.hits {
		if !used[id] {
			delete(s.hits, id)
			rs.counters.release(countsRule, id)
		}
	}
}

// portsAt are the places in the switch of the ports that an end is about; nil: all.
func portsAt(end model.RuleEnd, ports []*port) []*vswitch.Port {
	if end == (model.RuleEnd{}) {
		return nil
	}
	at := []*vswitch.Port{}
	for _, p := range ports {
		if includes(end, p.record.ID, p.record.Labels) {
			at = append(at, p.sw)
		}
	}
	return at
}

// includes says whether a rule names a port by that end.
func includes(end model.RuleEnd, id string, labels map[string]string) bool {
	if end.LabelKey == "" {
		return end.PortID == id
	}
	value, ok := labels[end.LabelKey]
	return ok && value == end.LabelValue
}

// named says whether a rule of the segment names a port.
func (s *segment) named(id string, labels map[string]string) bool {
	return slices.ContainsFunc(s.record.Rules, func(r model.Rule) bool {
		return includes(r.From, id, labels) || includes(r.To, id, labels)
	})
}

// joinRules puts a port that has come into the switch under the rules that name it.
func (rs *rules) joinRules(p *port) error {
	if !p.segment.named(p.record.ID, p.record.Labels) {
		return nil
	}
	return rs.enforceRules(p.segment, p.segment.record.Rules, p)
}

// rulesWithout are the segment's rules but for those that name one of these ports: its id will
// not come back, so they would match nothing.
func (s *segment) rulesWithout(ports ...*port) []model.Rule {
	gone := make(map[string]bool, len(ports))
	for _, p := range ports {
		gone[p.record.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(s.record.Rules), func(r model.Rule) bool {
		return gone[r.From.PortID] || gone[r.To.PortID]
	})
}

// dropRules leaves a segment these of its rules, as is stored already, when a port has gone
// that the others name.
func (rs *rules) dropRules(s *segment, rest []model.Rule, p *port) {
	removed := len(s.record.Rules) - len(rest)
	if removed == 0 {
		return
	}
	s.record.Rules = rest
	rs.logFailure("remove the rules that name port "+p.record.Name, rs.enforceRules(s, rest))
	rs.releaseHits(s)
	rs.log.Info("rules removed with the port that they name", "segment", s.record.Name,
		"port", p.record.Name, "rules", removed)
}
