package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
)

// addSegment adds one.
func (w *world) addSegment(c *Control, spec api.SegmentSpec) api.Segment {
	w.Helper()
	s, err := c.AddSegment(w.Context(), spec)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func TestAddSegment(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ab", 32)
	for name, test := range map[string]struct {
		spec api.SegmentSpec
		want api.Segment
	}{
		"with a name alone": {
			api.SegmentSpec{Name: "new"},
			api.Segment{Subnet: prefix("172.17.1.0/24"), Gateway: "172.17.1.1", Uplink: "host", MTU: 1500},
		},
		"with everything": {
			api.SegmentSpec{
				Name: "new", ID: id, Subnet: prefix("10.1.0.0/16"), Gateway: addr("10.1.255.254"),
				IPRange: prefix("10.1.2.0/24"), MTU: 9000, Uplink: api.UplinkHost,
				Labels: map[string]string{"a": "b"},
			},
			api.Segment{
				ID: id, Subnet: prefix("10.1.0.0/16"), Gateway: "10.1.255.254", IPRange: "10.1.2.0/24",
				Uplink: "host", MTU: 9000, Labels: map[string]string{"a": "b"},
			},
		},
		"internal": {
			api.SegmentSpec{Name: "new", Internal: true},
			api.Segment{Subnet: prefix("172.17.1.0/24"), Gateway: "172.17.1.1", Uplink: "none", MTU: 1500, Internal: true},
		},
		"without uplink": {
			api.SegmentSpec{Name: "new", Uplink: api.UplinkNone},
			api.Segment{Subnet: prefix("172.17.1.0/24"), Gateway: "172.17.1.1", Uplink: "none", MTU: 1500},
		},
		"of the smallest subnet that there is": {
			api.SegmentSpec{Name: "new", Subnet: prefix("10.1.0.0/30")},
			api.Segment{Subnet: prefix("10.1.0.0/30"), Gateway: "10.1.0.1", Uplink: "host", MTU: 1500},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.start()
			got := w.addSegment(c, test.spec)
			if test.spec.ID == "" && (len(got.ID) != 64 || got.ID == id) {
				t.Errorf("its id is %q", got.ID)
			}
			if got.Created.IsZero() || got.Ports != 0 {
				t.Errorf("it was made at %s and has %d ports", got.Created, got.Ports)
			}
			if (got.HostLink.Name != "") != (test.want.Uplink == api.UplinkHost) {
				t.Errorf("its host link is %q", got.HostLink.Name)
			}
			if got.HostLink.Name != "" && !slices.Contains(w.AllLinks(), "own/"+got.HostLink.Name) {
				t.Errorf("its host link is not among %q", w.AllLinks())
			}
			want := test.want
			want.Name, want.Driver, want.Scope, want.Created = "new", "vswitch", "local", got.Created
			want.HostLink, want.ID = got.HostLink, got.ID
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if !w.has("level=INFO", "segment added", "segment=new", got.Subnet.String()) {
				t.Errorf("the log says %s", w.log.String())
			}
			again := must[api.Segment](t)(w.crash().Segment(t.Context(), "new"))
			again.HostLink.Counters, got.HostLink.Counters = api.Counters{}, api.Counters{}
			again.Created, got.Created = got.Created.Round(0), got.Created.Round(0)
			if fmt.Sprint(again) != fmt.Sprint(got) {
				t.Errorf("after a restart it is\n%+v, and was\n%+v", again, got)
			}
		})
	}
}

func TestAddSegmentRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	lab := must[api.Segment](t)(c.Segment(t.Context(), "lab"))
	for name, test := range map[string]struct {
		spec  api.SegmentSpec
		kind  api.Kind
		parts []string
	}{
		"a name that is taken":    {api.SegmentSpec{Name: "lab"}, api.Conflict, []string{`"lab"`, "already exists"}},
		"the default one's name":  {api.SegmentSpec{Name: "bridge"}, api.Conflict, []string{`"bridge"`}},
		"an id that is taken":     {api.SegmentSpec{Name: "n", ID: lab.ID}, api.Conflict, []string{lab.ID}},
		"a subnet that is taken":  {api.SegmentSpec{Name: "n", Subnet: prefix("10.66.0.0/24")}, api.Conflict, []string{"10.66.0.0/24", "overlaps"}},
		"a part of one":           {api.SegmentSpec{Name: "n", Subnet: prefix("10.66.0.128/25")}, api.Conflict, []string{"10.66.0.128/25"}},
		"more than one":           {api.SegmentSpec{Name: "n", Subnet: prefix("10.66.0.0/15")}, api.Conflict, []string{"10.66.0.0/15"}},
		"a pool's subnet":         {api.SegmentSpec{Name: "n", Subnet: prefix("10.99.0.0/24")}, api.Conflict, []string{"10.99.0.0/24"}},
		"an IPv6 subnet":          {api.SegmentSpec{Name: "n", Subnet: prefix("fd00::/64")}, api.Invalid, []string{"fd00::/64", "IPv6"}},
		"a subnet with host bits": {api.SegmentSpec{Name: "n", Subnet: prefix("10.1.0.5/16")}, api.Invalid, []string{"10.1.0.5/16"}},
		"one host and no gateway": {api.SegmentSpec{Name: "n", Subnet: prefix("10.1.0.0/32")}, api.Invalid, []string{"10.1.0.0/32", "internal"}},
		"link-local of IPv6":      {api.SegmentSpec{Name: "n", Subnet: prefix("fe80::/64")}, api.Invalid, []string{"fe80::/64"}},
		"everything":              {api.SegmentSpec{Name: "n", Subnet: prefix("0.0.0.0/0")}, api.Invalid, []string{"0.0.0.0/0"}},
		"multicast":               {api.SegmentSpec{Name: "n", Subnet: prefix("224.0.0.0/24")}, api.Invalid, []string{"224.0.0.0/24"}},
		"a gateway outside": {
			api.SegmentSpec{Name: "n", Subnet: prefix("10.1.0.0/16"), Gateway: addr("10.2.0.1")}, api.Invalid, []string{"10.2.0.1"},
		},
		"the broadcast address as gateway": {
			api.SegmentSpec{Name: "n", Subnet: prefix("10.1.0.0/16"), Gateway: addr("10.1.255.255")}, api.Invalid, []string{"10.1.255.255", "broadcast"},
		},
		"a range outside": {
			api.SegmentSpec{Name: "n", Subnet: prefix("10.1.0.0/16"), IPRange: prefix("10.2.0.0/24")}, api.Invalid, []string{"10.2.0.0/24"},
		},
		"a range without a subnet": {api.SegmentSpec{Name: "n", IPRange: prefix("10.2.0.0/24")}, api.Invalid, []string{"10.2.0.0/24"}},
	} {
		w.refused(c, name, func() error {
			_, err := c.AddSegment(t.Context(), test.spec)
			return err
		}, test.kind, test.parts...)
	}
	w.refused(c, "a gateway where there is no room", func() error {
		_, err := c.AddSegment(t.Context(), api.SegmentSpec{
			Name: "n", Subnet: prefix("10.1.0.0/32"), Gateway: addr("10.1.0.0"), Internal: true,
		})
		return err
	}, api.Invalid, "10.1.0.0/32", "gateway")
	// What was refused took nothing: the next subnet is the first that is free.
	if s := w.addSegment(c, api.SegmentSpec{Name: "n"}); s.Subnet != prefix("172.17.1.0/24") {
		t.Errorf("the next segment has %s", s.Subnet)
	}
}

func TestSubnetsStayClearOfTheHostsRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	k := routedKernel{Kernel: w.Kernel(), prefixes: []netip.Prefix{
		prefix("0.0.0.0/0"), prefix("172.17.1.0/25"), prefix("172.17.2.7/32"),
	}}
	w.on(c, k)
	if s := w.addSegment(c, api.SegmentSpec{Name: "clear"}); s.Subnet != prefix("172.17.3.0/24") {
		t.Errorf("its subnet is %s, where the host has routes to others", s.Subnet)
	}
	k.taken, k.conflict = prefix("10.1.0.0/16"), "route 10.0.0.0/8 via eth0"
	w.on(c, k)
	w.refused(c, "a subnet of the host's", func() error {
		_, err := c.AddSegment(t.Context(), api.SegmentSpec{Name: "n", Subnet: prefix("10.1.0.0/16")})
		return err
	}, api.Conflict, "10.1.0.0/16", k.conflict, "uplink none")
	w.addSegment(c, api.SegmentSpec{Name: "apart", Subnet: prefix("10.1.0.0/16"), Uplink: api.UplinkNone})
	k.taken, k.err = netip.Prefix{}, errors.New("no answer")
	w.on(c, k)
	w.refused(c, "a segment while the kernel does not answer", func() error {
		_, err := c.AddSegment(t.Context(), api.SegmentSpec{Name: "n"})
		return err
	}, api.Internal, "no answer")
	w.refused(c, "a pool while the kernel does not answer", func() error {
		_, err := c.AddPool(t.Context(), api.PoolSpec{})
		return err
	}, api.Internal, "no answer")
}

