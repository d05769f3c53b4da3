package control

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
)

// update changes a segment.
func (w *world) updateSegment(c *Control, ref string, u api.SegmentUpdate) api.Segment {
	w.Helper()
	s, err := c.UpdateSegment(w.Context(), ref, u)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func TestUpdateSegment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	many := make(map[string]*string)
	for i := range api.MaxLabels + 1 {
		many[strings.Repeat("k", i+1)] = new("v")
	}
	for name, test := range map[string]struct {
		ref    string
		update api.SegmentUpdate
		kind   api.Kind
		parts  []string
	}{
		"a segment that there is not":      {"nowhere", api.SegmentUpdate{}, api.NotFound, []string{`"nowhere"`}},
		"a name for the default segment":   {"", api.SegmentUpdate{Name: new("other")}, api.Conflict, []string{`"bridge"`, "default"}},
		"the default segment's name":       {"lab", api.SegmentUpdate{Name: new("bridge")}, api.Conflict, []string{`"bridge"`, "exists"}},
		"a name that is taken":             {"lab", api.SegmentUpdate{Name: new("empty")}, api.Conflict, []string{`"empty"`}},
		"too many labels":                  {"lab", api.SegmentUpdate{Labels: many}, api.Invalid, []string{"65 labels", "64"}},
		"a subnet for one with ports":      {"lab", api.SegmentUpdate{Subnet: new(prefix("10.5.0.0/24"))}, api.Conflict, []string{`"lab" has 2 ports`, "10.66.0.0/24"}},
		"another's subnet":                 {"empty", api.SegmentUpdate{Subnet: new(prefix("10.66.0.0/16"))}, api.Conflict, []string{"10.66.0.0/16", "10.66.0.0/24"}},
		"a pool's subnet":                  {"empty", api.SegmentUpdate{Subnet: new(prefix("10.99.0.0/24"))}, api.Conflict, []string{"10.99.0.0/24"}},
		"an IPv6 subnet":                   {"empty", api.SegmentUpdate{Subnet: new(prefix("fd00::/64"))}, api.Invalid, []string{"IPv6", "fd00::/64"}},
		"a subnet with host bits":          {"empty", api.SegmentUpdate{Subnet: new(prefix("10.67.0.7/24"))}, api.Invalid, []string{"10.67.0.7/24"}},
		"a subnet of one host":             {"empty", api.SegmentUpdate{Subnet: new(prefix("10.67.0.0/32"))}, api.Invalid, []string{"10.67.0.0/32"}},
		"a name with a subnet that is not": {"empty", api.SegmentUpdate{Name: new("n"), Subnet: new(prefix("10.66.0.0/24"))}, api.Conflict, []string{"10.66.0.0/24"}},
	} {
		w.refused(c, name, func() error {
			_, err := c.UpdateSegment(t.Context(), test.ref, test.update)
			return err
		}, test.kind, test.parts...)
	}
	got := w.updateSegment(c, "lab", api.SegmentUpdate{
		Name: new("office"), Labels: map[string]*string{"a": new("1"), "b": new("2")},
	})
	if got.Name != "office" || got.Ports != 2 || got.Labels["a"] != "1" || got.Subnet != prefix("10.66.0.0/24") {
		t.Errorf("it is %+v", got)
	}
	got = w.updateSegment(c, "office", api.SegmentUpdate{
		Name: new("office"), Labels: map[string]*string{"a": nil, "c": nil}, Subnet: new(prefix("10.66.0.0/24")),
	})
	if got.Name != "office" || len(got.Labels) != 1 || got.Labels["b"] != "2" {
		t.Errorf("it is %+v", got)
	}
	if p := must[api.Port](t)(c.Port(t.Context(), "x")); p.Segment != "office" {
		t.Errorf("its port is on %q", p.Segment)
	}
	w.addSegment(c, api.SegmentSpec{Name: "lab"}) // the name is free
	before := w.shown(c)
	w.wantShown(w.crash(), "after a restart", before)
}

