package daemon

import (
	"context"
	"slices"
	"strings"

	"vswitch/api"
	"vswitch/internal/control/model"
	vswitch "vswitch/switch"
	"vswitch/switch/policy"
)

// protocols are the names of what rules are about.
var protocols = map[string]policy.Protocol{
	"":               policy.ProtocolAny,
	api.ProtocolAny:  policy.ProtocolAny,
	api.ProtocolTCP:  policy.ProtocolTCP,
	api.ProtocolUDP:  policy.ProtocolUDP,
	api.ProtocolICMP: policy.ProtocolICMP,
}

// Rules implements [api.Backend].
func (d *Daemon) Rules(_ context.Context, ref string) ([]api.Rule, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	segments, err := d.segmentsNamed(ref)
	if err != nil {
		return nil, err
	}
	list := []api.Rule{}
	for _, s := range segments {
		hits := s.ruleHits()
		for i, r := range s.record.Rules {
			list = append(list, d.ruleView(s, i, r, hits))
		}
	}
	return list, nil
}

// AddRule implements [api.Backend].
func (d *Daemon) AddRule(_ context.Context, ref string, spec api.RuleSpec) (api.Rule, error) {
	d.lock()
	defer d.unlock()
	s, err := d.findSegment(ref)
	if err != nil {
		return api.Rule{}, err
	}
	if len(s.record.Rules) >= policy.MaxRules {
		return api.Rule{}, api.Exhaustedf("segment %q has %d rules, which is all it may have: delete some with vsctl del-rule", s.record.Name, len(s.record.Rules))
	}
	r := model.Rule{ID: newID(), Deny: spec.Action == api.RuleDeny, Protocol: spec.Protocol}
	if spec.Ports != "" {
		if r.FirstPort, r.LastPort, err = api.ParsePorts(spec.Ports); err != nil {
			return api.Rule{}, err
		}
	}
	if r.From, err = d.ruleEnd(s, spec.From); err != nil {
		return api.Rule{}, err
	}
	if r.To, err = d.ruleEnd(s, spec.To); err != nil {
		return api.Rule{}, err
	}
	at := len(s.record.Rules)
	if spec.Position > 0 {
		at = min(at, spec.Position-1)
	}
	if err := d.setRules(s, slices.Insert(slices.Clone(s.record.Rules), at, r)); err != nil {
		return api.Rule{}, err
	}
	d.log.Info("rule added", "segment", s.record.Name, "rule", r.ID, "position", at+1)
	return d.ruleView(s, at, r, s.ruleHits()), nil
}

// DeleteRule implements [api.Backend].
func (d *Daemon) DeleteRule(_ context.Context, segment, ref string) (api.Rule, error) {
	d.lock()
	defer d.unlock()
	s, err := d.findSegment(segment)
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
	view := d.ruleView(s, int(i), s.record.Rules[i], s.ruleHits())
	if err := d.setRules(s, slices.Delete(slices.Clone(s.record.Rules), int(i), int(i)+1)); err != nil {
		return api.Rule{}, err
	}
	d.log.Info("rule removed", "segment", s.record.Name, "rule", view.ID)
	return view, nil
}

// nameless is the place of something that has an id and no name.
type nameless int

func (nameless) title() string { return "" }

// ruleEnd finds the port that an end names.
func (d *Daemon) ruleEnd(s *segment, end api.RuleEnd) (model.RuleEnd, error) {
	if end.Port == "" {
		key, value, _ := strings.Cut(end.Label, "=")
		return model.RuleEnd{LabelKey: key, LabelValue: value}, nil
	}
	p, err := d.findPort(end.Port)
	if err != nil {
		return model.RuleEnd{}, err
	}
	if p.segment != s {
		return model.RuleEnd{}, api.Invalidf("port %q is on segment %q, not on %q: name a port of that segment", p.record.Name, p.segment.record.Name, s.record.Name)
	}
	return model.RuleEnd{PortID: p.record.ID}, nil
}

