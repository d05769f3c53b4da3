package control

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"vswitch/api"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// operations are changes, each with what it needs to be there before.
var operations = []struct {
	name string
	do   func(w *world, c *Control) error
}{
	{"add segment", func(w *world, c *Control) error {
		_, err := c.AddSegment(w.Context(), api.SegmentSpec{Name: "new"})
		return err
	}},
	{"rename segment", func(w *world, c *Control) error {
		_, err := c.UpdateSegment(w.Context(), "lab", api.SegmentUpdate{Name: new("renamed")})
		return err
	}},
	{"renumber segment", func(w *world, c *Control) error {
		_, err := c.UpdateSegment(w.Context(), "empty", api.SegmentUpdate{Subnet: new(prefix("10.77.0.0/24"))})
		return err
	}},
	{"delete segment with its ports", func(w *world, c *Control) error {
		_, err := c.DeleteSegment(w.Context(), "lab", true)
		return err
	}},
	{"add port", func(w *world, c *Control) error {
		_, err := c.AddPort(w.Context(), api.PortSpec{Name: "new", NetNS: "fresh", ResolvConf: true})
		return err
	}},
	{"add port that others manage", func(w *world, c *Control) error {
		_, err := c.AddPort(w.Context(), api.PortSpec{Name: "new", Handover: true})
		return err
	}},
	{"change port", func(w *world, c *Control) error {
		_, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{
			Name: new("renamed"), MAC: new(api.MAC{2, 0, 0, 0, 0, 9}), Isolated: new(true),
			Labels: map[string]*string{"role": new("db")},
		})
		return err
	}},
	{"give port another address", func(w *world, c *Control) error {
		_, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{IP: new(addr("172.17.0.20")), Name: new("renamed")})
		return err
	}},
	{"delete port", func(w *world, c *Control) error {
		_, err := c.DeletePort(w.Context(), "a")
		return err
	}},
	{"publish", func(w *world, c *Control) error {
		_, err := c.Publish(w.Context(), "b", api.PublishSpec{
			HostPorts: api.PortRange{First: 90, Last: 90}, Ports: api.PortRange{First: 80, Last: 80},
		})
		return err
	}},
	{"unpublish", func(w *world, c *Control) error {
		_, err := c.Unpublish(w.Context(), "a", api.PublishedKey{
			HostPorts: api.PortRange{First: 8080, Last: 8080}, Protocol: api.ProtocolTCP,
		})
		return err
	}},
	{"add rule", func(w *world, c *Control) error {
		_, err := c.AddRule(w.Context(), "bridge", api.RuleSpec{Action: api.RuleDeny, From: api.RuleEnd{Port: "b"}})
		return err
	}},
	{"delete rule", func(w *world, c *Control) error {
		rules, err := c.Rules(w.Context(), "bridge")
		if err == nil {
			_, err = c.DeleteRule(w.Context(), "bridge", rules[0].ID)
		}
		return err
	}},
	{"add static entry", func(w *world, c *Control) error {
		_, err := c.AddFDB(w.Context(), "bridge", api.FDBSpec{MAC: api.MAC{2, 0, 0, 0, 0, 8}, Port: "b"})
		return err
	}},
	{"delete static entry", func(w *world, c *Control) error {
		_, err := c.DeleteFDB(w.Context(), "bridge", api.MAC{2, 0, 0, 0, 0, 7})
		return err
	}},
	{"add pool", func(w *world, c *Control) error {
		_, err := c.AddPool(w.Context(), api.PoolSpec{Subnet: prefix("10.88.0.0/24")})
		return err
	}},
	{"lease", func(w *world, c *Control) error {
		pools, err := c.Pools(w.Context())
		if err == nil {
			_, err = c.Lease(w.Context(), pools[0].ID, addr("10.99.0.50"))
		}
		return err
	}},
}

// furnish puts something of everything into the world.
func (w *world) furnish(c *Control) {
	w.Helper()
	w.AddNamespace("fresh")
	steps := []error{}
	did := func(_ any, err error) { steps = append(steps, err) }
	did(c.AddSegment(w.Context(), api.SegmentSpec{Name: "lab", Subnet: prefix("10.66.0.0/24")}))
	did(c.AddSegment(w.Context(), api.SegmentSpec{Name: "empty", Subnet: prefix("10.67.0.0/24")}))
	did(c.AddPool(w.Context(), api.PoolSpec{Subnet: prefix("10.99.0.0/24")}))
	w.addPort(c, "a", func(s *api.PortSpec) { s.ResolvConf, s.Labels = true, map[string]string{"role": "web"} })
	w.addPort(c, "b")
	w.addPort(c, "x", func(s *api.PortSpec) { s.Segment = "lab" })
	w.addPort(c, "y", func(s *api.PortSpec) { s.Segment = "lab" })
	did(c.Publish(w.Context(), "a", api.PublishSpec{
		HostPorts: api.PortRange{First: 8080, Last: 8080}, Ports: api.PortRange{First: 80, Last: 80},
	}))
	did(c.AddRule(w.Context(), "bridge", api.RuleSpec{Action: api.RuleAllow, To: api.RuleEnd{Label: "role=web"}}))
	did(c.AddRule(w.Context(), "bridge", api.RuleSpec{Action: api.RuleDeny, To: api.RuleEnd{Port: "a"}}))
	did(c.AddFDB(w.Context(), "bridge", api.FDBSpec{MAC: api.MAC{2, 0, 0, 0, 0, 7}, Port: "a"}))
	for _, err := range steps {
		if err != nil {
			w.Fatal(err)
		}
	}
}

