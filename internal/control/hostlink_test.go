package control

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/internal/counters"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

func TestHostLinkNamesFitTheKernel(t *testing.T) {
	t.Parallel()
	h := newHostLink(&segment{record: model.Segment{ID: newID()}}, new(counters.Block))
	if len(h.name) > 15 || h.name[:3] != "vs-" {
		t.Errorf("the name %q does not fit an interface", h.name)
	}
}

// errFailure is what calls of the stack fail with.
var errFailure = errors.New("out of order")

// wantFrames wants frames to pass between a container and the host by a segment's host link.
func (s *stack) wantFrames(c *Control, segment, port string) {
	s.Helper()
	p, err := c.Port(s.Context(), port)
	if err != nil {
		s.Fatal(err)
	}
	subnet := s.segment(c, segment)
	mac := frame.MACFromIPv4(addr(subnet.Gateway))
	container, hostSide := s.deviceIn(port).Wire, s.device(subnet.HostLink.Name).Wire
	container.Frames()
	hostSide.Frames()
	inside := netip.AddrPortFrom(p.IPs[0].Addr(), 1000)
	out := switchtest.UDP(mac, p.MAC, outside, inside, []byte("to the host"))
	container.Send(out)
	back := switchtest.UDP(p.MAC, mac, inside, outside, []byte("to the container"))
	hostSide.Send(back)
	synctest.Wait()
	if got := hostSide.Frames(); !slices.ContainsFunc(got, equals(out)) {
		s.Errorf("the host gets %x", got)
	}
	if got := container.Frames(); !slices.ContainsFunc(got, equals(back)) {
		s.Errorf("the container gets %x", got)
	}
}

// outside is whom a container talks with.
var outside = netip.MustParseAddrPort("192.0.2.1:2000")

func equals(a []byte) func([]byte) bool { return func(b []byte) bool { return bytes.Equal(a, b) } }

func TestHostLinkIsTheGateway(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		lab := s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.addSegment(c, "alone", "10.67.0.0/24", api.UplinkNone)
		s.addPort(c, "x", func(p *api.PortSpec) { p.Segment = "lab" })
		s.wantHostLink(c, "lab", api.PortUp, "")
		if l := s.segment(c, "alone").HostLink; l.Name != "" {
			s.Errorf("the segment without uplink has the host link %s", l.Name)
		}
		d := s.device(lab.HostLink.Name)
		l, mac := s.link(d), frame.MACFromIPv4(addr("10.66.0.1"))
		if !l.Up || !slices.Equal(l.MAC, mac[:]) {
			s.Errorf("the link is %+v, want it up with MAC %s", l.Link, mac)
		}
		if !l.Persistent || s.Kept[keptHostLink.name(lab.ID)] != d.Fd() {
			s.Errorf("the link is persistent: %t, and the kept descriptors are %v", l.Persistent, s.Kept)
		}
		if alias := s.aliasOf(lab.HostLink.Name); alias != "vswitch segment lab" {
			s.Errorf("its alias is %q", alias)
		}
		s.wantFrames(c, "lab", "x")

		if _, err := c.DeleteSegment(s.Context(), "lab", true); err != nil {
			s.Fatal(err)
		}
		if slices.Contains(s.AllLinks(), "own/"+lab.HostLink.Name) {
			s.Errorf("the link outlives its segment: %q", s.AllLinks())
		}
		if _, kept := s.Kept[keptHostLink.name(lab.ID)]; kept {
			s.Error("a descriptor of it is kept")
		}
	})
}

// TestNoSegmentWithoutItsHostLink: a segment whose host link cannot be made is refused, leaves
// nothing, and can be made later.
func TestNoSegmentWithoutItsHostLink(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call string
		err  error
		kind api.Kind
		says string
	}{
		"its name is taken": {
			"create vs-", fs.ErrExist, api.Conflict, `the host's interface of segment "lab"`,
		},
		"the kernel has no TAP":     {"create vs-", syscall.ENODEV, api.Unsupported, "no such device"},
		"no clone device":           {"create vs-", fs.ErrNotExist, api.Unsupported, "not exist"},
		"not allowed":               {"create vs-", fs.ErrPermission, api.Denied, "permission"},
		"the kernel is out of them": {"create vs-", errFailure, api.Internal, "out of order"},
		"it cannot be set up":       {"set up", errFailure, api.Internal, "out of order"},
		"routes cannot be listed":   {"conflict", errFailure, api.Internal, "out of order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				links, kept := s.AllLinks(), len(s.Kept)
				s.FailCall(test.call, test.err)
				spec := api.SegmentSpec{Name: "lab", Subnet: prefix("10.66.0.0/24")}
				_, err := c.AddSegment(s.Context(), spec)
				wantError(s.T, err, test.kind, test.says)
				if !slices.Equal(s.AllLinks(), links) || len(s.Kept) != kept {
					s.Errorf("left are the links %q and the descriptors %v", s.AllLinks(), s.Kept)
				}
				if n := len(slices.Collect(s.State.Segments())); n != 1 {
					s.Errorf("the state has %d segments", n)
				}
				s.FailCall(test.call, nil)
				if _, err := c.AddSegment(s.Context(), spec); err != nil {
					s.Errorf("once it would work: %v", err)
				}
			})
		})
	}
}

