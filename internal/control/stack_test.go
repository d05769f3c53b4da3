package control

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/host"
	"vswitch/internal/netns"
)

// stack is a world whose host has more to it: links that others change, addresses, sockets, a
// firewall, and files. Each of its calls fails while a test says so.
type stack struct {
	*world
	fails   map[string]error // of a call, by its name; guarded by mu, as all below
	hostNet netip.Prefix     // that the host has for something else
	foreign []host.Foreign
	events  chan netns.LinkEvent
	setUps  int // how often a host link was set up
	alias   map[string]string
	sockets []*fakeSocket // of host links, that are open
	shared  []uint16
	forgot  []string
	resolv  map[string]string // the resolv.conf of a namespace: port's id and nameserver
}

func newStack(t *testing.T) *stack {
	s := &stack{
		world: newWorld(t), fails: make(map[string]error), events: make(chan netns.LinkEvent),
		alias: make(map[string]string), resolv: make(map[string]string),
	}
	s.adjust = func(c *core) { c.kernel = stackKernel{fakeKernel{s.world}, s} }
	return s
}

// inStack runs a test in a bubble of its own time.
func inStack(t *testing.T, f func(s *stack)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newStack(t)) })
}

// pass has time pass, and what is due then be done.
func (s *stack) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// fail has a call fail from now on; nil ends it.
func (s *stack) fail(call string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[call] = err
}

// with calls f when nobody else changes the world.
func (s *stack) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// failure returns the error that a call is to return.
func (s *stack) failure(call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fails[call]
}

// restart ends the process without warning, and starts the next one.
func (s *stack) restart(c *Control) *Control {
	s.Helper()
	s.crash(c)
	return s.start()
}

// crash ends the process without warning. What the dead one still has running does nothing.
func (s *stack) crash(c *Control) {
	s.die()
	s.close(c, false)
	synctest.Wait()
}

// forget ends the descriptors that the supervisor keeps of a process that has ended.
func (s *stack) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := slices.Collect(maps.Values(s.kept))
	clear(s.kept)
	for _, fd := range kept {
		s.devices[fd].closeLocked()
	}
}

// tasks runs the Control's tasks until the test ends.
func (s *stack) tasks(c *Control) {
	ctx, cancel := context.WithCancel(s.Context())
	for _, task := range c.Tasks() {
		go func() { _ = task.Run(ctx) }()
	}
	s.Cleanup(cancel)
	synctest.Wait()
}

// addSegment adds one with that uplink.
func (s *stack) addSegment(c *Control, name, subnet string, uplink api.Uplink) api.Segment {
	s.Helper()
	segment, err := c.AddSegment(s.Context(), api.SegmentSpec{
		Name: name, Subnet: prefix(subnet), Uplink: uplink,
	})
	if err != nil {
		s.Fatal(err)
	}
	return segment
}

// segment returns what the API shows of it.
func (s *stack) segment(c *Control, name string) api.Segment {
	s.Helper()
	segment, err := c.Segment(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	return segment
}

// wantHostLink wants a segment's host link to be in a state, for a reason with that in it.
func (s *stack) wantHostLink(c *Control, name string, state api.PortState, reason string) {
	s.Helper()
	l := s.segment(c, name).HostLink
	if l.State != state || !strings.Contains(l.Reason, reason) || reason == "" && l.Reason != "" {
		s.Errorf("the host link of %s is %s: %q, want %s: %q", name, l.State, l.Reason, state, reason)
	}
}

// wantError wants an error of a kind whose message has all these parts.
func wantError(t *testing.T, err error, kind api.Kind, parts ...string) {
	t.Helper()
	if err == nil || api.KindOf(err) != kind {
		t.Errorf("the error is %v, want one of kind %s", err, kind)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error is %q, which does not say %q", err, p)
		}
	}
}

// wantLines wants so many lines of the log to have all these parts.
func (s *stack) wantLines(n int, parts ...string) {
	s.Helper()
	synctest.Wait()
	found := 0
	for line := range strings.Lines(s.log.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			found++
		}
	}
	if found != n {
		s.Errorf("%d lines of the log have %q, want %d:\n%s", found, parts, n, &s.log)
	}
}

// device returns the open descriptor of the link of this name.
func (s *stack) device(name string) *fakeDevice {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if d.link != nil && d.link.Name == name {
			return d
		}
	}
	s.Fatalf("no device has the link %s", name)
	return nil
}

// deviceIn returns the open descriptor of the link in a container's namespace.
func (s *stack) deviceIn(namespace string) *fakeDevice {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if d.link != nil && d.link.in == s.named[namespace] {
			return d
		}
	}
	s.Fatalf("no device has a link in %s", namespace)
	return nil
}

// deleteLink is "ip link del" of a device's link, of which its descriptor tells.
func (s *stack) deleteLink(d *fakeDevice) {
	s.mu.Lock()
	delete(d.link.in.links, d.link.Index)
	d.link = nil
	s.mu.Unlock()
	d.wire.Break()
}

// link returns what a device's link is.
func (s *stack) link(d *fakeDevice) (l fakeLink) {
	s.with(func() { l = *d.link })
	return l
}

// change changes a link as others do, and returns its index.
func (s *stack) change(d *fakeDevice, f func(l *fakeLink)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(d.link)
	return d.link.Index
}

// moveLink is "ip link set NAME netns NAMESPACE".
func (s *stack) moveLink(d *fakeDevice, to *fakeNamespace) {
	s.change(d, func(l *fakeLink) {
		delete(l.in.links, l.Index)
		l.in, to.links[l.Index] = to, l
	})
}

// event tells of a change of the host link with that index, and waits for what follows at once.
func (s *stack) event(e netns.LinkEvent) {
	s.events <- e
	synctest.Wait()
}
