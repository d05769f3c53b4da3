package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	vswitch "vswitch/switch"
)

// wantRefused wants an error of that kind whose one line has all these parts.
func wantRefused(t *testing.T, what string, err error, kind api.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s was accepted, want %s", what, kind)
		return
	}
	if got := api.KindOf(err); got != kind {
		t.Errorf("%s: %v, which is %s; want %s", what, err, got, kind)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: the error has several lines: %q", what, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: the error is %q, want it to say %q", what, err, part)
		}
	}
}

// must returns v, and ends the test when there is an error.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// shown is what a user sees of a Control and of the world, as text that can be compared with that
// of another process.
func (w *world) shown(c *Control) string {
	w.Helper()
	text, err := json.MarshalIndent(w.see(c), "", " ")
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// wantShown wants users to see what was shown before.
func (w *world) wantShown(c *Control, when, before string) {
	w.Helper()
	now, was := strings.Split(w.shown(c), "\n"), strings.Split(before, "\n")
	if slices.Equal(now, was) {
		return
	}
	without := func(lines, others []string) []string {
		return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return slices.Contains(others, l) })
	}
	w.Errorf("%s there is\n%s\nwhere there was\n%s", when, strings.Join(without(now, was), "\n"),
		strings.Join(without(was, now), "\n"))
}

// crash kills the process and starts the next one.
func (w *world) crash() *Control {
	w.Helper()
	w.die()
	c := w.start()
	c.Settle()
	return c
}

// renewNamespace makes another namespace of that name, as a container that is started again has.
func (w *world) renewNamespace(name string) {
	w.AddNamespaceAs(name, name+", again")
}

// routedKernel is the kernel of a host that has routes.
type routedKernel struct {
	kerneltest.Kernel
	prefixes []netip.Prefix
	taken    netip.Prefix // a subnet that the host has already
	conflict string       // what it overlaps
	err      error        // of the look for that, or of the one for routes if nothing is taken
}

func (k routedKernel) HostPrefixes() ([]netip.Prefix, error) {
	if k.taken.IsValid() {
		return k.prefixes, nil
	}
	return k.prefixes, k.err
}

func (k routedKernel) HostConflict(p netip.Prefix) (string, error) {
	if p != k.taken {
		return "", nil
	}
	return k.conflict, k.err
}

// on replaces the kernel.
func (w *world) on(c *Control, k kernel.Kernel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kernel = k
}

// refused makes a change that must be refused, and wants nothing to be other than before.
func (w *world) refused(
	c *Control, what string, do func() error, kind api.Kind, parts ...string,
) {
	w.Helper()
	before, records := w.shown(c), fmt.Sprint(w.State.Records())
	wantRefused(w.T, what, do(), kind, parts...)
	w.wantShown(c, "after "+what+" was refused", before)
	if now := fmt.Sprint(w.State.Records()); now != records {
		w.Errorf("%s was refused, and another state is stored", what)
	}
}

// TestEverythingIsThereAfterARestart: whether the process was killed or stopped.
func TestEverythingIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, c *Control){
		"killed":  func(w *world, _ *Control) { w.die() },
		"stopped": func(w *world, c *Control) { w.close(c, false) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.start()
			w.furnish(c)
			before, records := w.shown(c), fmt.Sprint(w.State.Records())
			end(w, c)
			next := w.start()
			next.Settle()
			w.wantShown(next, "after a restart", before)
			if now := fmt.Sprint(w.State.Records()); now != records {
				t.Errorf("the state is\n%s\nand was\n%s", now, records)
			}
		})
	}
}

// TestRecordsThatTheStoreRefusesKeepNoOthers: one record that the store refuses does not keep the
// others from being stored.
func TestRecordsThatTheStoreRefusesKeepNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "good")
	w.addPort(c, "bad")
	c.lock()
	for _, p := range c.allPorts {
		p.record.IfName = "lan0"
		if p.record.Name == "bad" { // as a container may call it
			p.record.IfName = "a/b"
		}
	}
	c.unlock()
	c.storeAllPorts()
	for name, want := range map[string]string{"good": "lan0", "bad": "eth0"} {
		if stored, _ := w.State.PortNamed(name); stored.IfName != want {
			t.Errorf("port %s is stored with the interface %q, want %q", name, stored.IfName, want)
		}
	}
	if !w.has("level=ERROR", "store port bad", "ifname") {
		t.Errorf("the log does not say what was not stored: %s", w.log.String())
	}
}

