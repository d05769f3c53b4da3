package apitest

import (
	"cmp"
	"context"
	"slices"

	"vswitch/api"
)

// Rules implements [api.Backend].
func (f *Fake) Rules(ctx context.Context, ref string) ([]api.Rule, error) {
	if err := f.enter(ctx, "Rules"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	in, err := f.filter(ref)
	if err != nil {
		return nil, err
	}
	var list []api.Rule
	for _, s := range slices.Backward(f.segments) {
		if in(s.ID) {
			list = append(list, f.numbered(s)...)
		}
	}
	return list, nil
}

// numbered are a segment's rules with their positions and today's names.
func (f *Fake) numbered(s *segment) []api.Rule {
	list := slices.Clone(s.rules)
	for i := range list {
		r := &list[i]
		r.Segment, r.Position = s.Name, i+1
		for _, end := range []*api.RuleEnd{&r.From, &r.To} {
			for _, p := range f.ports {
				if p.ID == end.Port {
					end.Port = p.Name
				}
			}
		}
	}
	return list
}

// AddRule implements [api.Backend].
func (f *Fake) AddRule(ctx context.Context, ref string, spec api.RuleSpec) (api.Rule, error) {
	if err := f.enter(ctx, "AddRule"); err != nil {
		return api.Rule{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(ref)
	if err != nil {
		return api.Rule{}, err
	}
	for _, end := range []*api.RuleEnd{&spec.From, &spec.To} {
		if end.Port == "" {
			continue
		}
		p, err := f.portOn(s, end.Port)
		if err != nil {
			return api.Rule{}, err
		}
		end.Port = p.ID
	}
	at := len(s.rules)
	if spec.Position > 0 {
		at = min(at, spec.Position-1)
	}
	s.rules = slices.Insert(s.rules, at, api.Rule{
		ID: f.id(""), Action: spec.Action, From: spec.From, To: spec.To,
		Protocol: cmp.Or(spec.Protocol, api.ProtocolAny), Ports: spec.Ports.String(), Since: f.now(),
	})
	return f.numbered(s)[at], nil
}

// DeleteRule implements [api.Backend].
func (f *Fake) DeleteRule(ctx context.Context, segment, ref string) (api.Rule, error) {
	if err := f.enter(ctx, "DeleteRule"); err != nil {
		return api.Rule{}, err
	}
	defer f.mu.Unlock()
	s, err := f.findSegment(segment)
	if err != nil {
		return api.Rule{}, err
	}
	key := func(r api.Rule) (id, name string) { return r.ID, "" }
	r, err := find(f.numbered(s), key, ref, "rule", "list-rules")
	if err != nil {
		return api.Rule{}, err
	}
	s.rules = slices.Delete(s.rules, r.Position-1, r.Position)
	return r, nil
}

// Hit makes a rule decide on frames, found by its position in a segment.
func (f *Fake) Hit(segment string, position int, frames uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, err := f.findSegment(segment); err == nil && position <= len(s.rules) {
		s.rules[position-1].Hits += frames
	}
}
