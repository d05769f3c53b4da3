package view

import (
	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/switch/policy"
)

// RuleView shows the segment's rule at place i.
func (s *Segment) RuleView(i int) api.Rule {
	r := s.Record.Rules[i]
	v := api.Rule{
		ID: r.ID, Segment: s.Record.Name, Position: i + 1, Action: api.RuleAllow,
		From: s.endView(r.From), To: s.endView(r.To),
		Protocol: api.ProtocolAny, Ports: api.PortRange{First: r.FirstPort, Last: r.LastPort}.String(),
	}
	if hits := s.Hits[r.ID]; hits != nil {
		v.Hits, v.Since = policy.ReadHits(hits.Words), hits.Since()
	}
	if r.Deny {
		v.Action = api.RuleDeny
	}
	if r.Protocol != "" {
		v.Protocol = api.Protocol(r.Protocol)
	}
	return v
}

// endView names the port of an end as it is called today.
func (s *Segment) endView(end model.RuleEnd) api.RuleEnd {
	switch {
	case end.LabelKey != "":
		return api.RuleEnd{Label: end.LabelKey + "=" + end.LabelValue}
	case end.PortID == "":
		return api.RuleEnd{}
	}
	for _, p := range s.Ports {
		if p.Record.ID == end.PortID {
			return api.RuleEnd{Port: p.Record.Name}
		}
	}
	return api.RuleEnd{Port: end.PortID}
}
