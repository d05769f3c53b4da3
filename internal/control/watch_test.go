package control

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/netns"
	"vswitch/internal/wellformed"
)

// renamedLink is a link that is renamed from "vst-0" to "eth0" just before one of the steps that
// are taken to watch it.
type renamedLink struct {
	at    string
	steps []string
}

const renamedIndex = 7

// step takes note of a step, and returns the name that the link has in it.
func (r *renamedLink) step(name string) string {
	r.steps = append(r.steps, name)
	if r.at == "" || !slices.Contains(r.steps, r.at) {
		return "vst-0"
	}
	return "eth0"
}

func (r *renamedLink) currentName() (string, error) { return r.step("name"), nil }

func (r *renamedLink) LinkByName(name string) (netns.Link, error) {
	if r.step("find") != name {
		return netns.Link{}, netns.ErrNoLink
	}
	return netns.Link{Index: renamedIndex, Name: name}, nil
}

func (r *renamedLink) LinkByIndex(index int) (netns.Link, error) {
	name := r.step("look")
	if index != renamedIndex {
		return netns.Link{}, netns.ErrNoLink
	}
	return netns.Link{Index: index, Name: name}, nil
}

// TestNoRenameIsMissed: whenever the link is renamed, either its new name is returned, or the
// error has it looked up again, or it was watched before and the event is still to come.
func TestNoRenameIsMissed(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"name", "find", "watch", "look", ""} {
		r := &renamedLink{at: at}
		l, err := watchThenLook(r, r.currentName, func(index int) {
			if index != renamedIndex {
				t.Errorf("index %d is watched, want %d", index, renamedIndex)
			}
			r.step("watch")
		})
		watched := slices.Contains(r.steps, "watch")
		switch {
		case at == "find":
			if err == nil || watched {
				t.Errorf("renamed before it is found: %+v, %v, watched %t, want an error", l, err, watched)
			}
		case err != nil || !watched:
			t.Errorf("renamed before %q: %v, watched %t", at, err, watched)
		case at != "" && l.Name != "eth0":
			t.Errorf("renamed before %q, the link is called %s by %q", at, l.Name, r.steps)
		}
	}
}

// TestChangesOfALink in its namespace are shown, and are answered for.
func TestChangesOfALink(t *testing.T) {
	mac := "02:42:ac:11:00:02"
	for _, test := range []struct {
		name   string
		change func(*kerneltest.Link)
		shown  string
		bound  string
		log    []string
	}{
		{
			"set down", func(l *kerneltest.Link) { l.Up = false },
			"down: set down in its network namespace", "",
			[]string{"port=a", "up=false"},
		},
		{"renamed", func(l *kerneltest.Link) { l.Name = "eth9" }, "up", mac, []string{"port=a", "from=eth0", "to=eth9"}},
		{"without its address", func(l *kerneltest.Link) { l.Addrs = nil }, "up", "", nil},
		{"with others", func(l *kerneltest.Link) { l.Addrs = at("10.9.9.9", "172.17.0.2", "fe80::1") }, "up", mac, nil},
		{"with another", func(l *kerneltest.Link) { l.Addrs = at("172.17.0.77") }, "up", "", nil},
		{"without a MAC", func(l *kerneltest.Link) { l.MAC = nil }, "up", mac, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.rest()
				ns := w.Named["a"]
				before := *ns.Link("eth0")
				w.change(ns, "eth0", test.change)
				w.wantPortShown(c, "a", test.shown)
				w.wantBound(c, "172.17.0.2", test.bound)
				if test.log != nil {
					w.wantLog(test.log...)
				}
				name := before.Name
				for _, l := range ns.Links {
					name = l.Name
				}
				w.change(ns, name, func(l *kerneltest.Link) { l.Link = before.Link })
				w.wantPortShown(c, "a", "up")
				w.wantBound(c, "172.17.0.2", mac)
			})
		})
	}
}

// TestNoChangeOfALinkIsMissed, whenever it is made: while no process is there, or while the
// watcher had to drop events.
func TestNoChangeOfALinkIsMissed(t *testing.T) {
	down := func(l *kerneltest.Link) { l.Up = false }
	for name, miss := range map[string]func(w *watchedWorld, c *Control) *Control{
		"dropped events": func(w *watchedWorld, c *Control) *Control {
			w.quietly(w.Named["a"], "eth0", down)
			w.Links.Events <- netns.LinkEvent{Missed: true}
			return c
		},
		"just before it is watched": func(w *watchedWorld, c *Control) *Control {
			w.addPort(c, "late")
			w.quietly(w.Named["late"], "eth0", down)
			w.rest()
			w.wantPortShown(c, "late", "down: set down in its network namespace")
			w.change(w.Named["a"], "eth0", down)
			return c
		},
		"killed": func(w *watchedWorld, c *Control) *Control {
			return w.restart(c, func(w *watchedWorld, c *Control) {
				killed(w, c)
				w.quietly(w.Named["a"], "eth0", down)
			})
		},
		"stopped": func(w *watchedWorld, c *Control) *Control {
			return w.restart(c, func(w *watchedWorld, c *Control) {
				stopped(w, c)
				w.quietly(w.Named["a"], "eth0", down)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.rest()
				c = miss(w, c)
				c.Settle()
				w.rest()
				w.wantPortShown(c, "a", "down: set down in its network namespace")
				w.wantBound(c, "172.17.0.2", "")
				w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Up = true })
				w.wantPortShown(c, "a", "up")
				w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
			})
		})
	}
}

