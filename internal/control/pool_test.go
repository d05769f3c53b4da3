package control

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
)

// addPool adds a pool.
func (w *world) addPool(c *Control, subnet string) api.Pool {
	w.Helper()
	p, err := c.AddPool(w.Context(), api.PoolSpec{Subnet: prefix(subnet)})
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// addOver adds a segment over a pool.
func (w *world) addOver(c *Control, p api.Pool, name string) api.Segment {
	w.Helper()
	s, err := c.AddSegmentOver(w.Context(), p.ID, api.SegmentSpec{Name: name})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// lease leases an address, any that is free for the empty string.
func (w *world) lease(c *Control, p api.Pool, want string) netip.Prefix {
	w.Helper()
	var a netip.Addr
	if want != "" {
		a = addr(want)
	}
	got, err := c.Lease(w.Context(), p.ID, a)
	if err != nil {
		w.Fatal(err)
	}
	return got
}

// onWith has addPort make a port with that address on a segment.
func onWith(segment, a string) func(*api.PortSpec) {
	return func(s *api.PortSpec) {
		s.Segment = segment
		if a != "" {
			s.IP.Addr = addr(a)
		}
	}
}

func TestAddPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	first := must[api.Pool](t)(c.AddPool(t.Context(), api.PoolSpec{}))
	if first.Subnet != prefix("172.17.1.0/24") || first.Gateway != addr("172.17.1.1") || first.Leases != 0 || first.Segment != "" {
		t.Errorf("it is %+v", first)
	}
	ranged := must[api.Pool](t)(c.AddPool(t.Context(), api.PoolSpec{
		Subnet: prefix("10.1.0.0/16"), IPRange: prefix("10.1.7.0/24"),
	}))
	if got := w.lease(c, ranged, ""); got != prefix("10.1.7.1/16") {
		t.Errorf("the first address of the range is %s", got)
	}
	if got := w.lease(c, ranged, "10.1.200.1"); got != prefix("10.1.200.1/16") {
		t.Errorf("an address outside the range was leased as %s", got)
	}
	for name, test := range map[string]struct {
		spec  api.PoolSpec
		kind  api.Kind
		parts []string
	}{
		"another pool's subnet": {api.PoolSpec{Subnet: prefix("10.1.0.0/16")}, api.Conflict, []string{"10.1.0.0/16"}},
		"a segment's subnet":    {api.PoolSpec{Subnet: prefix("172.17.0.0/24")}, api.Conflict, []string{"172.17.0.0/24"}},
		"an IPv6 subnet":        {api.PoolSpec{Subnet: prefix("fd00::/64")}, api.Invalid, []string{"fd00::/64", "IPv6"}},
		"host bits":             {api.PoolSpec{Subnet: prefix("10.2.0.1/16")}, api.Invalid, []string{"10.2.0.1/16"}},
		"a range outside":       {api.PoolSpec{Subnet: prefix("10.2.0.0/16"), IPRange: prefix("10.3.0.0/24")}, api.Invalid, []string{"10.3.0.0/24"}},
		"a range alone":         {api.PoolSpec{IPRange: prefix("10.3.0.0/24")}, api.Invalid, []string{"10.3.0.0/24"}},
	} {
		w.refused(c, "a pool of "+name, func() error {
			_, err := c.AddPool(t.Context(), test.spec)
			return err
		}, test.kind, test.parts...)
	}
	before := w.shown(c)
	c = w.crash()
	w.wantShown(c, "after a restart", before)
	if got := w.lease(c, ranged, ""); got != prefix("10.1.7.2/16") {
		t.Errorf("after a restart the next address of the range is %s", got)
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/29")
	for _, want := range []string{"10.1.0.2/29", "10.1.0.3/29"} {
		if got := w.lease(c, p, ""); got != prefix(want) {
			t.Errorf("leased %s, want %s", got, want)
		}
	}
	w.lease(c, p, "10.1.0.5")
	lease := func(id, want string) func() error {
		return func() error {
			var a netip.Addr
			if want != "" {
				a = addr(want)
			}
			_, err := c.Lease(t.Context(), id, a)
			return err
		}
	}
	w.refused(c, "an address that is leased", lease(p.ID, "10.1.0.5"), api.Conflict, "10.1.0.5", "in use")
	w.refused(c, "the gateway's", lease(p.ID, "10.1.0.1"), api.Conflict, "10.1.0.1", "gateway")
	w.refused(c, "the broadcast address", lease(p.ID, "10.1.0.7"), api.Conflict, "10.1.0.7", "broadcast")
	w.refused(c, "an address outside", lease(p.ID, "10.2.0.1"), api.Invalid, "10.2.0.1", "10.1.0.0/29")
	w.refused(c, "an IPv6 address", lease(p.ID, "fd00::1"), api.Invalid, "fd00::1")
	w.refused(c, "an address with a zone", lease(p.ID, "fe80::1%eth0"), api.Invalid, "fe80::1%eth0")
	w.refused(c, "an address of a pool that there is not", lease("none", ""), api.NotFound, `"none"`)
	w.refused(c, "one of a pool by a part of its id", lease(p.ID[:12], ""), api.NotFound, p.ID[:12])
	w.lease(c, p, "")
	w.lease(c, p, "::ffff:10.1.0.6")
	w.refused(c, "one address too many", lease(p.ID, ""), api.Exhausted, "10.1.0.0/29", "full")

	release := func(id, a string) func() error {
		return func() error { return c.Release(t.Context(), id, addr(a)) }
	}
	w.refused(c, "the end of what is not leased", release(p.ID, "10.1.0.200"), api.NotFound, "10.1.0.200")
	w.refused(c, "the end of a lease of no pool", release("none", "10.1.0.5"), api.NotFound, `"none"`)
	for _, a := range []string{"10.1.0.1", "10.1.0.3", "::ffff:10.1.0.5"} { // the gateway's stays
		if err := release(p.ID, a)(); err != nil {
			t.Errorf("release %s: %v", a, err)
		}
	}
	w.refused(c, "its end again", release(p.ID, "10.1.0.3"), api.NotFound, "10.1.0.3")
	if got := w.lease(c, p, ""); got != prefix("10.1.0.3/29") {
		t.Errorf("the address that was released first is not next, but %s", got)
	}
	if got := must[[]api.Pool](t)(c.Pools(t.Context())); len(got) != 1 || got[0].Leases != 4 {
		t.Errorf("the pools are %+v", got)
	}
	c = w.crash()
	for _, a := range []string{"10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.6"} {
		_, err := c.Lease(t.Context(), p.ID, addr(a))
		wantRefused(t, a+" after a restart", err, api.Conflict, a)
	}
	if got := w.lease(c, p, ""); got != prefix("10.1.0.5/29") {
		t.Errorf("after a restart the one that is left is %s", got)
	}
}

// TestTooManyLeases: the number of a pool's leases is bounded, and the error says that it is that.
func TestTooManyLeases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := model.Pool{ID: strings.Repeat("a", 64), Subnet: model.Subnet{
		Prefix: prefix("10.0.0.0/8"), Gateway: addr("10.0.0.1"), Range: prefix("10.0.0.0/8"),
	}}
	for a := addr("10.1.0.0"); len(p.Leases) < model.MaxLeases-1; a = a.Next() {
		p.Leases = append(p.Leases, a)
	}
	var err error
	if w.State, _, err = w.State.With(model.PutPool(p)); err != nil {
		t.Fatal(err)
	}
	c := w.start()
	last := w.lease(c, api.Pool{ID: p.ID}, "")
	w.refused(c, "one lease too many", func() error {
		_, err := c.Lease(t.Context(), p.ID, netip.Addr{})
		return err
	}, api.Exhausted, "10.0.0.0/8", "50000 leases")
	if err := c.Release(t.Context(), p.ID, last.Addr()); err != nil {
		t.Fatal(err)
	}
	if got := w.lease(c, api.Pool{ID: p.ID}, "10.200.0.1"); got != prefix("10.200.0.1/8") {
		t.Errorf("with one less, %s is leased", got)
	}
}

func TestLeaseGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	w.lease(c, p, "10.1.0.9")
	move := func(id, want string) (netip.Prefix, error) {
		var a netip.Addr
		if want != "" {
			a = addr(want)
		}
		return c.LeaseGateway(t.Context(), id, a)
	}
	refuse := func(id, want string, kind api.Kind, parts ...string) {
		t.Helper()
		w.refused(c, "the gateway "+want, func() error { _, err := move(id, want); return err }, kind, parts...)
	}
	refuse(p.ID, "10.1.0.9", api.Conflict, "10.1.0.9", "in use")
	refuse(p.ID, "10.1.0.255", api.Conflict, "10.1.0.255", "broadcast")
	refuse(p.ID, "10.2.0.1", api.Invalid, "10.2.0.1")
	refuse(p.ID, "fd00::1", api.Invalid, "fd00::1")
	refuse("none", "10.1.0.1", api.NotFound, `"none"`)
	for _, test := range []struct{ want, got string }{
		{"", "10.1.0.1/24"},
		{"10.1.0.1", "10.1.0.1/24"},
		{"10.1.0.254", "10.1.0.254/24"},
		{"", "10.1.0.254/24"},
		{"::ffff:10.1.0.200", "10.1.0.200/24"},
		{"::ffff:10.1.0.200", "10.1.0.200/24"},
	} {
		if got, err := move(p.ID, test.want); err != nil || got != prefix(test.got) {
			t.Errorf("with %q the gateway is %s, %v; want %s", test.want, got, err, test.got)
		}
	}
	// Its old ones are free, and it stays what it is.
	w.lease(c, p, "10.1.0.1")
	w.lease(c, p, "10.1.0.254")
	c = w.crash()
	if got, err := move(p.ID, ""); err != nil || got != prefix("10.1.0.200/24") {
		t.Errorf("after a restart it is %s, %v", got, err)
	}
	w.Plan(1, 0)
	refuse(p.ID, "10.1.0.100", api.Internal, "10.1.0.100", kerneltest.ErrStep.Error())
	w.Plan(0, 0)
	w.lease(c, p, "10.1.0.100") // which the move that failed has not taken
	s := w.addOver(c, p, "over")
	if s.Gateway != "10.1.0.200" {
		t.Errorf("the segment over it has the gateway %s", s.Gateway)
	}
	refuse(p.ID, "10.1.0.1", api.Conflict, `"over"`, "10.1.0.200")
	if got, err := move(p.ID, "10.1.0.200"); err != nil || got != prefix("10.1.0.200/24") {
		t.Errorf("the gateway that it has: %s, %v", got, err)
	}
}

