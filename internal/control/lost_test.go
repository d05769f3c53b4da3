package control

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
)

// TestNamespaceOfAPortEnds: the port is shown as lost and answered for no more, and keeps its
// address, its name and its MAC.
func TestNamespaceOfAPortEnds(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a, b := w.addPort(c, "a"), w.addPort(c, "b")
		w.rest()
		w.RemoveNamespace("a")
		w.rest()
		w.wantPortShown(c, "a", "lost: "+lostNamespace)
		w.wantBound(c, "172.17.0.2", "")
		w.wantLog("level=WARN", "port lost", "port=a", "netns=a", lostNamespace)
		w.wantLinks("own/"+hostLinkOf(w.world, c), "b/eth0")
		if len(w.Kept) != 2 { // of b and of the host link
			w.Errorf("kept are %v", w.Kept)
		}
		other := w.addPort(c, "other")
		w.rest()
		w.wantNothing(w.wire(c, "b"), w.wire(c, "other"), datagram(a.MAC, b, "to the lost one"))
		if other.IPs[0].Addr() == a.IPs[0].Addr() {
			w.Error("another port has its address")
		}
		for spec, kind := range map[*api.PortSpec]api.Kind{
			{Name: "a"}: api.Conflict,
			{Name: "c", IP: api.PortIP{Addr: a.IPs[0].Addr()}}: api.Conflict,
			{Name: "c", MAC: a.MAC}:                            api.Conflict,
		} {
			spec.NetNS = w.AddNamespace("c").Name
			_, err := c.AddPort(w.Context(), *spec)
			w.wantError(err, kind)
		}
		_, err := c.AddFDB(w.Context(), "", api.FDBSpec{MAC: api.MAC{2, 0, 0, 0, 0, 7}, Port: "a"})
		w.wantError(err, api.Conflict, `"a" is lost`, lostNamespace)
		if record, _ := w.Store().State().PortNamed("a"); record.LostReason != lostNamespace ||
			record.LostSince.IsZero() {
			w.Errorf("stored is %q since %s", record.LostReason, record.LostSince)
		}
	})
}

// TestInterfaceOfAPortIsDeleted in its namespace, which somebody wanted: it is not made again, but
// in another namespace.
func TestInterfaceOfAPortIsDeleted(t *testing.T) {
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.RemoveLink(w.Named["a"], "eth0")
				w.rest()
				w.wantPortShown(c, "a", "lost: "+lostLink)
				w.mountsChange()
				w.wantPortShown(c, "a", "lost: "+lostLink)
				c = w.restart(c, end)
				c.Settle()
				w.mountsChange()
				w.wantPortShown(c, "a", "lost: "+lostLink)
				w.replaceNamespace("a")
				w.mountsChange()
				w.wantPortShown(c, "a", "up")
			})
		})
	}
}

// TestNamespaceComesAgain: the port is attached to it as it was, for good.
func TestNamespaceComesAgain(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a, b := w.addPort(c, "a"), w.addPort(c, "b")
		behind := api.MAC{2, 0, 0, 0, 0, 7}
		_, err := c.AddFDB(w.Context(), "", api.FDBSpec{MAC: behind, Port: "a"})
		w.wantNil(err)
		w.RemoveNamespace("a")
		w.rest()
		ns := w.replaceNamespace("a")
		w.wire(c, "b").Frames()
		w.mountsChange()
		w.wantPortShown(c, "a", "up")
		w.wantBound(c, "172.17.0.2", a.MAC.String())
		w.wantLog("lost port attached again", "port=a", "netns=a")
		w.wantLinks("own/"+hostLinkOf(w.world, c), "b/eth0", "a anew/eth0")
		if l := ns.Link("eth0"); l.MAC.String() != a.MAC.String() ||
			!slices.Contains(l.Addrs, a.IPs[0].Addr()) {
			w.Errorf("the interface has %s and %v", l.MAC, l.Addrs)
		}
		if frames := w.wire(c, "b").Frames(); len(frames) != 1 ||
			frame.Ethernet(frames[0]).Src() != a.MAC {
			w.Errorf("its neighbour got %q, want an announcement", frames)
		}
		w.wantPasses(w.wire(c, "b"), w.wire(c, "a"), datagram(behind, b, "static"))
		time.Sleep(2 * time.Hour) // longer than a lost port stays
		w.rest()
		w.wantPortShown(c, "a", "up")
		w.change(ns, "eth0", func(l *kerneltest.Link) { l.Up = false })
		w.wantPortShown(c, "a", "down: set down in its network namespace")
	})
}