// TestAddSegmentWithoutItsHostLink: a segment whose uplink cannot be made is not made, and the
// error says why.
func TestAddSegmentWithoutItsHostLink(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		kind api.Kind
	}{
		{fs.ErrNotExist, api.Unsupported},
		{fs.ErrPermission, api.Denied},
		{fs.ErrExist, api.Conflict},
		{errors.New("out of paper"), api.Internal},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.start()
			w.FailCall("create vs-", fmt.Errorf("create it: %w", test.err))
			spec := api.SegmentSpec{Name: "new", Subnet: prefix("10.1.0.0/16")}
			add := func() error { _, err := c.AddSegment(t.Context(), spec); return err }
			w.refused(c, "a segment", add, test.kind, test.err.Error())
			spec.Uplink = api.UplinkNone
			if err := add(); err != nil {
				t.Errorf("without an uplink: %v", err)
			}
		})
	}
}

// TestTheDefaultSegmentNeedsNoHostLink: it is made whatever the machine lacks, and says what.
func TestTheDefaultSegmentNeedsNoHostLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Plan(3, 0) // to store it, and to make the host link
	c := w.start()
	w.Plan(0, 0)
	s := must[api.Segment](t)(c.Segment(t.Context(), ""))
	if s.Name != api.DefaultSegment || s.HostLink.State != api.PortDown || !strings.Contains(s.HostLink.Reason, kerneltest.ErrStep.Error()) {
		t.Errorf("it is %+v, after %q", s, w.Taken())
	}
	if p := w.addPort(c, "a"); p.State != api.PortUp || p.Segment != api.DefaultSegment {
		t.Errorf("its port is %+v", p)
	}
}

// TestSegmentsWhoseIDsBeginAlike have one host link between them.
func TestSegmentsWhoseIDsBeginAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	first := w.addSegment(c, api.SegmentSpec{Name: "first", ID: strings.Repeat("a", 64)})
	w.refused(c, "an id whose first 11 digits are another's", func() error {
		_, err := c.AddSegment(t.Context(), api.SegmentSpec{Name: "second", ID: strings.Repeat("a", 63) + "b"})
		return err
	}, api.Conflict, `"second"`, "interface")
	if s := must[api.Segment](t)(c.Segment(t.Context(), "first")); s.HostLink.Name != first.HostLink.Name {
		t.Errorf("the first has the host link %q", s.HostLink.Name)
	}
	_, err := c.Segment(t.Context(), "zz")
	wantRefused(t, "an id that there is not", err, api.NotFound, `"zz"`)
}

func TestDeleteSegment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	must[api.Rule](t)(c.AddRule(t.Context(), "lab", api.RuleSpec{Action: api.RuleDeny, From: api.RuleEnd{Port: "x"}}))
	must[api.FDBEntry](t)(c.AddFDB(t.Context(), "lab", api.FDBSpec{MAC: api.MAC{2, 0, 0, 0, 0, 5}, Port: "x"}))
	remove := func(ref string, force bool) func() error {
		return func() error { _, err := c.DeleteSegment(t.Context(), ref, force); return err }
	}
	w.refused(c, "the default segment", remove("", true), api.Conflict, `"bridge"`, "default")
	w.refused(c, "the default segment by its name", remove("bridge", true), api.Conflict, `"bridge"`)
	w.refused(c, "a segment with ports", remove("lab", false), api.Conflict, `"lab" has 2 ports`, "--force")
	w.refused(c, "a segment that there is not", remove("nowhere", true), api.NotFound, `"nowhere"`)

	before := w.shown(c)
	shown := must[api.Segment](t)(c.DeleteSegment(t.Context(), "lab", true))
	if shown.Name != "lab" || shown.Ports != 2 || shown.Subnet != prefix("10.66.0.0/24") {
		t.Errorf("what ended was %+v", shown)
	}
	for _, gone := range []string{"/eth0", "vs-" + shown.ID[:11]} {
		for _, l := range w.AllLinks() {
			if l == "x"+gone || l == "y"+gone || l == "own/"+gone {
				t.Errorf("the link %s is left", l)
			}
		}
	}
	if list := must[[]api.Port](t)(c.Ports(t.Context(), "")); len(list) != 2 {
		t.Errorf("%d ports are left, want those of the other segments", len(list))
	}
	if n := w.State.PortCount(); n != 2 {
		t.Errorf("%d ports are stored", n)
	}
	// All that it had is free again, for another of the same name.
	w.addSegment(c, api.SegmentSpec{ID: shown.ID, Name: "lab", Subnet: prefix("10.66.0.0/24")})
	for _, name := range []string{"x", "y"} {
		w.addPort(c, name, func(s *api.PortSpec) { s.Segment = "lab" })
	}
	if now := w.shown(c); strings.Count(now, "10.66.0.") != strings.Count(before, "10.66.0.") {
		t.Errorf("made again, there is\n%s\nwhere there was\n%s", now, before)
	}
	if list := must[[]api.Rule](t)(c.Rules(t.Context(), "lab")); len(list) > 0 {
		t.Errorf("made again, it has the rules %+v", list)
	}
	if !w.has("segment removed", "segment=lab") || !w.has("port removed", "port=x") {
		t.Errorf("the log says %s", w.log.String())
	}
}

