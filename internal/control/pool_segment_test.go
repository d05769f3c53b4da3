package control

import (
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
)

func TestAddSegmentOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	add := func(id string, spec api.SegmentSpec) func() error {
		return func() error { _, err := c.AddSegmentOver(t.Context(), id, spec); return err }
	}
	w.refused(c, "a pool that there is not", add("none", api.SegmentSpec{Name: "n"}), api.NotFound, `"none"`)
	w.refused(c, "a name that is taken", add(p.ID, api.SegmentSpec{Name: "bridge"}), api.Conflict, `"bridge"`)
	w.refused(c, "another gateway", add(p.ID, api.SegmentSpec{Name: "n", Gateway: addr("10.1.0.9")}), api.Conflict, "10.1.0.9", "10.1.0.1")
	s := must[api.Segment](t)(c.AddSegmentOver(t.Context(), p.ID, api.SegmentSpec{Name: "over", Gateway: addr("::ffff:10.1.0.1")}))
	if s.Subnet != prefix("10.1.0.0/24") || s.Gateway != "10.1.0.1" {
		t.Errorf("it is %+v", s)
	}
	w.refused(c, "a second one", add(p.ID, api.SegmentSpec{Name: "n"}), api.Conflict, `"over"`, "10.1.0.0/24")
	if got := must[[]api.Pool](t)(c.Pools(t.Context())); got[0].Segment != "over" {
		t.Errorf("the pool is %+v", got[0])
	}
	// The pool is there when the segment has gone, and has room for another.
	must[api.Segment](t)(c.DeleteSegment(t.Context(), "over", false))
	w.addOver(c, p, "next")
	before := w.shown(c)
	w.wantShown(w.crash(), "after a restart", before)
}

// TestPortsAndLeasesShareAPool: an address may be leased for a port that then has it, and is free
// once both have given it back, in whichever order.
func TestPortsAndLeasesShareAPool(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]bool{"one process": false, "one process for each step": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.start()
			p := w.addPool(c, "10.1.0.0/24")
			w.addOver(c, p, "over")
			next := func() {
				if restart {
					c = w.crash()
				}
			}
			free := func(a string, want bool) {
				t.Helper()
				next()
				_, err := c.Lease(t.Context(), p.ID, addr(a))
				if (err == nil) != want {
					t.Errorf("%s is free: %t (%v), want %t", a, err == nil, err, want)
				}
				if err == nil {
					if err := c.Release(t.Context(), p.ID, addr(a)); err != nil {
						t.Error(err)
					}
				}
			}
			w.lease(c, p, "10.1.0.5")
			next()
			if got := w.addPort(c, "a", onWith("over", "10.1.0.5")); got.IPs[0] != prefix("10.1.0.5/24") {
				t.Fatalf("it has %s", got.IPs)
			}
			next()
			w.AddNamespace("second")
			w.refused(c, "the address for a second port", func() error {
				_, err := c.AddPort(t.Context(), api.PortSpec{
					Name: "second", NetNS: "second", Segment: "over", IP: api.PortIP{Addr: addr("10.1.0.5")},
				})
				return err
			}, api.Conflict, "10.1.0.5")
			// The port gives it back first.
			must[api.Port](t)(c.DeletePort(t.Context(), "a"))
			free("10.1.0.5", false)
			if err := c.Release(t.Context(), p.ID, addr("10.1.0.5")); err != nil {
				t.Fatal(err)
			}
			free("10.1.0.5", true)
			// The lease ends first.
			w.lease(c, p, "10.1.0.6")
			w.addPort(c, "b", onWith("over", "10.1.0.6"))
			next()
			if err := c.Release(t.Context(), p.ID, addr("10.1.0.6")); err != nil {
				t.Fatal(err)
			}
			free("10.1.0.6", false)
			must[api.Port](t)(c.DeletePort(t.Context(), "b"))
			free("10.1.0.6", true)
			// A port alone.
			w.addPort(c, "d", onWith("over", "10.1.0.7"))
			free("10.1.0.7", false)
			must[api.Port](t)(c.DeletePort(t.Context(), "d"))
			free("10.1.0.7", true)
			// A port that cannot be added leaves the lease as it was.
			w.lease(c, p, "10.1.0.8")
			w.FailCall("create vst-", kerneltest.ErrStep)
			_, err := c.AddPort(t.Context(), api.PortSpec{
				Name: "second", NetNS: "second", Segment: "over", IP: api.PortIP{Addr: addr("10.1.0.8")},
			})
			wantRefused(t, "a port", err, api.Internal, kerneltest.ErrStep.Error())
			w.FailCall("create vst-", nil)
			free("10.1.0.8", false)
			w.addPort(c, "second", onWith("over", "10.1.0.8"))
			if w.has("level=ERROR") {
				t.Errorf("the log says %s", w.log.String())
			}
		})
	}
}

