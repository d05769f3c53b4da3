package e2e

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"vswitch/api"
)

func TestSignalsStopTheDaemonCleanly(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "--stop-removes-ports")
			h.addSegment("other")
			all := []*container{h.attach("c1"), h.attach("c2"), h.attach("c3", on("other"))}
			begin := time.Now()
			if err := h.daemon.Signal(s); err != nil {
				t.Fatal(err)
			}
			if code, err := h.daemon.Wait(); err != nil || code != 0 {
				t.Fatalf("exit status %d, %v; want 0", code, err)
			}
			t.Logf("stopped %s after the signal", time.Since(begin).Round(time.Millisecond))
			for _, c := range all {
				if left := links(c.Namespace); len(left) > 0 {
					t.Errorf("links left in %s: %v", c.port.Name, left)
				}
			}
			if left := links(h.ns); len(left) > 0 {
				t.Errorf("links left on the host: %v", left)
			}
			if h.socketThere() {
				t.Error("the socket is left")
			}
			h.start()
			h.connect(all[0], "again")
			all[0].reaches("172.17.0.1")
		})
	}
}

func TestASecondDaemonOnASocketIsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.attach("c")
	code, said := h.startInVain()
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if want := "vswitchd: --socket: another vswitchd is already serving on " + h.socket + ": stop it or choose another path\n"; said != want {
		t.Errorf("says %q, want %q", said, want)
	}
	c.reaches("172.17.0.1")
	if h.port("c").State != api.PortUp {
		t.Error("the first daemon's port is not up any more")
	}
}

func TestAPortOfADeletedNamespaceIsLost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	// .2 and .3 are all there is.
	h.addSegment("small", func(s *api.SegmentSpec) { s.Subnet = "10.1.1.0/30"; s.Gateway = "10.1.1.1" })
	h.addSegment("pair", func(s *api.SegmentSpec) { s.Subnet = "10.1.2.0/29" })
	doomed := h.attach("doomed", on("small"))
	c1, c2 := h.attach("c1", on("pair")), h.attach("c2", on("pair"))
	doomed.Remove()
	h.await("the port is lost", func() bool { return h.port("doomed").State == api.PortLost })
	c1.reaches(c2.addr().String())

	fresh := h.container()
	if _, err := h.client.AddPort(t.Context(), api.PortSpec{Name: "fresh", Segment: "small", NetNS: fresh.Name()}); api.KindOf(err) != api.Exhausted {
		t.Errorf("while the lost port holds the only address: %v, want it exhausted", err)
	}
	h.delPort("doomed")
	if p := h.connect(fresh, "fresh", on("small")); p.IPs[0] != netip.MustParsePrefix("10.1.1.2/30") {
		t.Errorf("new port has %s, want the freed 10.1.1.2/30", p.IPs[0])
	}
	fresh.reaches("10.1.1.1")
}

func TestAPortOfADeletedLinkIsLost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.attach("c")
	c.Run("ip", "link", "delete", "eth0")
	h.await("the port is lost", func() bool { return h.port("c").State == api.PortLost })
	// Somebody wanted that, so a restart does not undo it.
	h.kill()
	h.start()
	if p := h.port("c"); p.State != api.PortLost || len(links(c.Namespace)) != 0 {
		t.Errorf("after a restart the port is %s, with links %v; want it lost as before", p.State, links(c.Namespace))
	}
	h.delPort("c")
	h.connect(c, "c")
	c.reaches("172.17.0.1")
}

func TestAPortTakenDownCarriesNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c1, c2 := h.attach("c1"), h.attach("c2")
	c1.reaches(c2.addr().String())
	set := func(up bool) {
		t.Helper()
		if _, err := h.client.UpdatePort(t.Context(), "c2", api.PortUpdate{Up: &up}); err != nil {
			t.Fatal(err)
		}
	}
	set(false)
	if got := h.port("c2").State; got != api.PortDown {
		t.Errorf("state %q, want down", got)
	}
	for _, way := range []struct{ from, to *container }{{c1, c2}, {c2, c1}} {
		if r := way.from.ping(way.to.addr().String(), "-W", "0.5"); r.received != 0 {
			t.Errorf("a ping from %s passes while c2 is down:\n%s", way.from.port.Name, r.output)
		}
	}
	h.awaitDrops("c2", "port-down", 1)
	h.awaitDrops("c2", "link-down", 1)
	set(true)
	c1.reaches(c2.addr().String())
	c2.reaches(c1.addr().String())
}

func TestARenamedPortIsFoundByItsNewNameEverywhere(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.attach("old")
	name := "new"
	if _, err := h.client.UpdatePort(t.Context(), "old", api.PortUpdate{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if h.port("new").ID != c.port.ID {
		t.Error("the new name means another port")
	}
	if _, err := h.client.Port(t.Context(), "old"); api.KindOf(err) != api.NotFound {
		t.Errorf("the old name: %v, want it not found", err)
	}
	arp, err := h.client.ARP(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	fdb, err := h.client.FDB(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range arp {
		if b.IP == c.addr() && b.Port != "new" {
			t.Errorf("list-arp has %s at %q, want new", b.IP, b.Port)
		}
	}
	for _, e := range fdb {
		if e.MAC == c.port.MAC && e.Port != "new" {
			t.Errorf("list-fdb has %s at %q, want new", e.MAC, e.Port)
		}
	}
	c.reaches("172.17.0.1")
}
