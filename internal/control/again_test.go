package control

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/netns"
	"vswitch/tap"
)

// TestWhatSaysThatSomethingIsGone, and what may be otherwise the next time.
func TestWhatSaysThatSomethingIsGone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err          error
		gone, passes bool
	}{
		{kernelError(fmt.Errorf("%w: c1", netns.ErrNoNamespace)), true, false},
		{kernelError(fmt.Errorf("%w: c1", netns.ErrNotNamespace)), true, false}, // unmounted, and about to be unlinked
		{kernelError(fmt.Errorf("open: %w", syscall.EMFILE)), false, true},
		{kernelError(fmt.Errorf("open: %w", syscall.ENFILE)), false, true},
		{kernelError(fmt.Errorf("open: %w", syscall.ENOMEM)), false, true},
		{kernelError(fmt.Errorf("open: %w", syscall.EACCES)), false, true},
		{kernelError(fmt.Errorf("open: %w", syscall.ESTALE)), false, true},
		{kernelError(fmt.Errorf("open: %w", syscall.EIO)), false, true},
		{deviceError(fmt.Errorf("move: %w", netns.ErrLinkExists)), false, false},
		{fmt.Errorf("attach: %w", tap.ErrBusy), false, false},
		{errLostLink, false, false},
		{errLostNamespace, false, false},
	} {
		if gone, may := saysGone(test.err), passes(test.err); gone != test.gone || may != test.passes {
			t.Errorf("%v: gone %t, passes %t; want %t, %t", test.err, gone, may, test.gone, test.passes)
		}
	}
}

// passing are the calls whose failure says nothing about a port.
var passing = map[string][]string{
	"no namespace can be opened":          {"open namespace"},
	"none can be told from another":       {"identify"},
	"no device can be opened in its own":  {"attach"},
	"no device and no namespace, at once": {"attach", "open namespace"},
}

// failCalls has all of these calls fail; nil ends it.
func (w *watchedWorld) failCalls(calls []string, err error) {
	for _, call := range calls {
		w.FailCall(call, err)
	}
}

// wantLinesOnce wants the log to have one line with all these parts.
func (w *watchedWorld) wantLinesOnce(parts ...string) {
	w.Helper()
	n := 0
	for line := range strings.Lines(w.log.String()) {
		matches := true
		for _, part := range parts {
			matches = matches && strings.Contains(line, part)
		}
		if matches {
			n++
		}
	}
	if n != 1 {
		w.Errorf("%d lines of the log have %q, want 1:\n%s", n, parts, w.log.String())
	}
}

// TestStartThatCannotOpenDevices for now: the ports come back, with the interfaces that they have,
// as soon as that is possible.
func TestStartThatCannotOpenDevices(t *testing.T) {
	for name, calls := range passing {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				_, err := c.AddPort(w.Context(), api.PortSpec{Name: "managed", Handover: true})
				w.wantNil(err)
				index := w.Named["a"].Link("eth0").Index
				w.stop()
				stopped(w, c)
				w.failCalls(calls, syscall.EMFILE)
				c = w.start()
				c.Settle()
				time.Sleep(time.Minute)
				w.rest()
				w.wantPortShown(c, "a", "lost: "+syscall.EMFILE.Error())
				w.wantLinesOnce("level=WARN", "device could not be opened", "port=a", "too many open files")
				w.failCalls(calls, nil)
				time.Sleep(againMost)
				w.rest()
				w.wantPortShown(c, "a", "up")
				w.wantPortShown(c, "managed", waits)
				w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
				if now := w.Named["a"].Link("eth0").Index; now != index {
					w.Errorf("the interface has index %d, and had %d", now, index)
				}
				if record, _ := w.Store().State().PortNamed("a"); record.LostReason != "" || !record.LostSince.IsZero() {
					w.Errorf("stored is %q since %s", record.LostReason, record.LostSince)
				}
				time.Sleep(2 * time.Hour) // longer than a lost port stays
				w.rest()
				w.wantPortShown(c, "a", "up")
				c = w.restart(c, killed)
				w.wantPortShown(c, "a", "up") // by its descriptor, which was kept
			})
		})
	}
}

// TestStartThatCannotOpenANamespaceThatIsGone says so once it can tell.
func TestStartThatCannotOpenANamespaceThatIsGone(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.stop()
		stopped(w, c)
		w.RemoveNamespace("a")
		w.FailCall("open namespace", syscall.ENFILE)
		c = w.start()
		w.rest()
		w.wantPortShown(c, "a", "lost: "+syscall.ENFILE.Error())
		w.FailCall("open namespace", nil)
		time.Sleep(againMost)
		w.rest()
		w.wantPortShown(c, "a", "lost: "+lostNamespace)
		if record, _ := w.Store().State().PortNamed("a"); record.LostReason != lostNamespace {
			w.Errorf("stored is %q", record.LostReason)
		}
	})
}

// TestMountsThatCannotBeRead say nothing about a port that keeps its namespace alive, until they
// can.
func TestMountsThatCannotBeRead(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprint("the name has gone: ", gone), func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := pinned(w)
				w.FailCall("open namespace", syscall.ENOMEM)
				if gone {
					unname(w)
				}
				w.mountsChange()
				w.wantPortShown(c, "a", "up")
				w.wantLinesOnce("level=WARN", "cannot tell whether", "port=a", "netns=a")
				time.Sleep(time.Minute)
				w.rest()
				w.wantLinesOnce("level=WARN", "cannot tell whether", "port=a")
				w.FailCall("open namespace", nil)
				time.Sleep(againMost)
				w.rest()
				want := "up"
				if gone {
					want = "lost: " + lostNamespace
				}
				w.wantPortShown(c, "a", want)
			})
		})
	}
}