// setRules takes every step to give a segment other rules, or none. When it
// returns they are in force and on disk.
func (d *Daemon) setRules(s *segment, rules []model.Rule) error {
	old := s.record.Rules
	if err := d.enforceRules(s, rules); err != nil {
		return err
	}
	record := s.record
	record.Rules = rules
	if err := d.store.Apply(model.PutSegment(record)); err != nil {
		d.logFailure("take back the rules of segment "+s.record.Name, d.enforceRules(s, old))
		return api.Internalf("store the rules of segment %q: %w", s.record.Name, err)
	}
	s.record = record
	return nil
}

// enforceRules puts a segment's ports under rules, as they and their labels are
// now. More ports may be given that are about to be the segment's. A rule's hits
// go on counting; those of the moment of the change may be lost.
func (d *Daemon) enforceRules(s *segment, rules []model.Rule, more ...*port) error {
	if len(rules) == 0 && len(s.enforced) == 0 {
		return nil
	}
	ports := d.portsOf(s)
	for _, p := range more {
		if !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	list, ids := make([]vswitch.Rule, len(rules)), make([]string, len(rules))
	for i, r := range rules {
		protocol, known := protocols[r.Protocol]
		if !known {
			return api.Internalf("rule %s of segment %q has protocol %q, which this version does not know", r.ID, s.record.Name, r.Protocol)
		}
		ids[i] = r.ID
		list[i] = vswitch.Rule{
			From: portsAt(r.From, ports), To: portsAt(r.To, ports), Protocol: protocol,
			Ports: policy.PortRange{First: r.FirstPort, Last: r.LastPort},
		}
		if r.Deny {
			list[i].Action = policy.Deny
		}
	}
	hits := s.ruleHits()
	if err := s.sw.SetRules(list); err != nil {
		return switchError(err)
	}
	s.enforced, s.hits = ids, hits
	return nil
}

// ruleHits are the hits of the segment's rules by their ids.
func (s *segment) ruleHits() map[string]uint64 {
	hits := make(map[string]uint64, len(s.enforced))
	current := s.sw.RuleHits()
	for i, id := range s.enforced {
		hits[id] = s.hits[id]
		if i < len(current) {
			hits[id] += current[i]
		}
	}
	return hits
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
func (d *Daemon) joinRules(p *port) error {
	if !p.segment.named(p.record.ID, p.record.Labels) {
		return nil
	}
	return d.enforceRules(p.segment, p.segment.record.Rules, p)
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
func (d *Daemon) dropRules(s *segment, rest []model.Rule, p *port) {
	removed := len(s.record.Rules) - len(rest)
	if removed == 0 {
		return
	}
	s.record.Rules = rest
	d.logFailure("remove the rules that name port "+p.record.Name, d.enforceRules(s, rest))
	d.log.Info("rules removed with the port that they name", "segment", s.record.Name,
		"port", p.record.Name, "rules", removed)
}

func (d *Daemon) ruleView(s *segment, i int, r model.Rule, hits map[string]uint64) api.Rule {
	v := api.Rule{
		ID: r.ID, Segment: s.record.Name, Position: i + 1, Action: api.RuleAllow, From: d.endView(r.From), To: d.endView(r.To),
		Protocol: api.ProtocolAny, Ports: api.FormatPorts(r.FirstPort, r.LastPort), Hits: hits[r.ID],
	}
	if r.Deny {
		v.Action = api.RuleDeny
	}
	if r.Protocol != "" {
		v.Protocol = r.Protocol
	}
	return v
}

// endView names the port of an end as it is called today.
func (d *Daemon) endView(end model.RuleEnd) api.RuleEnd {
	switch {
	case end.LabelKey != "":
		return api.RuleEnd{Label: end.LabelKey + "=" + end.LabelValue}
	case end.PortID == "":
		return api.RuleEnd{}
	}
	if p := d.ports[end.PortID]; p != nil {
		return api.RuleEnd{Port: p.record.Name}
	}
	return api.RuleEnd{Port: end.PortID}
}
