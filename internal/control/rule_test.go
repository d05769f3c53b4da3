package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/switch/switchtest"
)

// addRule adds a rule.
func (w *world) addRule(c *Control, segment string, spec api.RuleSpec) api.Rule {
	w.Helper()
	r, err := c.AddRule(w.Context(), segment, spec)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// rulesOf lists the rules of a segment as "ACTION FROM > TO PROTOCOL PORTS, HITS".
func (w *world) rulesOf(c *Control, segment string) []string {
	w.Helper()
	list := []string{}
	for i, r := range must[[]api.Rule](w.T)(c.Rules(w.Context(), segment)) {
		if r.Position != i+1 || r.Segment != segment || r.Since.IsZero() {
			w.Errorf("rule %d of %s is %+v", i+1, segment, r)
		}
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s > %s %s %s", r.Action, r.From, r.To, r.Protocol, r.Ports))+
			fmt.Sprintf(", %d", r.Hits))
	}
	return list
}

func (w *world) wantRules(c *Control, segment string, want ...string) {
	w.Helper()
	if got := w.rulesOf(c, segment); !slices.Equal(got, append([]string{}, want...)) {
		w.Errorf("the rules of %s are\n%s\nwant\n%s", segment, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAddRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "a")
	w.addPort(c, "b")
	first := w.addRule(c, "", api.RuleSpec{Action: api.RuleDeny})
	if first.Position != 1 || first.Hits != 0 || len(first.ID) != 64 {
		t.Errorf("it is %+v", first)
	}
	w.addRule(c, "", api.RuleSpec{
		Action: api.RuleAllow, From: api.RuleEnd{Port: "a"}, To: api.RuleEnd{Label: "role=db"},
		Protocol: api.ProtocolTCP, Ports: api.PortRange{First: 5432, Last: 5432}, Position: 1,
	})
	w.addRule(c, "", api.RuleSpec{Action: api.RuleAllow, Protocol: api.ProtocolICMP, Position: 2})
	last := w.addRule(c, "", api.RuleSpec{
		Action: api.RuleDeny, Protocol: api.ProtocolUDP, Ports: api.PortRange{First: 1, Last: 65535}, Position: 1000,
	})
	if last.Position != 4 {
		t.Errorf("behind all others it has the position %d", last.Position)
	}
	want := []string{
		"allow a > role=db tcp 5432, 0", "allow any > any icmp, 0", "deny any > any any, 0", "deny any > any udp 1-65535, 0",
	}
	w.wantRules(c, "bridge", want...)
	must[api.Port](t)(c.UpdatePort(t.Context(), "a", api.PortUpdate{Name: new("renamed")}))
	want[0] = strings.ReplaceAll(want[0], "a >", "renamed >")
	w.wantRules(w.crash(), "bridge", want...)
}

func TestRulesRefuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	for name, test := range map[string]struct {
		segment string
		spec    api.RuleSpec
		kind    api.Kind
		parts   []string
	}{
		"in no segment":                  {"nowhere", api.RuleSpec{}, api.NotFound, []string{`"nowhere"`}},
		"from a port that there is not":  {"", api.RuleSpec{From: api.RuleEnd{Port: "nobody"}}, api.NotFound, []string{`"nobody"`}},
		"to a port that there is not":    {"", api.RuleSpec{To: api.RuleEnd{Port: "nobody"}}, api.NotFound, []string{`"nobody"`}},
		"from a port of another segment": {"", api.RuleSpec{From: api.RuleEnd{Port: "x"}}, api.Invalid, []string{`"x"`, `"lab"`, `"bridge"`}},
		"to a port of another segment":   {"", api.RuleSpec{To: api.RuleEnd{Port: "x"}}, api.Invalid, []string{`"x"`, `"lab"`, `"bridge"`}},
		"for a protocol of tomorrow":     {"", api.RuleSpec{Protocol: "sctp"}, api.Internal, []string{`"sctp"`, `"bridge"`}},
	} {
		w.refused(c, "a rule "+name, func() error {
			_, err := c.AddRule(t.Context(), test.segment, test.spec)
			return err
		}, test.kind, test.parts...)
	}
	rules := must[[]api.Rule](t)(c.Rules(t.Context(), "bridge"))
	for name, test := range map[string]struct {
		segment, ref string
		kind         api.Kind
		parts        []string
	}{
		"in no segment":      {"nowhere", rules[0].ID, api.NotFound, []string{`"nowhere"`}},
		"that there is not":  {"", "none", api.NotFound, []string{`"none"`, "list-rules"}},
		"of another segment": {"lab", rules[0].ID, api.NotFound, []string{rules[0].ID}},
		"without an id":      {"", "", api.NotFound, nil},
	} {
		w.refused(c, "the end of a rule "+name, func() error {
			_, err := c.DeleteRule(t.Context(), test.segment, test.ref)
			return err
		}, test.kind, test.parts...)
	}
	gone := must[api.Rule](t)(c.DeleteRule(t.Context(), "", rules[1].ID[:16]))
	if gone.ID != rules[1].ID || gone.Position != 2 || gone.To.Port != "a" {
		t.Errorf("what ended was %+v", gone)
	}
	w.wantRules(c, "bridge", "allow any > role=web any, 0")
	w.wantRules(w.crash(), "bridge", "allow any > role=web any, 0")
}

func TestTooManyRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.close(c, false)
	s, _ := w.State.SegmentNamed(api.DefaultSegment)
	for range api.MaxRules - 1 {
		s.Rules = append(s.Rules, model.Rule{ID: newID()})
	}
	var err error
	if w.State, _, err = w.State.With(model.PutSegment(s)); err != nil {
		t.Fatal(err)
	}
	c = w.start()
	last := w.addRule(c, "", api.RuleSpec{Action: api.RuleDeny, Position: 1})
	add := func() error { _, err := c.AddRule(t.Context(), "", api.RuleSpec{}); return err }
	w.refused(c, "one rule too many", add, api.Exhausted, `"bridge" has 1024 rules`, "del-rule")
	must[api.Rule](t)(c.DeleteRule(t.Context(), "", last.ID))
	if err := add(); err != nil {
		t.Errorf("with one less: %v", err)
	}
}

// threePorts are a, b and d on the default segment; a sends to both.
type threePorts struct {
	*world
	c      *Control
	settle func()
}

// reach returns whom of b and d frames of a get to.
func (p threePorts) reach() (reached string) {
	p.Helper()
	mac := func(name string) api.MAC { return must[api.Port](p.T)(p.c.Port(p.Context(), name)).MAC }
	for _, to := range []string{"b", "d"} {
		p.texts(to)
		p.Wire("a").Send(switchtest.Frame(mac(to), mac("a"), "to "+to))
		p.settle()
		if slices.Contains(p.texts(to), "to "+to) {
			reached += to
		}
	}
	return reached
}

func (p threePorts) wantReach(when, want string) {
	p.Helper()
	if got := p.reach(); got != want {
		p.Errorf("%s, a reaches %q, want %q", when, got, want)
	}
}

// withThreePorts runs a test with them.
func withThreePorts(t *testing.T, f func(p threePorts)) {
	t.Helper()
	inBubble(t, func(_ *testing.T, w *world, c *Control, settle func()) {
		for _, name := range []string{"a", "b", "d"} {
			w.addPort(c, name, func(s *api.PortSpec) { s.Security = api.SecurityOff })
		}
		f(threePorts{w, c, settle})
	})
}

// TestRulesAreInForce as long as they are listed, and follow the labels of ports.
func TestRulesAreInForce(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		c := p.c
		label := func(name string, labels map[string]*string) {
			must[api.Port](p.T)(c.UpdatePort(p.Context(), name, api.PortUpdate{Labels: labels}))
		}
		p.wantReach("without rules", "bd")
		denied := p.addRule(c, "", api.RuleSpec{Action: api.RuleDeny, To: api.RuleEnd{Label: "role=db"}})
		p.wantReach("while nobody has the label", "bd")
		label("b", map[string]*string{"role": new("db")})
		p.wantReach("once b has the label", "d")
		label("b", map[string]*string{"role": new("web")})
		p.wantReach("once it has another value", "bd")
		label("b", map[string]*string{"role": new("db"), "other": new("")})
		label("d", map[string]*string{"role": new("db")})
		p.wantReach("once both have it", "")
		label("b", map[string]*string{"role": nil})
		p.wantReach("once b has it no longer", "b")
		allowed := p.addRule(c, "", api.RuleSpec{
			Action: api.RuleAllow, From: api.RuleEnd{Port: "a"}, To: api.RuleEnd{Port: "d"}, Position: 1,
		})
		p.wantReach("by a rule before", "bd")
		must[api.Rule](p.T)(c.DeleteRule(p.Context(), "", allowed.ID))
		p.wantReach("without it", "b")
		p.wantRules(c, "bridge", "deny any > role=db any, 5")
		must[api.Rule](p.T)(c.DeleteRule(p.Context(), "", denied.ID))
		p.wantReach("without rules", "bd")
	})
}