// TestLostPortIsReleased when its time is over, which goes on while no process is there, whatever
// the clock does meanwhile. Another boot gives it the full time again, as nobody knows how long the
// machine was off.
func TestLostPortIsReleased(t *testing.T) {
	ahead := func(d time.Duration) func(*watchedWorld, *model.Port) {
		return func(_ *watchedWorld, p *model.Port) { p.LostSince = p.LostSince.Add(-d) }
	}
	for name, test := range map[string]struct {
		down     time.Duration // how long no process is there, half an hour after the loss
		restarts bool
		change   func(*watchedWorld, *model.Port) // of the machine, or of what is stored, meanwhile
		after    time.Duration                    // of the loss
	}{
		"in one life":              {after: time.Hour},
		"with a restart":           {restarts: true, after: time.Hour},
		"while no process was":     {restarts: true, down: time.Hour, after: 90 * time.Minute},
		"by a clock set ahead":     {restarts: true, change: ahead(365 * 24 * time.Hour), after: time.Hour},
		"by a clock set back":      {restarts: true, change: ahead(-24 * time.Hour), after: time.Hour},
		"and a time that is to be": {restarts: true, change: func(_ *watchedWorld, p *model.Port) { p.LostUptime += time.Hour }, after: 90 * time.Minute},
		"in another boot": {restarts: true, down: time.Hour, after: 150 * time.Minute, change: func(w *watchedWorld, _ *model.Port) {
			w.Reboot()
		}},
		"where there are no boots": {restarts: true, down: time.Hour, after: 150 * time.Minute, change: func(w *watchedWorld, _ *model.Port) {
			w.BootID = ""
		}},
		"lost in a version before": {restarts: true, down: time.Hour, after: 150 * time.Minute, change: func(_ *watchedWorld, p *model.Port) {
			p.LostBoot, p.LostUptime = "", 0
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				a := w.addPort(c, "a")
				w.rest()
				w.RemoveNamespace("a")
				synctest.Wait()
				lost := time.Now()
				time.Sleep(30 * time.Minute)
				if test.restarts {
					c = w.restart(c, func(w *watchedWorld, c *Control) {
						killed(w, c)
						w.Revive()
						time.Sleep(test.down)
						if test.change != nil {
							record, _ := w.State.Port(a.ID)
							test.change(w, &record)
							w.wantNil(w.Store().Apply(model.PutPort(record)))
						}
					})
					c.Settle()
				}
				if left := test.after - time.Since(lost) - time.Second; left > 0 {
					time.Sleep(left)
					synctest.Wait()
					w.wantPortShown(c, "a", "lost: "+lostNamespace)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				w.wantPortShown(c, "a", `port "a" does not exist: see vsctl list-ports`)
				w.wantLog("lost port released", "port=a")
				if n := w.State.PortCount(); n != 0 {
					w.Errorf("%d ports are stored", n)
				}
				w.addPort(c, "b", func(s *api.PortSpec) { s.IP, s.MAC = api.PortIP{Addr: a.IPs[0].Addr()}, a.MAC })
			})
		})
	}
}

// TestLostPortOfAnotherBoot has its time counted from the first start in this boot, not from the
// latest.
func TestLostPortOfAnotherBoot(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		w.RemoveNamespace("a")
		w.rest()
		reboot := sync.OnceFunc(w.Reboot)
		for range 3 {
			c = w.restart(c, func(w *watchedWorld, c *Control) {
				stopped(w, c)
				reboot()
			})
			c.Settle()
			time.Sleep(19 * time.Minute)
			w.rest()
			w.wantPortShown(c, "a", "lost: "+lostNamespace)
		}
		time.Sleep(4 * time.Minute)
		w.rest()
		w.wantPortShown(c, "a", `port "a" does not exist: see vsctl list-ports`)
	})
}

// TestLostPortThatCannotBeReleased stays, and the log says why.
func TestLostPortThatCannotBeReleased(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.RemoveNamespace("a")
		w.rest()
		w.Plan(1, 0)
		time.Sleep(2 * time.Hour)
		w.rest()
		w.Plan(0, 0)
		w.wantPortShown(c, "a", "lost: "+lostNamespace)
		w.wantLog("level=ERROR", "release port a", kerneltest.ErrStep.Error())
	})
}