func TestEndOfAPoolWithoutASegment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	w.lease(c, p, "")
	must[api.Pool](t)(c.DeletePool(t.Context(), p.ID))
	w.addSegment(c, api.SegmentSpec{Name: "n", Subnet: prefix("10.1.0.0/24")})
	if p := w.addPort(c, "a", onWith("n", "10.1.0.2")); p.State != api.PortUp {
		t.Errorf("it is %+v", p)
	}
}

// TestReclaimPool: an administrator ends a pool that Docker has forgotten, unless it is in use.
func TestReclaimPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p, q := w.addPool(c, "10.1.0.0/24"), w.addPool(c, "10.2.0.0/24")
	w.addOver(c, p, "over")
	reclaim := func(ref string) func() error {
		return func() error { _, err := c.ReclaimPool(t.Context(), ref); return err }
	}
	w.refused(c, "a pool in use", reclaim(p.ID), api.Conflict, "10.1.0.0/24", `"over"`)
	w.refused(c, "a pool in use, by its subnet", reclaim("10.1.0.0/24"), api.Conflict, `"over"`)
	w.refused(c, "a pool that there is not", reclaim("10.3.0.0/24"), api.NotFound, `"10.3.0.0/24"`, "list-pools")
	w.refused(c, "none", reclaim(""), api.NotFound)
	for _, ref := range []func(api.Pool) string{
		func(p api.Pool) string { return p.Subnet.String() },
		func(p api.Pool) string { return p.ID },
		func(p api.Pool) string { return p.ID[:20] },
	} {
		if got := must[api.Pool](t)(c.ReclaimPool(t.Context(), ref(q))); got.ID != q.ID {
			t.Errorf("%s: reclaimed %+v", ref(q), got)
		}
		q = w.addPool(c, "10.3.0.0/24")
	}
	must[api.Segment](t)(c.DeleteSegment(t.Context(), "over", false))
	must[api.Pool](t)(c.ReclaimPool(t.Context(), "10.1.0.0/24"))
	if !w.has("pool removed", "subnet=10.1.0.0/24") {
		t.Errorf("the log says %s", w.log.String())
	}
}