// TestAFlappingLink is not looked at as often as it changes, and what it is in the end is shown.
func TestAFlappingLink(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		ns := w.Named["a"]
		index := ns.Link("eth0").Index
		for i := range 3000 {
			w.quietly(ns, "eth0", func(l *kerneltest.Link) { l.Up = i%2 == 0 })
			w.Links.Tell(ns, index)
			time.Sleep(10 * time.Millisecond)
		}
		if n := strings.Count(w.log.String(), "interface set in its namespace"); n > 40 {
			w.Errorf("30 s of changes make %d lines in the log", n)
		}
		w.rest()
		w.wantPortShown(c, "a", "down: set down in its network namespace")
		time.Sleep(10 * time.Second)
		w.quietly(ns, "eth0", func(l *kerneltest.Link) { l.Up = true })
		w.Links.Tell(ns, index)
		time.Sleep(2 * lookDelay)
		synctest.Wait()
		w.wantPortShown(c, "a", "up") // soon again, after it was at rest
	})
}

// TestAddressesThatChangeWhileTheyAreListed are listed again.
func TestAddressesThatChangeWhileTheyAreListed(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		ns := w.Named["a"]
		w.quietly(ns, "eth0", func(l *kerneltest.Link) { l.Addrs, l.Changing = nil, true })
		w.Links.Tell(ns, ns.Link("eth0").Index)
		time.Sleep(2 * lookDelay)
		synctest.Wait()
		w.wantBound(c, "172.17.0.2", "")
		w.quietly(ns, "eth0", func(l *kerneltest.Link) { l.Addrs, l.Changing = at("172.17.0.2"), false })
		w.rest()
		w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
	})
}

// TestInterfaceNameThatIsNone: a container may give its interface a name that no terminal should
// see. That must not keep its port from being changed.
func TestInterfaceNameThatIsNone(t *testing.T) {
	for _, name := range []string{"\x1b[2J", "eth\xff"} {
		for way, end := range ways {
			t.Run(way, func(t *testing.T) {
				inWatchedWorld(t, func(w *watchedWorld) {
					c := w.start()
					w.addPort(c, "a")
					w.rest()
					w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Name = name })
					isolated := false
					check := func() {
						w.Helper()
						isolated = !isolated
						p, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{Isolated: &isolated})
						if err != nil || p.IfName != wellformed.Clean(name) {
							w.Errorf("it is called %q, %v", p.IfName, err)
						}
						if strings.Contains(w.log.String(), name) {
							w.Error("the log has the name as it is")
						}
					}
					check()
					for range 3 {
						w.change(w.Named["a"], name, func(l *kerneltest.Link) { l.Up = !l.Up })
					}
					if n := strings.Count(w.log.String(), "interface renamed"); n != 1 {
						w.Errorf("the log tells of the name %d times, want once:\n%s", n, w.log.String())
					}
					c = w.restart(c, end)
					c.Settle()
					w.rest()
					check()
					w.wantLinks("a/"+name, "own/"+hostLinkOf(w.world, c)) // found, not made again
				})
			})
		}
	}
}

// TestInterfaceMovedOn by its container, into a namespace that has another interface of the same
// index: the port shows its own.
func TestInterfaceMovedOn(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a", func(s *api.PortSpec) { s.Security = api.SecurityOff })
		w.rest()
		from, inner := w.Named["a"], w.AddNamespace("inner")
		index := from.Link("eth0").Index
		w.Mu.Lock()
		inner.Links[index] = &kerneltest.Link{In: inner, Link: netns.Link{
			Index: index, Name: "other0", MAC: []byte{2, 0, 0, 0, 0, 66}, Up: true, Addrs: at("10.1.1.1"),
		}}
		l := from.Links[index]
		delete(from.Links, index)
		l.In, l.Index = inner, 77
		inner.Links[77] = l
		w.Mu.Unlock()
		w.Links.Tell(from, index)
		w.rest()
		p, err := c.Port(w.Context(), "a")
		if err != nil || p.IfName != "eth0" || p.MAC.String() != "02:42:ac:11:00:02" {
			w.Errorf("it shows %s with %s, %v", p.IfName, p.MAC, err)
		}
		w.change(inner, "eth0", func(l *kerneltest.Link) { l.Up = false })
		w.wantPortShown(c, "a", "down: set down in its network namespace")
	})
}

// TestWithoutAWatcher a port works, and the log says what will go unnoticed.
func TestWithoutAWatcher(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.FailCall("watch ", errors.ErrUnsupported)
	c := w.start()
	w.addPort(c, "a")
	w.wantPortShown(c, "a", "up")
	w.wantLog(
		"level=WARN", "interfaces made in the containers will go unnoticed", errors.ErrUnsupported.Error(),
	)
	w.wantLog(
		"level=WARN", "changes to host links will go unnoticed", errors.ErrUnsupported.Error(),
	)

	runInBubble(t, func(w *watchedWorld) {
		c := w.start()
		w.Links.Err = errors.New("no room")
		w.addPort(c, "a")
		w.wantPortShown(c, "a", "up")
		w.wantLog(
			"level=WARN", "changes of the interface made in the namespace will go unnoticed", "port=a", "no room",
		)
	})
}

// TestEventsAfterTheEnd of a Control are of no consequence.
func TestEventsAfterTheEnd(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		ns := w.Named["a"]
		w.quietly(ns, "eth0", func(l *kerneltest.Link) { l.Up = false })
		w.Links.Tell(ns, ns.Link("eth0").Index)
		synctest.Wait() // it is about to be looked at
		w.stop()
		w.close(c, false)
		w.Plan(0, 0)
		c.links.linkChanged(netns.LinkEvent{Missed: true})
		c.mountsChanged()
		time.Sleep(time.Minute)
		synctest.Wait()
		if steps := w.Taken(); len(steps) > 0 || w.has("interface set in its namespace") {
			w.Errorf("it has taken the steps %q", steps)
		}
	})
}