// TestEndOfASegmentIsOneTransaction, however many ports it has.
func TestEndOfASegmentIsOneTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addSegment(c, api.SegmentSpec{Name: "lab"})
	for i := range 20 {
		w.addPort(c, fmt.Sprint("p", i), func(s *api.PortSpec) { s.Segment = "lab" })
	}
	w.Plan(0, 0)
	must[api.Segment](t)(c.DeleteSegment(t.Context(), "lab", true))
	stored := slices.DeleteFunc(w.Taken(), func(s string) bool { return !strings.HasPrefix(s, "store") })
	if !slices.Equal(stored, []string{"store 21 records"}) {
		t.Errorf("stored was %q", stored)
	}
}

// TestSegmentsCountTheirPorts and give addresses out until there are no more.
func TestASegmentThatIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addSegment(c, api.SegmentSpec{Name: "tiny", Subnet: prefix("10.1.0.0/29")})
	on := func(s *api.PortSpec) { s.Segment = "tiny" }
	for i := range 5 {
		want := prefix(fmt.Sprintf("10.1.0.%d/29", i+2))
		if p := w.addPort(c, fmt.Sprint("p", i), on); !slices.Equal(p.IPs, []netip.Prefix{want}) {
			t.Errorf("port %d has %s, want %s", i, p.IPs, want)
		}
	}
	w.AddNamespace("more")
	add := func() error {
		_, err := c.AddPort(t.Context(), api.PortSpec{Name: "more", NetNS: "more", Segment: "tiny"})
		return err
	}
	w.refused(c, "one port too many", add, api.Exhausted, "10.1.0.0/29", "full")
	must[api.Port](t)(c.DeletePort(t.Context(), "p3"))
	if err := add(); err != nil {
		t.Errorf("with one less: %v", err)
	}
	if s := must[api.Segment](t)(c.Segment(t.Context(), "tiny")); s.Ports != 5 {
		t.Errorf("it counts %d ports", s.Ports)
	}
	w.refused(c, "one port too many", func() error {
		_, err := c.AddPort(t.Context(), api.PortSpec{Name: "p3", NetNS: "p3", Segment: "tiny"})
		return err
	}, api.Exhausted, "full")
}

func TestPoolsOfSubnetsThatAreExhausted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start() // whose pool is 172.17.0.0/16 in parts of a /24
	w.addSegment(c, api.SegmentSpec{Name: "most", Subnet: prefix("172.17.128.0/17")})
	w.addSegment(c, api.SegmentSpec{Name: "more", Subnet: prefix("172.17.64.0/18")})
	w.addSegment(c, api.SegmentSpec{Name: "rest", Subnet: prefix("172.17.2.0/23")})
	w.on(c, routedKernel{Kernel: w.Kernel(), prefixes: []netip.Prefix{
		prefix("172.17.4.0/22"), prefix("172.17.8.0/21"), prefix("172.17.16.0/20"), prefix("172.17.32.0/19"),
	}})
	if s := w.addSegment(c, api.SegmentSpec{Name: "last"}); s.Subnet != prefix("172.17.1.0/24") {
		t.Errorf("the last block is %s", s.Subnet)
	}
	w.refused(c, "a segment", func() error {
		_, err := c.AddSegment(t.Context(), api.SegmentSpec{Name: "n"})
		return err
	}, api.Exhausted, "pool")
	w.refused(c, "a pool", func() error { _, err := c.AddPool(t.Context(), api.PoolSpec{}); return err }, api.Exhausted, "pool")
	must[api.Segment](t)(c.DeleteSegment(t.Context(), "rest", false))
	if s := w.addSegment(c, api.SegmentSpec{Name: "n"}); s.Subnet != prefix("172.17.2.0/24") {
		t.Errorf("the block that was given back is not used, but %s", s.Subnet)
	}
}

func TestOnlyIPv4IsOffered(t *testing.T) {
	t.Parallel()
	for text, offered := range map[string]bool{
		"10.0.0.0/8": true, "::ffff:10.0.0.0/104": true, "fd00::/64": false, "2001:db8::/32": false, "::/0": false,
	} {
		if err := CheckOffered(prefix(text)); (err == nil) != offered {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := CheckOffered(netip.Prefix{}); err != nil {
		t.Errorf("no prefix: %v", err)
	}
	if s := (model.Segment{}).IPv4(); s.Prefix.IsValid() {
		t.Errorf("a segment without subnets has %s", s.Prefix)
	}
}