// TestLossThatCannotBeExplained: whether the interface was deleted or its namespace is found out
// later, and only in another namespace the interface is made again.
func TestLossThatCannotBeExplained(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(w *watchedWorld)
		want string
	}{
		"the interface": {func(w *watchedWorld) { w.RemoveLink(w.Named["a"], "eth0") }, "lost: " + lostLink},
		"the namespace": {func(w *watchedWorld) { w.RemoveNamespace("a") }, "lost: " + lostNamespace},
		"the namespace, and another has its name": {func(w *watchedWorld) { w.replaceNamespace("a") }, "up"},
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.rest()
				w.FailCall("open namespace", syscall.EMFILE)
				test.end(w)
				w.rest()
				w.wantPortShown(c, "a", "lost: "+lostEither)
				w.wantBound(c, "172.17.0.2", "")
				w.FailCall("open namespace", nil)
				time.Sleep(againMost)
				w.rest()
				w.wantPortShown(c, "a", test.want)
				reason, _ := strings.CutPrefix(test.want, "lost: ")
				if record, _ := w.Store().State().PortNamed("a"); test.want != "up" && record.LostReason != reason {
					w.Errorf("stored is %q", record.LostReason)
				}
			})
		})
	}
}

// TestNamespaceThatComesAgainAndCannotBeOpened for now is used as soon as it can be.
func TestNamespaceThatComesAgainAndCannotBeOpened(t *testing.T) {
	for name, call := range map[string]string{
		"no namespace can be opened":    "open namespace",
		"none can be told from another": "identify",
		"no device can be made":         "create",
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.RemoveNamespace("a")
				w.rest()
				w.replaceNamespace("a")
				w.FailCall(call, fmt.Errorf("open: %w", syscall.EMFILE))
				w.mountsChange()
				w.mountsChange()
				w.wantPortShown(c, "a", "lost: "+lostNamespace)
				w.wantLinesOnce("level=WARN", "lost port", "port=a", "netns=a", "too many open files")
				w.FailCall(call, nil)
				time.Sleep(againMost)
				w.rest()
				w.wantPortShown(c, "a", "up")
			})
		})
	}
}

// TestProcessThatCannotBeWatched for now is watched later.
func TestProcessThatCannotBeWatched(t *testing.T) {
	for name, call := range map[string]string{
		"the process cannot be opened":   "open process",
		"its namespace cannot be opened": "open namespace",
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.StartProcess(7)
				ns := w.Named["/proc/7/ns/net"]
				_, err := c.AddPort(w.Context(), api.PortSpec{Name: "a", PID: 7})
				w.wantNil(err)
				c = w.restart(c, stopped)
				w.FailCall(call, syscall.EMFILE)
				c.Settle()
				time.Sleep(time.Minute)
				w.rest()
				w.wantPortShown(c, "a", "up")
				w.wantLinesOnce("level=WARN", "the end of the port's process", "port=a", "too many open files")
				w.FailCall(call, nil)
				time.Sleep(againMost)
				w.rest()
				w.wantPortShown(c, "a", "up")
				w.EndProcess(7)
				w.rest()
				w.wantPortShown(c, "a", "lost: "+lostNamespace)
				if w.holds(ns) {
					w.Error("the port keeps the namespace alive")
				}
			})
		})
	}
}

// TestInterfaceThatCannotBeRead for now is read later, without another event.
func TestInterfaceThatCannotBeRead(t *testing.T) {
	for _, watched := range []bool{true, false} {
		t.Run(fmt.Sprint("it is watched: ", watched), func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.rest()
				if !watched {
					c = w.restart(c, killed)
				}
				w.FailCall("namespace of", syscall.EMFILE)
				w.quietly(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Up = false })
				if watched {
					w.Links.Tell(w.Named["a"], w.Named["a"].Link("eth0").Index)
				} else {
					c.Settle()
				}
				time.Sleep(time.Minute)
				w.rest()
				w.wantPortShown(c, "a", "up")
				w.wantLinesOnce("level=WARN", "interface cannot be read", "port=a", "too many open files")
				w.FailCall("namespace of", nil)
				w.rest()
				w.wantPortShown(c, "a", "down: set down in its network namespace")
			})
		})
	}
}

// TestWhatIsTriedAgainEnds with the process, and with the port.
func TestWhatIsTriedAgainEnds(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.addPort(c, "b")
		w.RemoveNamespace("a")
		w.RemoveNamespace("b")
		w.rest()
		w.FailCall("create", errors.New("out of order"))
		w.replaceNamespace("a")
		w.replaceNamespace("b")
		w.mountsChange()
		_, err := c.DeletePort(w.Context(), "a")
		w.wantNil(err)
		w.stop()
		w.close(c, false)
		w.FailCall("create", nil)
		w.Plan(0, 0)
		time.Sleep(time.Hour)
		if steps := w.Taken(); len(steps) > 0 {
			w.Errorf("it does %q", steps)
		}
	})
}