// A subnet that the host has a use for is refused, unless the host gets no route to it.
func TestSubnetOfTheHost(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addSegment(c, "moves", "10.1.0.0/24", api.UplinkHost)
		before := s.see(c)
		s.With(func() { s.HostNet = prefix("10.64.0.0/10") })
		_, err := c.AddSegment(s.Context(), api.SegmentSpec{Name: "lab", Subnet: prefix("10.67.0.0/24")})
		wantError(s.T, err, api.Conflict, "10.67.0.0/24", "route to 10.64.0.0/10", "uplink none")
		update := api.SegmentUpdate{Subnet: new(prefix("10.68.0.0/24"))}
		_, err = c.UpdateSegment(s.Context(), "moves", update)
		wantError(s.T, err, api.Conflict, "10.68.0.0/24", "route to 10.64.0.0/10")
		if now := s.see(c); !reflect.DeepEqual(now, before) {
			s.Errorf("there is\n%+v, where there was\n%+v", now, before)
		}
		s.addSegment(c, "alone", "10.67.0.0/24", api.UplinkNone)
	})
}

// TestDefaultSegmentWaitsForItsHostLink: what keeps the host link from being made keeps no
// container from the switch, is shown and logged once, and the link is made as soon as it can be.
func TestDefaultSegmentWaitsForItsHostLink(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.FailCall("create vs-", syscall.ENODEV)
		c := s.start()
		s.wantHostLink(c, "bridge", api.PortDown, "no such device")
		s.addPort(c, "a")
		s.pass(time.Minute)
		s.wantLines(1, "segment has no host link, and so no way out", "segment=bridge")
		s.FailCall("create vs-", fs.ErrPermission)
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "bridge", api.PortDown, "permission denied")
		s.wantLines(2, "segment has no host link, and so no way out")

		s.FailCall("create vs-", nil)
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "bridge", api.PortUp, "")
		s.wantLines(1, "host link made again", "segment=bridge")
		s.wantFrames(c, "bridge", "a")
		if config, _ := s.config(); len(config.Segments) != 1 {
			s.Errorf("the firewall has %+v", config)
		}
	})
}

// TestHostLinkIsMadeAgain: what others do to the interface ends neither the segment nor its way to
// the host.
func TestHostLinkIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do     func(s *stack, c *Control, d *kerneltest.Device)
		reason string
	}{
		"deleted": {
			func(s *stack, _ *Control, d *kerneltest.Device) { s.deleteLink(d) }, hostLinkDeleted,
		},
		"moved": {func(s *stack, _ *Control, d *kerneltest.Device) {
			s.moveLink(d, s.Named["a"])
			s.event(s.linkEvent(d))
		}, hostLinkMoved},
		"deleted, which is seen before its descriptor tells": {func(s *stack, _ *Control, d *kerneltest.Device) {
			event := s.linkEvent(d)
			s.With(func() {
				delete(d.Link.In.Links, d.Link.Index)
				d.Link = nil
			})
			s.event(event)
			s.pass(lookDelay)
			d.Wire.Break()
		}, hostLinkDeleted},
		// It must not wait for the time at which something else is tried again.
		"deleted while it was not right": {func(s *stack, c *Control, d *kerneltest.Device) {
			s.FailCall("set up", errFailure)
			s.event(s.linkEvent(d))
			s.pass(lookDelay)
			s.wantHostLink(c, "bridge", api.PortDown, "out of order")
			s.FailCall("set up", nil)
			s.deleteLink(d)
		}, hostLinkDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				s.tasks(c)
				s.addPort(c, "a")
				link := s.segment(c, "bridge").HostLink.Name
				s.pass(hostLinkPause)
				test.do(s, c, s.device(link))
				s.pass(lookDelay)
				s.wantLines(1, "host link lost", "segment=bridge", "reason=\""+test.reason)
				s.pass(lookDelay)
				synctest.Wait()
				s.wantLines(1, "host link made again", "interface="+link)
				s.wantHostLink(c, "bridge", api.PortUp, "")
				s.wantFrames(c, "bridge", "a")
				s.socket("172.17.0.1")
				if got, want := s.AllLinks(), []string{"a/eth0", "own/" + link}; !slices.Equal(got, want) {
					s.Errorf("the links are %q, want %q", got, want)
				}
				fd := s.device(link).Fd()
				s.With(func() {
					if !slices.Contains(slices.Collect(maps.Values(s.Kept)), fd) {
						s.Errorf("the descriptors %v are kept, and not %d", s.Kept, fd)
					}
				})
			})
		})
	}
}

// How the host treats a segment's packets is said once, until it can be set again.
func TestHostLinkThatIsNotHardened(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.FailCall("harden", errFailure)
		c := s.start()
		s.tasks(c)
		link := s.segment(c, "bridge").HostLink.Name
		for range 3 {
			s.pass(hostLinkPause)
			s.event(s.linkEvent(s.device(link)))
		}
		s.pass(hostLinkPause)
		s.wantLines(1, "the host treats a segment's packets as its defaults say", "out of order")
		s.wantHostLink(c, "bridge", api.PortUp, "")
		s.FailCall("harden", nil)
		s.event(s.linkEvent(s.device(link)))
		s.pass(hostLinkPause)
		s.FailCall("harden", errFailure)
		s.event(s.linkEvent(s.device(link)))
		s.pass(hostLinkPause)
		s.wantLines(2, "the host treats a segment's packets as its defaults say")
	})
}

// A stop that removes the ports removes the host links, and the next start makes them again.
func TestHostLinksGoWithThePorts(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.close(c, true)
		if len(s.AllLinks()) != 0 || len(s.Kept) != 0 {
			s.Errorf("left are the links %q and the descriptors %v", s.AllLinks(), s.Kept)
		}
		if _, there := s.config(); there {
			s.Error("the firewall's rules stay")
		}
		c = s.start()
		for _, name := range []string{"bridge", "lab"} {
			s.wantHostLink(c, name, api.PortUp, "")
		}
		if n := strings.Count(strings.Join(s.AllLinks(), " "), "own/vs-"); n != 2 {
			s.Errorf("the links are %q", s.AllLinks())
		}
	})
}
