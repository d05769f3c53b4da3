package control

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
)

// TestHostLinkAfterARestart: the next process goes on with the interface that there is, or makes
// another.
func TestHostLinkAfterARestart(t *testing.T) {
	t.Parallel()
	const useless = "kept descriptor is of no use"
	for name, test := range map[string]struct {
		meanwhile func(s *stack, d *kerneltest.Device)
		same      bool // interface
		says      string
	}{
		"nothing happened": {func(*stack, *kerneltest.Device) {}, true, ""},
		"it was renamed": {func(s *stack, d *kerneltest.Device) {
			s.change(d, func(l *kerneltest.Link) { l.Name = "lan0" })
		}, true, "host link was changed and is put right"},
		"nobody kept the descriptor": {func(s *stack, _ *kerneltest.Device) { s.EndSupervisor() }, true, ""},
		"it was deleted":             {func(s *stack, d *kerneltest.Device) { s.deleteLink(d) }, false, useless},
		"it was moved": {func(s *stack, d *kerneltest.Device) {
			s.moveLink(d, s.Named["a"])
		}, false, useless},
		"it was deleted, and nobody kept the descriptor": {func(s *stack, d *kerneltest.Device) {
			s.deleteLink(d)
			s.EndSupervisor()
		}, false, "host link made again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				s.addPort(c, "a")
				link := s.segment(c, "bridge").HostLink.Name
				d := s.device(link)
				index := s.link(d).Index
				s.crash(c)
				test.meanwhile(s, d)
				c = s.start()
				s.tasks(c)
				c.Settle()
				s.wantHostLink(c, "bridge", api.PortUp, "")
				if now := s.link(s.device(link)); (now.Index == index) != test.same {
					s.Errorf("the link has index %d, had %d", now.Index, index)
				}
				s.wantFrames(c, "bridge", "a")
				s.socket("172.17.0.1")
				if test.says != "" && !s.has(test.says, "interface="+link) {
					s.Errorf("the log does not say %q:\n%s", test.says, &s.log)
				}
				if got, want := s.AllLinks(), []string{"a/eth0", "own/" + link}; !slices.Equal(got, want) {
					s.Errorf("the links are %q, want %q", got, want)
				}
				// What happens to it is followed.
				s.pass(hostLinkPause)
				s.event(eventOf(s.change(s.device(link), func(l *kerneltest.Link) { l.Up = false })))
				s.pass(2 * lookDelay)
				if l := s.link(s.device(link)); !l.Up {
					s.Error("the link was set down, and stays so")
				}
			})
		})
	}
}

// A host link that cannot be had at the start is tried again, and followed from then on.
func TestHostLinkThatIsHadLate(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		link := s.segment(c, "bridge").HostLink.Name
		s.crash(c)
		s.EndSupervisor()
		s.FailCall("attach vs-", errFailure)
		c = s.start()
		s.tasks(c)
		c.Settle()
		s.wantHostLink(c, "bridge", api.PortDown, "out of order")
		index := 0
		s.With(func() {
			for _, l := range s.Own.Links {
				l.Up, index = false, l.Index
			}
		})
		s.FailCall("attach vs-", nil)
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "bridge", api.PortUp, "")
		if !s.link(s.device(link)).Up {
			s.Error("the link stays down")
		}
		s.pass(hostLinkPause)
		s.change(s.device(link), func(l *kerneltest.Link) { l.Up = false })
		s.event(eventOf(index))
		s.pass(2 * lookDelay)
		if !s.link(s.device(link)).Up {
			s.Error("nobody sees that the link was set down")
		}
		s.wantFrames(c, "bridge", "a")
	})
}

// A subnet that the host has got another use for meanwhile is not taken from it.
func TestHostLinkWaitsForItsSubnet(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		link := s.segment(c, "bridge").HostLink.Name
		s.With(func() { s.HostNet = prefix("172.17.0.0/16") })
		s.deleteLink(s.device(link))
		s.pass(time.Minute)
		s.wantHostLink(c, "bridge", api.PortDown,
			"172.17.0.0/24 overlaps the host's route to 172.17.0.0/16")
		if len(s.AllLinks()) != 0 {
			s.Errorf("the links are %q", s.AllLinks())
		}
		s.wantLines(1, "segment has no host link", "overlaps")
		s.With(func() { s.HostNet = netip.Prefix{} })
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "bridge", api.PortUp, "")
	})
}

// TestHostLinkOutlivesAFailingLook: that the daemon cannot find out in which namespace the
// interface is, as when it is out of descriptors, is no reason to delete it.
func TestHostLinkOutlivesAFailingLook(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.tasks(c)
		name := s.segment(c, "bridge").HostLink.Name
		d := s.device(name)
		s.pass(hostLinkPause)
		s.FailCall("own namespace", syscall.EMFILE)
		s.event(s.linkEvent(d))
		s.pass(hostLinkRetry)
		s.wantLines(0, "host link lost")
		s.wantHostLink(c, "bridge", api.PortDown, "too many open files")
		s.wantFrames(c, "bridge", "a")
		s.FailCall("own namespace", nil)
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "bridge", api.PortUp, "")
		if s.device(s.link(d).Name) != d {
			s.Error("the link was made again")
		}
		index := s.link(d).Index

		s.crash(c)
		s.FailCall("own namespace", syscall.EMFILE)
		c = s.start()
		s.wantFrames(c, "bridge", "a")
		c.Settle()
		s.wantHostLink(c, "bridge", api.PortDown, "too many open files")
		s.FailCall("own namespace", nil)
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "bridge", api.PortUp, "")
		s.wantFrames(c, "bridge", "a")
		if now := s.link(s.device(name)).Index; now != index {
			s.Errorf("after the restart the link has index %d, had %d", now, index)
		}
	})
}