// TestNothingIsStoredAfterTheEnd of a Control: the state is the next process's by then.
func TestNothingIsStoredAfterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "a")
	w.close(c, false)
	w.Plan(0, 0)
	c.storeAllPorts()
	if steps := w.Taken(); len(steps) > 0 {
		t.Errorf("after Close: %q", steps)
	}
}

// TestAControlThatIsClosedTakesNoPorts, and says what to do.
func TestAControlThatIsClosedTakesNoPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	ns := w.AddNamespace("late")
	w.close(c, false)
	_, err := c.AddPort(t.Context(), api.PortSpec{Name: "late", NetNS: ns.Name})
	wantRefused(t, "a port for a Control that is closed", err, api.Unavailable, "stopping")
	if _, found := w.State.PortNamed("late"); found || len(w.Named["late"].Links) > 0 {
		t.Error("the port is there in part")
	}
}

// TestAStateThatCannotBeBuiltIsNotStartedFrom: the error names what is wrong with what, and
// nothing is changed.
func TestAStateThatCannotBeBuiltIsNotStartedFrom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(s model.Segment, p model.Port) []model.Change
		wants  []string
	}{
		"two segments of one subnet": {
			func(s model.Segment, _ model.Port) []model.Change {
				s.ID, s.Name = newID(), "twin"
				return []model.Change{model.PutSegment(s)}
			}, []string{"restore segment", "172.17.0.0/24"},
		},
		"a segment of IPv6": {
			func(s model.Segment, _ model.Port) []model.Change {
				s.ID, s.Name = newID(), "six"
				s.Subnets = []model.SegmentSubnet{{Subnet: model.Subnet{
					Prefix: prefix("fd00::/64"), Gateway: addr("fd00::1"), Range: prefix("fd00::/64"),
				}}}
				return []model.Change{model.PutSegment(s)}
			}, []string{`restore segment "six"`, "IPv6", "fd00::/64"},
		},
		"a rule of a later version": {
			func(s model.Segment, _ model.Port) []model.Change {
				s.Rules = []model.Rule{{ID: newID(), Protocol: "sctp"}}
				return []model.Change{model.PutSegment(s)}
			}, []string{`restore segment "bridge"`, "sctp"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.start()
			w.addPort(c, "a")
			w.close(c, false)
			s, _ := w.State.SegmentNamed(api.DefaultSegment)
			p, _ := w.State.PortNamed("a")
			next, _, err := w.State.With(test.change(s, p)...)
			if err != nil {
				t.Fatal(err)
			}
			w.Mu.Lock()
			w.State = next
			w.Mu.Unlock()
			records := fmt.Sprint(w.State.Records())
			_, err = w.tryStart()
			if err == nil {
				t.Fatal("it started")
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, want it to say %q", err, want)
				}
			}
			if now := fmt.Sprint(w.State.Records()); now != records {
				t.Error("the state was changed")
			}
		})
	}
}

// TestWhatCannotBeTakenBackIsLogged, but for what ends with the switch.
func TestWhatCannotBeTakenBackIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	c.logFailure("take back a thing", nil)
	if w.has("take back a thing") {
		t.Error("a success is logged as a failure")
	}
	c.logFailure("take back a thing", fmt.Errorf("remove it: %w", vswitch.ErrClosed))
	if w.has("take back a thing") {
		t.Error("the end of the switch is logged as a failure")
	}
	c.logFailure("take back a thing", errors.New("out of paper"))
	if !w.has("level=ERROR", "cannot take back a thing", "out of paper") {
		t.Errorf("the log does not say it: %s", w.log.String())
	}
}
