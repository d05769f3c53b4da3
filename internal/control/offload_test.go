package control

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
)

// plain returns which ports have devices without virtio-net header, by name.
func (w *world) plain(c *Control, names ...string) string {
	w.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []bool
	for _, name := range names {
		p, err := c.findPort(name)
		if err != nil {
			w.Fatal(err)
		}
		list = append(list, !p.lost() && p.device.HeaderLen() == 0)
	}
	return fmt.Sprint(list)
}

// TestOffload is what the port says, or else its segment, or else the daemon; a change counts for
// ports that are there, and what is set outlives the process.
func TestOffload(t *testing.T) {
	for way, end := range ways {
		t.Run(way, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				for _, name := range []string{"a", "b", "c"} {
					w.addPort(c, name, func(s *api.PortSpec) {
						if name == "b" {
							s.Offload = api.OffloadOff
						}
					})
				}
				names := []string{"a", "b", "c"}
				is := func(when, want string) {
					w.Helper()
					if got := w.plain(c, names...); got != want {
						w.Errorf("%s: ports without header are %s, want %s", when, got, want)
					}
				}
				is("as added", "[false true false]")
				before := w.AllLinks()
				w.updatePort(c, "a", api.PortUpdate{Offload: new(api.OffloadOff)})
				if got := w.updatePort(c, "b", api.PortUpdate{Offload: new(api.OffloadOn)}); got.Offload != api.OffloadOn {
					w.Errorf("b says %q", got.Offload)
				}
				is("after changes of ports", "[true false false]")
				s, err := c.UpdateSegment(w.Context(), "bridge", api.SegmentUpdate{Offload: new(api.OffloadOff)})
				w.wantNil(err)
				if s.Offload != api.OffloadOff {
					w.Errorf("the segment says %q", s.Offload)
				}
				is("after a change of the segment", "[true false true]")
				if got := w.AllLinks(); fmt.Sprint(got) != fmt.Sprint(before) {
					w.Errorf("there are links %q, where there were %q", got, before)
				}
				w.rest()
				b, err := c.Port(w.Context(), "b")
				w.wantNil(err)
				a, err := c.Port(w.Context(), "a")
				w.wantNil(err)
				w.wantPasses(w.wire(c, "a"), w.wire(c, "b"), datagram(b.MAC, a, "on"))
				w.wantPasses(w.wire(c, "b"), w.wire(c, "a"), datagram(a.MAC, b, "off"))
				c = w.restart(c, end)
				c.Settle()
				w.rest()
				is("after the restart", "[true false true]")
				w.updatePort(c, "b", api.PortUpdate{Offload: new(api.OffloadAuto)})
				is("with none of its own", "[true true true]")
				w.wantPasses(w.wire(c, "b"), w.wire(c, "a"), datagram(a.MAC, b, "auto"))
			})
		})
	}
}

// TestOffloadOfTheDaemon counts where nothing else is said.
func TestOffloadOfTheDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.adjust = func(c *core) { c.config.NoOffload = true }
	c := w.start()
	w.addSegment(c, api.SegmentSpec{Name: "lab", Offload: api.OffloadOn})
	w.addPort(c, "a")
	w.addPort(c, "x", func(s *api.PortSpec) { s.Segment = "lab" })
	w.addPort(c, "y", func(s *api.PortSpec) { s.Segment, s.Offload = "lab", api.OffloadAuto })
	if got := w.plain(c, "a", "x", "y"); got != "[true false false]" {
		t.Errorf("ports without header are %s", got)
	}
}

// TestOffloadIsFollowedAfterADeath between the setting and the device.
func TestOffloadIsFollowedAfterADeath(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		c = w.restart(c, func(w *watchedWorld, c *Control) {
			killed(w, c)
			w.adjust = func(c *core) { c.config.NoOffload = true } // all else but the device says so
		})
		c.Settle()
		w.rest()
		if got := w.plain(c, "a"); got != "[true]" {
			t.Errorf("ports without header are %s", got)
		}
		w.wantLinks("own/"+hostLinkOf(w.world, c), "a/eth0")
	})
}

// TestOffloadThatCannotBeAttached leaves the port lost until it can.
func TestOffloadThatCannotBeAttached(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		w.FailCall("attach eth0", fmt.Errorf("no memory"))
		w.updatePort(c, "a", api.PortUpdate{Offload: new(api.OffloadOff)})
		if got := w.portShown(c, "a"); got != "lost: no memory" {
			t.Errorf("the port is %q", got)
		}
		w.FailCall("attach eth0", nil)
		w.rest()
		time.Sleep(againMost)
		synctest.Wait()
		if got := w.plain(c, "a"); got != "[true]" || w.portShown(c, "a") != "up" {
			t.Errorf("it is %q, without header %s", w.portShown(c, "a"), got)
		}
	})
}