// TestRulesOutliveTheProcess and apply to a port that comes later.
func TestRulesOutliveTheProcess(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.addRule(p.c, "", api.RuleSpec{Action: api.RuleDeny, To: api.RuleEnd{Label: "role=db"}})
		must[api.Port](p.T)(p.c.DeletePort(p.Context(), "b"))
		p.addPort(p.c, "b", func(s *api.PortSpec) {
			s.Security, s.Labels = api.SecurityOff, map[string]string{"role": "db"}
		})
		p.wantReach("when b comes with the label", "d")
		p.c = p.crash()
		p.wantReach("after a restart", "d")
		p.RemoveNamespace("b")
		p.settle()
		p.renewNamespace("b")
		p.c.mountsChanged()
		if b := must[api.Port](p.T)(p.c.Port(p.Context(), "b")); b.State != api.PortUp {
			p.Fatalf("it is %+v", b)
		}
		p.wantReach("once it is attached again", "d")
	})
}

// TestRulesEndWithThePortThatTheyName; those that name a label stay.
func TestRulesEndWithThePortThatTheyName(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		c := p.c
		p.addRule(c, "", api.RuleSpec{Action: api.RuleDeny, From: api.RuleEnd{Port: "b"}})
		p.addRule(c, "", api.RuleSpec{Action: api.RuleDeny, To: api.RuleEnd{Port: "d"}})
		p.addRule(c, "", api.RuleSpec{Action: api.RuleAllow, To: api.RuleEnd{Port: "b"}, From: api.RuleEnd{Label: "x=y"}})
		p.addRule(c, "", api.RuleSpec{Action: api.RuleDeny, From: api.RuleEnd{Label: "x=y"}})
		p.Plan(1, 0)
		p.refused(c, "the end of a port on a disk that is full", func() error {
			_, err := c.DeletePort(p.Context(), "b")
			return err
		}, api.Internal, kerneltest.ErrStep.Error())
		p.Plan(0, 0)
		p.wantReach("still", "b")
		must[api.Port](p.T)(c.DeletePort(p.Context(), "b"))
		p.wantRules(c, "bridge", "deny any > d any, 1", "deny x=y > any any, 0")
		if !p.has("rules removed with the port", "port=b", "rules=2") {
			p.Errorf("the log says %s", p.log.String())
		}
		p.addPort(c, "b", func(s *api.PortSpec) { s.Security = api.SecurityOff })
		p.wantReach("another b", "b")
		p.wantRules(p.crash(), "bridge", "deny any > d any, 0", "deny x=y > any any, 0")
	})
}

// TestRulesThatCannotBeStored are not in force, and those before are.
func TestRulesThatCannotBeStored(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		c := p.c
		rule := p.addRule(c, "", api.RuleSpec{Action: api.RuleDeny, To: api.RuleEnd{Port: "b"}})
		p.Plan(1, 0)
		p.refused(c, "a rule for a disk that is full", func() error {
			_, err := c.AddRule(p.Context(), "", api.RuleSpec{Action: api.RuleDeny})
			return err
		}, api.Internal, `"bridge"`, kerneltest.ErrStep.Error())
		p.Plan(1, 0)
		p.refused(c, "the end of a rule on a disk that is full", func() error {
			_, err := c.DeleteRule(p.Context(), "", rule.ID)
			return err
		}, api.Internal, `"bridge"`, kerneltest.ErrStep.Error())
		p.Plan(1, 0)
		p.refused(c, "a label for a disk that is full", func() error {
			_, err := c.UpdatePort(p.Context(), "d", api.PortUpdate{Labels: map[string]*string{"a": new("b")}})
			return err
		}, api.Internal, `"d"`, kerneltest.ErrStep.Error())
		p.Plan(0, 0)
		p.wantReach("as before", "d")
		c.lock()
		if n := len(must[*segment](p.T)(c.findSegment("")).hits); n != 1 {
			p.Errorf("hits of %d rules are counted, want 1", n)
		}
		c.unlock()
	})
}
