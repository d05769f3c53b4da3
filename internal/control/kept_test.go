package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// keptStub is a supervisor that has some descriptors and notes what it is told.
type keptStub struct {
	has  map[string][]int
	told []string
}

func (s *keptStub) Names() []string { return nil }

func (s *keptStub) Take(name string) []int {
	fds := s.has[name]
	delete(s.has, name)
	return fds
}

func (s *keptStub) Keep(name string, fd int) error {
	s.told = append(s.told, fmt.Sprint("keep ", name, " ", fd))
	return nil
}

func (s *keptStub) Drop(name string) error {
	s.told = append(s.told, "drop "+name)
	return nil
}

func (s *keptStub) Sync(context.Context) error { return nil }

func (s *keptStub) wants(t *testing.T, told ...string) {
	t.Helper()
	if !slices.Equal(s.told, told) {
		t.Errorf("the supervisor was told %q, want %q", s.told, told)
	}
}

// maxDevices is how many there may be: ports, and host links of segments.
const maxDevices = 8192 + 1024

// TestNamesOfKeptDevices: all fit into one variable of the environment, and none is like another.
func TestNamesOfKeptDevices(t *testing.T) {
	t.Parallel()
	seen, length := make(map[string]bool), 0
	for range maxDevices {
		id := newID()
		for _, kind := range []keptKind{keptPort, keptHostLink} {
			name := kind.name(id)
			if seen[name] || name != kind.name(id) {
				t.Fatalf("the name %s is not the device's own", name)
			}
			seen[name] = true
			if len(name) > 15 || !isDeviceName(name) || !isDeviceName(oldPrefixes[kind]+id) {
				t.Fatalf("%q is no name of a device, or too long", name)
			}
		}
		length += len(keptPort.name(id)) + 1
	}
	if length > 127<<10 {
		t.Errorf("the names of %d devices have %d bytes", maxDevices, length)
	}
	for _, name := range []string{
		"", "api", "docker", "supervisor", "p", "pAAAAAAAAAAAA=", "qAAAAAAAAAAAA",
	} {
		if isDeviceName(name) {
			t.Errorf("%q is taken for a device's name", name)
		}
	}
}

// The name of a device must be that of the build before: the next one adopts no other.
func TestNameOfAKeptDeviceStays(t *testing.T) {
	t.Parallel()
	if name := keptPort.name("5fb1286b07ba"); name != "preaTyQr2NxCy" {
		t.Errorf("the name is %s", name)
	}
}

