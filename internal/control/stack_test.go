package control

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/host"
	"vswitch/internal/netns"
)

// stack is a world in a bubble of its own time.
type stack struct{ *world }

// inStack runs a test in a bubble of its own time.
func inStack(t *testing.T, f func(s *stack)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(&stack{newWorld(t)}) })
}

// pass has time pass, and what is due then be done.
func (s *stack) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
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
func (s *stack) device(name string) *kerneltest.Device {
	s.Helper()
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, d := range s.Devices {
		if d.Link != nil && d.Link.Name == name {
			return d
		}
	}
	s.Fatalf("no device has the link %s", name)
	return nil
}

// deviceIn returns the open descriptor of the link in a container's namespace.
func (s *stack) deviceIn(namespace string) *kerneltest.Device {
	s.Helper()
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, d := range s.Devices {
		if d.Link != nil && d.Link.In == s.Named[namespace] {
			return d
		}
	}
	s.Fatalf("no device has a link in %s", namespace)
	return nil
}

// deleteLink is "ip link del" of a device's link, of which its descriptor tells.
func (s *stack) deleteLink(d *kerneltest.Device) {
	l := s.link(d)
	s.RemoveLink(l.In, l.Name)
}

// link returns what a device's link is.
func (s *stack) link(d *kerneltest.Device) (l kerneltest.Link) {
	s.With(func() { l = *d.Link })
	return l
}

// change changes a link as others do, and returns its index.
func (s *stack) change(d *kerneltest.Device, f func(l *kerneltest.Link)) int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	f(d.Link)
	return d.Link.Index
}

// moveLink is "ip link set NAME netns NAMESPACE".
func (s *stack) moveLink(d *kerneltest.Device, to *kerneltest.Namespace) {
	s.change(d, func(l *kerneltest.Link) {
		delete(l.In.Links, l.Index)
		l.In, to.Links[l.Index] = to, l
	})
}

// event tells of a change of the host link with that index, and waits for what follows at once.
func (s *stack) event(e netns.LinkEvent) {
	s.HostLinks.Events <- e
	synctest.Wait()
}

// socketsAt returns the open sockets at an address, once all is done that is to be done now.
func (s *stack) socketsAt(addr string) []*kerneltest.Socket {
	synctest.Wait()
	return s.SocketsAt(addr)
}

// socket returns the only open one at an address.
func (s *stack) socket(addr string) *kerneltest.Socket {
	s.Helper()
	open := s.socketsAt(addr)
	if len(open) != 1 {
		s.Fatalf("%d sockets are open at %s, want one", len(open), addr)
	}
	return open[0]
}

// config returns what the firewall does now.
func (s *stack) config() (c host.Config, there bool) {
	s.With(func() { c, there = s.Rules, s.RulesThere })
	return c, there
}

// forwards returns what the firewall sends on to containers.
func (s *stack) forwards() []string {
	c, _ := s.config()
	list := []string{}
	for _, f := range c.Forwards {
		list = append(list, f.String()+" at "+f.To.String())
	}
	slices.Sort(list)
	return list
}

// reservedPorts returns the ports that are kept from other programs.
func (s *stack) reservedPorts() []string {
	list := []string{}
	s.With(func() {
		for p := range s.Reserved {
			list = append(list, p.At.String())
		}
	})
	slices.Sort(list)
	return list
}
