package control

import (
	"fmt"
	"testing"

	"vswitch/api"
)

// startProcess has a process run whose namespace it is.
func (w *watchedWorld) startProcess(pid int) *fakeProcess {
	p := &fakeProcess{ended: make(chan struct{})}
	w.kernel.processes[pid] = p
	w.namespace(fmt.Sprintf("/proc/%d/ns/net", pid))
	return p
}

// endProcess ends it. Its namespace stays as long as something keeps it alive.
func (w *watchedWorld) endProcess(pid int) {
	w.mu.Lock()
	delete(w.named, fmt.Sprintf("/proc/%d/ns/net", pid))
	w.mu.Unlock()
	close(w.kernel.processes[pid].ended)
	delete(w.kernel.processes, pid)
}

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
			w.endProcess(7)
			return c
		}},
		{"before it is watched", func(w *watchedWorld, c *Control) *Control {
			c = w.restart(c, stopped)
			w.endProcess(7)
			c.Settle()
			return c
		}},
		{"while no process was there", func(w *watchedWorld, c *Control) *Control {
			return w.restart(c, func(w *watchedWorld, c *Control) {
				stopped(w, c)
				w.endProcess(7)
			})
		}},
		{"and another has its id", func(w *watchedWorld, c *Control) *Control {
			return w.restart(c, func(w *watchedWorld, c *Control) {
				stopped(w, c)
				w.endProcess(7)
				w.startProcess(7)
				w.named["/proc/7/ns/net"].name += " anew"
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.startProcess(7)
				ns := w.named["/proc/7/ns/net"]
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
func (w *world) holds(ns *fakeNamespace) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		if d.link != nil && d.link.in == ns && !d.closed {
			return true
		}
	}
	return false
}

// TestPortIsRemovedBeforeItsProcessEnds, with which nothing is lost any more.
func TestPortIsRemovedBeforeItsProcessEnds(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.startProcess(7)
		_, err := c.AddPort(w.Context(), api.PortSpec{Name: "a", PID: 7})
		w.wantNil(err)
		c = w.restart(c, stopped)
		c.Settle()
		_, err = c.DeletePort(w.Context(), "a")
		w.wantNil(err)
		w.endProcess(7)
		w.rest()
		if w.has("port lost") {
			w.Errorf("the log has a port that is lost:\n%s", w.log.String())
		}
	})
}
