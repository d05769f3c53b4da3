package apitest

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"vswitch/api"
)

// Rules implements [api.Backend].
func (f *Fake) Rules(ctx context.Context, ref string) ([]api.Rule, error) {
	if err := f.enter(ctx, "Rules"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	name, err := f.segmentName(ref)
	if err != nil {
		return nil, err
	}
	var list []api.Rule
	for _, s := range slices.Backward(f.segments) {
		if name == "" || s.Name == name {
			list = append(list, s.numbered()...)
		}
	}
	return list, nil
}

// numbered are the segment's rules with their positions.
func (s *segment) numbered() []api.Rule {
	list := slices.Clone(s.rules)
	for i := range list {
		list[i].Position = i + 1
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
		p, err := f.findPort(end.Port)
		if err != nil {
			return api.Rule{}, err
		}
		end.Port = p.Name
	}
	at := len(s.rules)
	if spec.Position > 0 {
		at = min(at, spec.Position-1)
	}
	s.rules = slices.Insert(s.rules, at, api.Rule{
		ID: f.id(""), Segment: s.Name, Action: spec.Action, From: spec.From, To: spec.To,
		Protocol: cmp.Or(spec.Protocol, api.ProtocolAny), Ports: spec.Ports,
	})
	return s.numbered()[at], nil
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
	i := slices.IndexFunc(s.rules, func(r api.Rule) bool { return strings.HasPrefix(r.ID, ref) })
	if i < 0 {
		return api.Rule{}, api.NotFoundf("no rule %q in segment %s: see list-rules", ref, s.Name)
	}
	r := s.numbered()[i]
	s.rules = slices.Delete(s.rules, i, i+1)
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