// TestLossThatCannotBeStored is followed all the same.
func TestLossThatCannotBeStored(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		w.Plan(2, 0) // after that its descriptor is dropped
		w.RemoveNamespace("a")
		w.rest()
		steps := w.Taken()
		w.Plan(0, 0)
		if len(steps) < 2 || !strings.HasPrefix(steps[1], "store") {
			w.Fatalf("the steps are %q", steps)
		}
		w.wantPortShown(c, "a", "lost: "+lostNamespace)
		w.wantLog("level=ERROR", "store the loss of port a")
		c = w.restart(c, killed)
		w.wantPortShown(c, "a", "lost: "+lostNamespace)
	})
}

// TestAnyStepOfARegainMayFail: the port stays lost, leaves nothing behind, and is attached when
// that is tried again.
func TestAnyStepOfARegainMayFail(t *testing.T) {
	regain := func(w *watchedWorld) (*Control, *kerneltest.Namespace) {
		c := w.start()
		w.addPort(c, "a")
		w.RemoveNamespace("a")
		w.rest()
		return c, w.replaceNamespace("a")
	}
	var steps []string
	t.Run("all succeed", func(t *testing.T) {
		runInBubble(t, func(w *watchedWorld) {
			c, _ := regain(w)
			w.Plan(0, 0)
			w.mountsChange()
			steps = w.Taken()
			w.wantPortShown(c, "a", "up")
		})
	})
	for i, step := range steps {
		t.Run(fmt.Sprintf("%d %s", i+1, step), func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c, ns := regain(w)
				w.Plan(i+1, 0)
				w.ChangeMounts()
				synctest.Wait()
				w.Plan(0, 0)
				if w.portShown(c, "a") != "up" {
					w.wantPortShown(c, "a", "lost: "+lostNamespace)
					w.wantLog(
						"level=WARN", "not attached to the new network namespace", "port=a", kerneltest.ErrStep.Error(),
					)
					w.wantLinks("own/" + hostLinkOf(w.world, c))
					if record, _ := w.Store().State().PortNamed("a"); record.LostReason != lostNamespace {
						w.Errorf("stored is %q", record.LostReason)
					}
				}
				w.rest()
				w.wantPortShown(c, "a", "up")
				w.wantLinks("own/"+hostLinkOf(w.world, c), ns.Name+"/eth0")
			})
		})
	}
}

// TestNameOfANamespaceGoes: a port that was found by its interface's name keeps the namespace
// alive itself, and so is lost with the name. It comes back with the name, be it that of the same
// namespace.
func TestNameOfANamespaceGoes(t *testing.T) {
	for _, same := range []bool{true, false} {
		t.Run(fmt.Sprint("the same comes back: ", same), func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				ns := w.Named["a"]
				c = w.restart(c, stopped)
				c.Settle()
				w.mountsChange()
				w.wantPortShown(c, "a", "up")
				w.Mu.Lock()
				delete(w.Named, "a")
				w.Mu.Unlock()
				w.mountsChange()
				w.wantPortShown(c, "a", "lost: "+lostNamespace)
				w.wantBound(c, "172.17.0.2", "")
				if len(ns.Links) > 0 {
					w.Errorf("the namespace is kept alive by %v", ns.Links)
				}
				if same {
					w.Mu.Lock()
					w.Named["a"] = ns
					w.Mu.Unlock()
				} else {
					w.replaceNamespace("a")
				}
				w.mountsChange()
				w.wantPortShown(c, "a", "up")
				w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
			})
		})
	}
}

// TestAnotherNamespaceTakesTheName of that of a pinned port at once, also where a process before has
// opened the descriptor that pins it.
func TestAnotherNamespaceTakesTheName(t *testing.T) {
	for name, end := range ways {
		t.Run(name, func(t *testing.T) { anotherTakesTheName(t, end) })
	}
}

func anotherTakesTheName(t *testing.T, end func(*watchedWorld, *Control)) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		old := w.Named["a"]
		c = w.restart(c, stopped)
		c.Settle()
		c = w.restart(c, end)
		c.Settle()
		w.Mu.Lock()
		delete(w.Named, "a")
		w.Mu.Unlock()
		w.replaceNamespace("a")
		w.mountsChange()
		w.wantPortShown(c, "a", "up")
		w.wantLinks("own/"+hostLinkOf(w.world, c), "a anew/eth0")
		if len(old.Links) > 0 {
			w.Errorf("the old namespace is kept alive by %v", old.Links)
		}
	})
}

// TestHostLinkIsDeleted: it is made again.
func TestHostLinkIsDeleted(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		name := hostLinkOf(w.world, c)
		w.RemoveLink(w.Own, name)
		w.rest()
		w.wantLog("host link lost", "interface="+name, hostLinkDeleted)
		w.wantLinks("own/" + name)
	})
}
