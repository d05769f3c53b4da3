package e2e

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestSignalsStopTheDaemonCleanly(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "--stop-removes-ports")
			h.AddSegment("other")
			all := []*lab.Container{h.Attach("c1"), h.Attach("c2"), h.Attach("c3", lab.On("other"))}
			begin := time.Now()
			if code := h.End(s); code != 0 {
				t.Fatalf("exit status %d, want 0", code)
			}
			t.Logf("stopped %s after the signal", time.Since(begin).Round(time.Millisecond))
			for _, c := range all {
				if left := c.Links(); len(left) > 0 {
					t.Errorf("links left in %s: %v", c.Port.Name, left)
				}
			}
			if left := h.NS.Links(); len(left) > 0 {
				t.Errorf("links left on the host: %v", left)
			}
			if h.SocketExists() {
				t.Error("the socket is left")
			}
			h.Start()
			h.Connect(all[0], "again")
			all[0].Reaches("172.17.0.1")
		})
	}
}

func TestASecondDaemonOnASocketIsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.Attach("c")
	code, said := h.StartInVain()
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if want := "vswitchd: --socket: another vswitchd is already serving on " + h.Socket + ": stop it or choose another path\n"; said != want {
		t.Errorf("says %q, want %q", said, want)
	}
	c.Reaches("172.17.0.1")
	if h.Port("c").State != api.PortUp {
		t.Error("the first daemon's port is not up any more")
	}
}

func TestAPortOfADeletedNamespaceIsLost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	// .2 and .3 are all there is.
	h.AddSegment("small", func(s *api.SegmentSpec) {
		s.Subnet = netip.MustParsePrefix("10.1.1.0/30")
		s.Gateway = netip.MustParseAddr("10.1.1.1")
	})
	h.AddSegment("pair", func(s *api.SegmentSpec) { s.Subnet = netip.MustParsePrefix("10.1.2.0/29") })
	doomed := h.Attach("doomed", lab.On("small"))
	c1, c2 := h.Attach("c1", lab.On("pair")), h.Attach("c2", lab.On("pair"))
	h.loses("doomed", doomed.Remove)
	c1.Reaches(c2.Addr().String())

	fresh := h.Container()
	if _, err := h.Client.AddPort(t.Context(), api.PortSpec{Name: "fresh", Segment: "small", NetNS: fresh.Name()}); api.KindOf(err) != api.Exhausted {
		t.Errorf("while the lost port holds the only address: %v, want it exhausted", err)
	}
	h.DelPort("doomed")
	if p := h.Connect(fresh, "fresh", lab.On("small")); p.IPs[0] != netip.MustParsePrefix("10.1.1.2/30") {
		t.Errorf("new port has %s, want the freed 10.1.1.2/30", p.IPs[0])
	}
	fresh.Reaches("10.1.1.1")
}

func TestAPortOfADeletedLinkIsLost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.Attach("c")
	h.loses("c", func() { c.Run("ip", "link", "delete", "eth0") })
	// Somebody wanted that, so a restart does not undo it.
	h.Kill()
	h.Start()
	if p := h.Port("c"); p.State != api.PortLost || len(c.Links()) != 0 {
		t.Errorf("after a restart the port is %s, with links %v; want it lost as before", p.State, c.Links())
	}
	h.DelPort("c")
	h.Connect(c, "c")
	c.Reaches("172.17.0.1")
}

func TestAPortTakenDownCarriesNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c1, c2 := h.Attach("c1"), h.Attach("c2")
	c1.Reaches(c2.Addr().String())
	set := func(up bool) {
		t.Helper()
		if _, err := h.Client.UpdatePort(t.Context(), "c2", api.PortUpdate{Up: &up}); err != nil {
			t.Fatal(err)
		}
	}
	set(false)
	if got := h.Port("c2").State; got != api.PortDown {
		t.Errorf("state %q, want down", got)
	}
	for _, way := range []struct{ from, to *lab.Container }{{c1, c2}, {c2, c1}} {
		if r := way.from.Ping(way.to.Addr().String(), "-W", "0.5"); r.Received != 0 {
			t.Errorf("a ping from %s passes while c2 is down:\n%s", way.from.Port.Name, r.Output)
		}
	}
	h.AwaitDrops("c2", "port-down", 1)
	h.AwaitDrops("c2", "link-down", 1)
	set(true)
	c1.Reaches(c2.Addr().String())
	c2.Reaches(c1.Addr().String())
}

func TestARenamedPortIsFoundByItsNewNameEverywhere(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.Attach("old")
	name := "new"
	if _, err := h.Client.UpdatePort(t.Context(), "old", api.PortUpdate{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if h.Port("new").ID != c.Port.ID {
		t.Error("the new name means another port")
	}
	if _, err := h.Client.Port(t.Context(), "old"); api.KindOf(err) != api.NotFound {
		t.Errorf("the old name: %v, want it not found", err)
	}
	arp, err := h.Client.ARP(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	fdb, err := h.Client.FDB(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range arp {
		if b.IP == c.Addr() && b.Port != "new" {
			t.Errorf("list-arp has %s at %q, want new", b.IP, b.Port)
		}
	}
	for _, e := range fdb {
		if e.MAC == c.Port.MAC && e.Port != "new" {
			t.Errorf("list-fdb has %s at %q, want new", e.MAC, e.Port)
		}
	}
	c.Reaches("172.17.0.1")
}
