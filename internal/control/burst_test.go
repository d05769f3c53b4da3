package control

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// stores returns those of the steps that store something.
func stores(steps []string) []string {
	return slices.DeleteFunc(slices.Clone(steps), func(s string) bool {
		return !strings.HasPrefix(s, "store")
	})
}

// TestPortsLostTogetherAreStoredTogether: that a machine's containers end costs no write each.
func TestPortsLostTogetherAreStoredTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	const ports = 20
	for i := range ports {
		w.addPort(c, fmt.Sprint("c", i))
	}
	w.Plan(0, 0)
	c.mu.Lock() // as the first of them has it while it is stored
	for i := range ports {
		w.RemoveNamespace(fmt.Sprint("c", i))
	}
	waiting := func() int {
		c.findings.mu.Lock()
		defer c.findings.mu.Unlock()
		return len(c.findings.list)
	}
	for waiting() < ports {
		runtime.Gosched()
	}
	c.mu.Unlock()
	lost := func() (n int) {
		for _, p := range c.current().Ports {
			if p.Lost {
				n++
			}
		}
		return n
	}
	for lost() < ports {
		runtime.Gosched()
	}
	want := fmt.Sprintf("store %d records", ports)
	if got := stores(w.Taken()); !slices.Equal(got, []string{want}) {
		t.Errorf("it took %q, want %q", got, want)
	}
	for p := range w.Store().State().Ports() {
		if p.LostReason != lostNamespace {
			t.Errorf("stored of %s is %q", p.Name, p.LostReason)
		}
	}
}

// pinned makes a world with three ports, of which a process after a full restart has the devices,
// and keeps their namespaces alive.
func pinned(w *watchedWorld) *Control {
	c := w.start()
	for _, name := range []string{"a", "b", "c"} {
		w.addPort(c, name)
	}
	c = w.restart(c, stopped)
	c.Settle()
	w.rest()
	return c
}

// unname takes the names of a's and b's namespaces away.
func unname(w *watchedWorld) {
	w.Mu.Lock()
	delete(w.Named, "a")
	delete(w.Named, "b")
	w.Mu.Unlock()
}

// TestAnyStepOfALossMayFail: the ports are lost all the same, in this process and the next, and
// what one change of the mounts finds is stored as a whole or not at all.
func TestAnyStepOfALossMayFail(t *testing.T) {
	var steps []string
	t.Run("all succeed", func(t *testing.T) {
		runInBubble(t, func(w *watchedWorld) {
			pinned(w)
			unname(w)
			w.Plan(0, 0)
			w.mountsChange()
			steps = w.Taken()
			if got := stores(steps); !slices.Equal(got, []string{"store 2 records"}) {
				w.Errorf("it took %q, want one transaction", got)
			}
		})
	})
	wantLost := func(w *watchedWorld, c *Control) {
		w.Helper()
		for _, name := range []string{"a", "b"} {
			w.wantPortShown(c, name, "lost: "+lostNamespace)
		}
		w.wantPortShown(c, "c", "up")
		w.wantLinks("own/"+hostLinkOf(w.world, c), "c/eth0")
	}
	for i, step := range steps {
		t.Run(fmt.Sprintf("%d %s fails", i+1, step), func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := pinned(w)
				unname(w)
				w.Plan(i+1, 0)
				w.mountsChange()
				w.Plan(0, 0)
				for _, name := range []string{"a", "b"} {
					w.wantPortShown(c, name, "lost: "+lostNamespace)
				}
				c = w.restart(c, ways["killed with its supervisor"])
				c.Settle()
				wantLost(w, c)
			})
		})
		t.Run(fmt.Sprintf("%d %s, and the process dies", i+1, step), func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := pinned(w)
				unname(w)
				w.Plan(0, i+1)
				w.mountsChange()
				w.Plan(0, 0)
				a, _ := w.Store().State().PortNamed("a")
				if b, _ := w.Store().State().PortNamed("b"); a.LostReason != b.LostReason {
					w.Errorf("stored of the one is %q, of the other %q", a.LostReason, b.LostReason)
				}
				c = w.restart(c, ways["killed with its supervisor"])
				c.Settle()
				wantLost(w, c)
			})
		})
	}
}

// TestLossFoundInTwoWays is one.
func TestLossFoundInTwoWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "a")
	id := c.portIDs()[0]
	c.lock()
	p := c.allPorts[id]
	c.lose([]loss{{p, lostLink}, {p, lostNamespace}})
	c.unlock()
	w.wantPortShown(c, "a", "lost: "+lostLink)
	if n := strings.Count(w.log.String(), "port lost"); n != 1 {
		t.Errorf("the log has it %d times", n)
	}
}