// picture is what a user sees of a Control and of the world.
type picture struct {
	Segments, Ports, Rules, Published, Entries, Pools any
	Links                                             []string
}

// see returns the picture, without what differs from one time to the next.
func (w *world) see(c *Control) picture {
	w.Helper()
	look := func(list any, err error) any {
		if err != nil {
			w.Fatal(err)
		}
		return list
	}
	ports, err := c.Ports(w.Context(), "")
	for i := range ports {
		ports[i].Counters = api.Counters{}
		ports[i].Created = ports[i].Created.Round(0)
	}
	segments, segmentsErr := c.Segments(w.Context())
	for i := range segments {
		segments[i].HostLink.Counters = api.Counters{}
	}
	rules, rulesErr := c.Rules(w.Context(), "")
	for i := range rules {
		rules[i].Since = rules[i].Since.Truncate(1 << 62)
	}
	return picture{
		Segments: look(segments, segmentsErr), Ports: look(ports, err), Rules: look(rules, rulesErr),
		Published: look(c.Published(w.Context(), "")), Entries: look(c.FDB(w.Context(), "")),
		Pools: look(c.Pools(w.Context())), Links: w.AllLinks(),
	}
}

// stepsOf returns the steps of an operation that succeeds, and what is seen before and after.
func stepsOf(t *testing.T, do func(*world, *Control) error) (steps []string) {
	t.Helper()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	w.Plan(0, 0)
	if err := do(w, c); err != nil {
		t.Fatal(err)
	}
	return w.Taken()
}

// TestAnyStepOfAChangeMayFail: whichever step of a change fails, the change is made or it is not,
// in the state, in what is shown and in the kernel alike, and can be made afterwards.
func TestAnyStepOfAChangeMayFail(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			steps := stepsOf(t, op.do)
			for i := range steps {
				t.Run(fmt.Sprintf("%d %s", i+1, steps[i]), func(t *testing.T) {
					w := newWorld(t)
					c := w.start()
					w.furnish(c)
					before, records := w.see(c), w.State.Records()
					w.Plan(i+1, 0)
					err := op.do(w, c)
					w.Plan(0, 0)
					if err == nil {
						return // it does without the step, and says so in the log
					}
					if now := w.see(c); !reflect.DeepEqual(now, before) {
						t.Errorf("it failed with %v, and there is\n%+v, where there was\n%+v", err, now, before)
					}
					if !reflect.DeepEqual(w.State.Records(), records) {
						t.Errorf("it failed with %v, and the state is another", err)
					}
					if err := op.do(w, c); err != nil {
						t.Errorf("once more: %v", err)
					}
				})
			}
		})
	}
}

// TestAProcessMayDieAtAnyStepOfAChange: whichever step of a change the process dies at, the next
// one finds the state before or the one after, makes of it what it says, and nothing else.
func TestAProcessMayDieAtAnyStepOfAChange(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			steps := stepsOf(t, op.do)
			for i := range steps {
				t.Run(fmt.Sprintf("%d %s", i+1, steps[i]), func(t *testing.T) {
					w := newWorld(t)
					c := w.start()
					w.furnish(c)
					w.Plan(0, i+1)
					_ = op.do(w, c) // nobody is there to be told
					w.Plan(0, 0)
					w.die()
					next := w.start()
					next.Settle()
					wantWhole(t, w, next)
				})
			}
		})
	}
}

// wantWhole wants each port of the state to be up with a link of its own, and no other link.
func wantWhole(t *testing.T, w *world, c *Control) {
	t.Helper()
	ports, err := c.Ports(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range ports {
		waits := p.Device != "" && p.State == api.PortDown
		if p.State != api.PortUp && !waits {
			t.Errorf("port %s is %s: %s", p.Name, p.State, p.Reason)
		}
		if waits {
			want = append(want, "own/"+p.Device)
		} else {
			want = append(want, p.NetNS+"/"+p.IfName)
		}
	}
	segments, err := c.Segments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		if s.HostLink.Name != "" {
			want = append(want, "own/"+s.HostLink.Name)
		}
	}
	slices.Sort(want)
	if got := w.AllLinks(); !slices.Equal(got, want) {
		t.Errorf("the links are %q, want %q", got, want)
	}
	if n := w.State.PortCount(); n != len(ports) {
		t.Errorf("the state has %d ports, and %d are shown", n, len(ports))
	}
}

// dies runs an operation in the middle of which the process dies.
func dies(_ *world, do func() error) { _ = do() } // nobody is there to be told
