package control

import (
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
)

// TestProcessOfAPortEnds: its namespace, which the port keeps alive after a restart that had no
// descriptor, ends with it.
func TestProcessOfAPortEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		when func(w *watchedWorld, c *Control) *Control // ends the process, and maybe the Control
	}{
		{"while it is watched", func(w *watchedWorld, c *Control) *Control {
			c = w.restart(c, stopped)
			c.Settle()
			w.rest()
			w.wantPortShown(c, "a", "up")
			w.EndProcess(7)
			return c
		}},
		{"before it is watched", func(w *watchedWorld, c *Control) *Control {
			c = w.restart(c, stopped)
			w.EndProcess(7)
			c.Settle()
			return c
		}},
		{"while no process was there", func(w *watchedWorld, c *Control) *Control {
			return w.restart(c, func(w *watchedWorld, c *Control) {
				stopped(w, c)
				w.EndProcess(7)
			})
		}},
		{"and another has its id", func(w *watchedWorld, c *Control) *Control {
			return w.restart(c, func(w *watchedWorld, c *Control) {
				stopped(w, c)
				w.EndProcess(7)
				w.StartProcess(7)
				w.Named["/proc/7/ns/net"].Name += " anew"
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.StartProcess(7)
				ns := w.Named["/proc/7/ns/net"]
				_, err := c.AddPort(w.Context(), api.PortSpec{Name: "a", PID: 7})
				w.wantNil(err)
				c = test.when(w, c)
				w.rest()
				w.wantPortShown(c, "a", "lost: "+lostNamespace)
				w.wantBound(c, "172.17.0.2", "")
				w.wantLog("port lost", "port=a", "netns=/proc/7/ns/net")
				if w.holds(ns) {
					w.Error("the port keeps the namespace alive")
				}
			})
		})
	}
}

// holds says whether a process has a device open whose link is in the namespace.
func (w *world) holds(ns *kerneltest.Namespace) bool {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	for _, d := range w.Devices {
		if d.Link != nil && d.Link.In == ns && !d.Closed {
			return true
		}
	}
	return false
}

// TestPortIsRemovedBeforeItsProcessEnds, with which nothing is lost any more.
func TestPortIsRemovedBeforeItsProcessEnds(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.StartProcess(7)
		_, err := c.AddPort(w.Context(), api.PortSpec{Name: "a", PID: 7})
		w.wantNil(err)
		c = w.restart(c, stopped)
		c.Settle()
		_, err = c.DeletePort(w.Context(), "a")
		w.wantNil(err)
		w.EndProcess(7)
		w.rest()
		if w.has("port lost") {
			w.Errorf("the log has a port that is lost:\n%s", w.log.String())
		}
	})
}