func TestOldNamesAreKeptUntilTheProcessIsProven(t *testing.T) {
	t.Parallel()
	a, b := keptPort.name("a"), keptHostLink.name("b")
	s := &keptStub{has: map[string][]int{"port-a": {7}, "uplink-b": {8}, keptPort.name("c"): {9}}}
	k := newKeptDevices(s, s)
	for want, fds := range map[int][]int{
		7: k.take(keptPort, "a"), 8: k.take(keptHostLink, "b"), 9: k.take(keptPort, "c"),
	} {
		if !slices.Equal(fds, []int{want}) {
			t.Errorf("taken is %v, want [%d]", fds, want)
		}
	}
	for _, err := range []error{
		k.keep(keptPort, "a", 7), k.keep(keptHostLink, "b", 8), k.keep(keptPort, "c", 9),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	s.wants(t) // all are kept
	if err := k.drop(keptHostLink, "b"); err != nil {
		t.Error(err)
	}
	for range 2 { // the second one has nothing left to do
		if err := k.catchUp(); err != nil {
			t.Error(err)
		}
	}
	s.wants(t, "drop uplink-b", "drop "+b, "drop port-a", "keep "+a+" 7")
}

// Before frames pass the supervisor is told of no device, and then of those that it does not hold.
func TestOnlyWhatIsNotKeptIsKeptAfterTheStart(t *testing.T) {
	t.Parallel()
	held, opened, ended := keptPort.name("held"), keptPort.name("opened"), keptPort.name("ended")
	s := &keptStub{has: map[string][]int{held: {7}}}
	k := newKeptDevices(s, s)
	k.take(keptPort, "held")
	k.keepPortSoon("held", 7)
	k.keepPortSoon("opened", 8)
	k.keepPortSoon("ended", 9)
	if err := k.drop(keptPort, "ended"); err != nil {
		t.Error(err)
	}
	s.wants(t, "drop "+ended)
	for range 2 { // the second one has nothing left to do
		if err := k.catchUp(); err != nil {
			t.Error(err)
		}
	}
	s.wants(t, "drop "+ended, "keep "+opened+" 8")
	if err := errors.Join(k.drop(keptPort, "held"), k.keep(keptPort, "held", 10)); err != nil {
		t.Error(err)
	}
	s.wants(t, "drop "+ended, "keep "+opened+" 8", "drop "+held, "keep "+held+" 10")
}

// What was not taken for use, as its device has ended, is not kept again.
func TestOldNameOfAnEndedDeviceIsForgotten(t *testing.T) {
	t.Parallel()
	s := &keptStub{has: map[string][]int{"port-a": {7}}}
	k := newKeptDevices(s, s)
	k.take(keptPort, "a")
	if err := errors.Join(k.drop(keptPort, "a"), k.keep(keptPort, "a", 10), k.catchUp()); err != nil {
		t.Error(err)
	}
	name := keptPort.name("a")
	s.wants(t, "drop port-a", "drop "+name, "keep "+name+" 10")
}

// failingKeeper is a supervisor that does not answer.
type failingKeeper struct{ keptStub }

var errKeeper = errors.New("the supervisor does not answer")

func (k *failingKeeper) Keep(string, int) error     { return errKeeper }
func (k *failingKeeper) Drop(string) error          { return errKeeper }
func (k *failingKeeper) Sync(context.Context) error { return errKeeper }

// TestSupervisorThatDoesNotAnswer is told of in errors, and what has an old name then is not tried
// for ever.
func TestSupervisorThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := &failingKeeper{keptStub{has: map[string][]int{"port-a": {7}, keptPort.name("a"): {8}}}}
	k := newKeptDevices(s, s)
	if fds := k.take(keptPort, "a"); !slices.Equal(fds, []int{8, 7}) {
		t.Errorf("taken is %v, want what has today's name first", fds)
	}
	if err := k.keep(keptPort, "a", 8); err != nil {
		t.Errorf("what is kept under an old name: %v", err)
	}
	for what, err := range map[string]error{
		"catch up": k.catchUp(), "keep": k.keep(keptPort, "b", 9), "drop": k.drop(keptPort, "b"), "sync": k.sync(),
	} {
		if !errors.Is(err, errKeeper) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := k.catchUp(); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestPortsWithoutASupervisor that answers work, and the log says what the next process lacks.
func TestPortsWithoutASupervisor(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	w.adjust = func(c *core) {
		s := new(failingKeeper)
		c.config.Keeper, c.kept = s, newKeptDevices(s, s)
	}
	c := w.world.start()
	a := w.addPort(c, "a")
	w.wantPortShown(c, "a", "up")
	w.wantLog("level=WARN", "descriptor not kept", "interface=vst-"+a.ID[:8], errKeeper.Error())
	w.wantLog("level=WARN", "descriptor not kept", "interface=vs-", errKeeper.Error())
	w.close(c, false)
	next := w.world.start() // which finds them by their names
	next.Settle()
	wantWhole(t, w.world, next)
	if _, err := next.DeletePort(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// TestOldNamesAreRenamedAfterAStart, and not before: the program before knows no others.
func TestOldNamesAreRenamedAfterAStart(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a := w.addPort(c, "a")
		name, old := keptPort.name(a.ID), "port-"+a.ID
		c = w.restart(c, func(w *watchedWorld, c *Control) {
			killed(w, c)
			w.Kept[old] = w.Kept[name]
			delete(w.Kept, name)
		})
		w.wantPortShown(c, "a", "up")
		if w.Kept[old] == 0 || w.Kept[name] != 0 {
			w.Errorf("before it has proved itself kept are %v", w.Kept)
		}
		c.Settle()
		w.rest()
		if w.Kept[old] != 0 || w.Kept[name] == 0 {
			w.Errorf("afterwards kept are %v", w.Kept)
		}
		c = w.restart(c, killed)
		w.wantPortShown(c, "a", "up")
		_, err := c.DeletePort(w.Context(), "a")
		w.wantNil(err)
		w.wantLinks("own/" + hostLinkOf(w.world, c))
	})
}