// TestEndOfAPool: a segment over it keeps the subnet, and its ports their addresses.
func TestEndOfAPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	w.addOver(c, p, "over")
	w.lease(c, p, "10.1.0.5")
	w.lease(c, p, "10.1.0.6")
	w.addPort(c, "a", onWith("over", "::ffff:10.1.0.5"))
	w.addPort(c, "b", onWith("over", "10.1.0.7"))
	end := func(id string) func() error {
		return func() error { _, err := c.DeletePool(t.Context(), id); return err }
	}
	w.refused(c, "the end of a pool that there is not", end("none"), api.NotFound, `"none"`)
	w.Plan(1, 0)
	w.refused(c, "the end of a pool on a disk that is full", end(p.ID), api.Internal, "10.1.0.0/24", kerneltest.ErrStep.Error())
	w.Plan(0, 0)
	gone := must[api.Pool](t)(c.DeletePool(t.Context(), p.ID))
	if gone.Leases != 2 || gone.Segment != "over" || gone.Subnet != p.Subnet {
		t.Errorf("what ended was %+v", gone)
	}
	if list := must[[]api.Pool](t)(c.Pools(t.Context())); len(list) > 0 {
		t.Errorf("the pools are %+v", list)
	}
	w.refused(c, "its end again", end(p.ID), api.NotFound, p.ID)
	for i := range 2 { // the next process finds the same
		for name, want := range map[string]string{"a": "10.1.0.5/24", "b": "10.1.0.7/24"} {
			if got := must[api.Port](t)(c.Port(t.Context(), name)); got.IPs[0] != prefix(want) || got.State != api.PortUp {
				t.Errorf("process %d: port %s is %+v, want %s", i+1, name, got, want)
			}
		}
		w.refused(c, "its subnet", func() error {
			_, err := c.AddPool(t.Context(), api.PoolSpec{Subnet: prefix("10.1.0.0/24")})
			return err
		}, api.Conflict, "10.1.0.0/24")
		for _, a := range []string{"10.1.0.5", "10.1.0.7"} {
			w.AddNamespace("taken")
			w.refused(c, "a port's address", func() error {
				_, err := c.AddPort(t.Context(), api.PortSpec{Name: "n", NetNS: "taken", Segment: "over", IP: api.PortIP{Addr: addr(a)}})
				return err
			}, api.Conflict, a)
		}
		c = w.crash()
	}
	w.addPort(c, "d", onWith("over", "10.1.0.6")) // what was leased to nobody is free
	must[api.Port](t)(c.DeletePort(t.Context(), "a"))
	w.addPort(c, "e", onWith("over", "10.1.0.5"))
	must[api.Segment](t)(c.DeleteSegment(t.Context(), "over", true))
	w.addPool(c, "10.1.0.0/24")
	if w.has("level=ERROR") {
		t.Errorf("the log says %s", w.log.String())
	}
}

// TestLeasesOnADiskThatIsFull are neither given nor ended.
func TestLeasesOnADiskThatIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	w.lease(c, p, "10.1.0.5")
	w.Plan(1, 0)
	w.refused(c, "a lease", func() error {
		_, err := c.Lease(t.Context(), p.ID, addr("10.1.0.6"))
		return err
	}, api.Internal, "10.1.0.6", kerneltest.ErrStep.Error())
	w.Plan(1, 0)
	w.refused(c, "the end of a lease", func() error {
		return c.Release(t.Context(), p.ID, addr("10.1.0.5"))
	}, api.Internal, "10.1.0.5", kerneltest.ErrStep.Error())
	w.Plan(0, 0)
	_, err := c.Lease(t.Context(), p.ID, addr("10.1.0.5"))
	wantRefused(t, "what is leased still", err, api.Conflict, "10.1.0.5")
	w.lease(c, p, "10.1.0.6")
}