func TestRenumber(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ to, want netip.Prefix }{
		"to another":            {prefix("10.1.0.0/16"), prefix("10.1.0.0/16")},
		"to a part of its own":  {prefix("10.67.0.128/25"), prefix("10.67.0.128/25")},
		"to more than its own":  {prefix("10.67.0.0/16"), prefix("10.67.0.0/16")},
		"to the first free one": {netip.Prefix{}, prefix("172.17.1.0/24")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.start()
			w.furnish(c)
			must[api.Rule](t)(c.AddRule(t.Context(), "empty", api.RuleSpec{Action: api.RuleDeny, To: api.RuleEnd{Label: "role=db"}}))
			before := must[api.Segment](t)(c.Segment(t.Context(), "empty"))
			got := w.updateSegment(c, "empty", api.SegmentUpdate{
				Name: new("moved"), Subnet: new(test.to), Labels: map[string]*string{"a": new("b")},
			})
			gateway := test.want.Addr().Next()
			if got.ID != before.ID || got.Name != "moved" || got.Labels["a"] != "b" || got.Subnet != test.want ||
				got.Gateway != gateway.String() || got.HostLink.State != api.PortUp {
				t.Errorf("it is %+v", got)
			}
			if n := len(must[[]api.Rule](t)(c.Rules(t.Context(), "moved"))); n != 1 {
				t.Errorf("it has %d rules, want the one from before", n)
			}
			bindings := must[[]api.Binding](t)(c.ARP(t.Context(), "moved"))
			if len(bindings) != 1 || bindings[0].IP != gateway {
				t.Errorf("it answers for %+v, want its gateway alone", bindings)
			}
			p := w.addPort(c, "first", func(s *api.PortSpec) { s.Segment = "moved" })
			if want := netip.PrefixFrom(gateway.Next(), test.want.Bits()); p.IPs[0] != want {
				t.Errorf("its first port has %s, want %s", p.IPs[0], want)
			}
			if !w.has("segment has another subnet", "from=10.67.0.0/24", "to="+test.want.String()) {
				t.Errorf("the log says %s", w.log.String())
			}
			// What it had is free, as far as it has it no longer.
			_, err := c.AddSegment(t.Context(), api.SegmentSpec{Name: "after", Subnet: prefix("10.67.0.0/25")})
			if overlaps := test.want.Overlaps(prefix("10.67.0.0/25")); (err != nil) != overlaps {
				t.Errorf("another segment with its old subnet: %v", err)
			}
			shown := w.shown(c)
			w.wantShown(w.crash(), "after a restart", shown)
		})
	}
}

// TestRenumberKeepsWhatWasCounted: it is the same segment, and the rules are the same.
func TestRenumberKeepsWhatWasCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	must[api.Rule](t)(c.AddRule(t.Context(), "empty", api.RuleSpec{Action: api.RuleDeny}))
	c.lock()
	s := must[*segment](t)(c.findSegment("empty"))
	s.hits[s.record.Rules[0].ID].Words[0].Add(7)
	s.host.counts.Words[0].Add(9)
	c.unlock()
	w.updateSegment(c, "empty", api.SegmentUpdate{Subnet: new(prefix("10.1.0.0/24"))})
	if r := must[[]api.Rule](t)(c.Rules(t.Context(), "empty"))[0]; r.Hits != 7 {
		t.Errorf("its rule has %d hits, want 7", r.Hits)
	}
	if got := must[api.Segment](t)(c.Segment(t.Context(), "empty")).HostLink.Counters.RxFrames; got != 9 {
		t.Errorf("its host link has counted %d frames, want 9", got)
	}
}

// TestRenumberOfAPoolsSegment is refused: the subnet is the pool's.
func TestRenumberOfAPoolsSegment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := must[api.Pool](t)(c.AddPool(t.Context(), api.PoolSpec{Subnet: prefix("10.1.0.0/24")}))
	must[api.Segment](t)(c.AddSegmentOver(t.Context(), p.ID, api.SegmentSpec{Name: "over"}))
	w.refused(c, "another subnet", func() error {
		_, err := c.UpdateSegment(t.Context(), "over", api.SegmentUpdate{Subnet: new(prefix("10.2.0.0/24"))})
		return err
	}, api.Conflict, `"over"`, "pool", "10.1.0.0/24")
	must[api.Pool](t)(c.DeletePool(t.Context(), p.ID))
	if s := w.updateSegment(c, "over", api.SegmentUpdate{Subnet: new(prefix("10.2.0.0/24"))}); s.Subnet != prefix("10.2.0.0/24") {
		t.Errorf("once the pool is gone, it is %+v", s)
	}
}

// TestRenumberToWhatTheHostHas is refused, and the segment has its old subnet and host link.
func TestRenumberToWhatTheHostHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	k := routedKernel{
		Kernel: w.Kernel(), taken: prefix("10.1.0.0/24"), conflict: "route 10.0.0.0/8 via eth0",
	}
	w.on(c, k)
	move := func() error {
		_, err := c.UpdateSegment(t.Context(), "empty", api.SegmentUpdate{Subnet: new(prefix("10.1.0.0/24"))})
		return err
	}
	w.refused(c, "the host's subnet", move, api.Conflict, "10.1.0.0/24", k.conflict)
	s := must[api.Segment](t)(c.Segment(t.Context(), "empty"))
	if s.HostLink.State != api.PortUp || !slices.Contains(w.AllLinks(), "own/"+s.HostLink.Name) {
		t.Errorf("its host link is %+v", s.HostLink)
	}
	k.conflict, k.err = "", errors.New("no answer")
	w.on(c, k)
	w.refused(c, "a subnet while the kernel does not answer", move, api.Internal, "no answer")
	w.on(c, w.Kernel())
	if err := move(); err != nil {
		t.Errorf("once nothing is in the way: %v", err)
	}
}

// TestRenumberOfTheDefaultSegment, which needs no host link.
func TestRenumberOfTheDefaultSegment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.FailCall("create vs-", errors.New("out of paper"))
	s := w.updateSegment(c, "", api.SegmentUpdate{Subnet: new(prefix("10.1.0.0/24"))})
	if s.Name != api.DefaultSegment || s.Subnet != prefix("10.1.0.0/24") || !strings.Contains(s.HostLink.Reason, "out of paper") {
		t.Errorf("it is %+v", s)
	}
	if p := w.addPort(c, "a"); p.IPs[0] != prefix("10.1.0.2/24") {
		t.Errorf("its port is %+v", p)
	}
}
