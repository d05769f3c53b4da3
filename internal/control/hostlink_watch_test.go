package control

import (
	"slices"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/netns"
)

// eventOf returns the event of a change to the link of that index.
func eventOf(index int) netns.LinkEvent { return netns.LinkEvent{Index: index} }

// linkEvent returns the event of a change to a device's link.
func (s *stack) linkEvent(d *kerneltest.Device) netns.LinkEvent { return eventOf(s.link(d).Index) }

// countSetUps returns how often host links were set up since it was called last.
func (s *stack) countSetUps() (n int) {
	s.With(func() { n, s.SetUps = s.SetUps, 0 })
	return n
}

// aliasOf returns the alias of the host link of this name.
func (s *stack) aliasOf(name string) (alias string) {
	s.With(func() { alias = s.Aliases[name] })
	return alias
}

// TestHostLinkIsPutRight: whatever somebody else on the host makes of a host link is noticed, put
// right, and logged by what it was.
func TestHostLinkIsPutRight(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*kerneltest.Link){
		"name":        func(l *kerneltest.Link) { l.Name = "lan0" },
		"mac address": func(l *kerneltest.Link) { l.MAC = []byte{2, 0, 0, 0, 0, 9} },
		"up":          func(l *kerneltest.Link) { l.Up = false },
		"name, up":    func(l *kerneltest.Link) { l.Name, l.Up = "lan0", false },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				s.tasks(c)
				s.addPort(c, "a")
				name := s.segment(c, "bridge").HostLink.Name
				d := s.device(name)
				before := s.link(d)
				s.pass(hostLinkPause)
				s.event(eventOf(s.change(d, change)))
				s.pass(lookDelay)
				s.wantLines(1, "host link was changed and is put right", "segment=bridge", "what", what)
				now := s.link(d)
				if now.Name != name || !now.Up || !slices.Equal(now.MAC, before.MAC) {
					s.Errorf("the link is %+v, want %+v", now.Link, before.Link)
				}
				s.wantFrames(c, "bridge", "a")
			})
		})
	}
}

// TestTwoWhoManageAHostLink: another manager that undoes at once what vswitchd does has no more
// than one change a second from it.
func TestTwoWhoManageAHostLink(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.tasks(c)
		d := s.device(s.segment(c, "bridge").HostLink.Name)
		s.countSetUps()
		const seconds = 10
		for range seconds * 1000 {
			s.pass(time.Millisecond)
			s.change(d, func(l *kerneltest.Link) { l.Up = false })
			s.event(s.linkEvent(d))
		}
		if n := s.countSetUps(); n < seconds-2 || n > seconds+1 {
			s.Errorf("the link was set up %d times in %d s, want once a second", n, seconds)
		}
	})
}

// Only the link that an event is about is looked at; all are when the kernel has dropped some.
func TestWhichHostLinkAnEventIsAbout(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.tasks(c)
		lab := s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.addSegment(c, "alone", "10.67.0.0/24", api.UplinkNone)
		bridge := s.segment(c, "bridge")
		s.pass(hostLinkPause)
		for name, test := range map[string]struct {
			event  netns.LinkEvent
			setUps int
		}{
			"one":         {s.linkEvent(s.device(lab.HostLink.Name)), 1},
			"another":     {s.linkEvent(s.device(bridge.HostLink.Name)), 1},
			"none":        {eventOf(4711), 0},
			"a malformed": {eventOf(-1), 0},
			"no one":      {eventOf(0), 0},
			"missed":      {netns.LinkEvent{Missed: true}, 2},
		} {
			s.countSetUps()
			s.event(test.event)
			s.pass(2 * lookDelay)
			if n := s.countSetUps(); n != test.setUps {
				s.Errorf("an event of %s: %d were looked at, want %d", name, n, test.setUps)
			}
		}
	})
}

// A link that cannot be put right is shown as such, logged once for each reason, and tried again.
func TestHostLinkThatIsNotPutRight(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.tasks(c)
		d := s.device(s.segment(c, "bridge").HostLink.Name)
		s.pass(hostLinkPause)
		s.FailCall("set up", errFailure)
		s.event(eventOf(s.change(d, func(l *kerneltest.Link) { l.Up = false })))
		s.pass(lookDelay)
		s.wantLines(1, "host link not put right", "segment=bridge", "out of order")
		s.pass(time.Minute)
		s.wantLines(1, "host link not put right")
		s.wantHostLink(c, "bridge", api.PortDown, "out of order")
		s.FailCall("set up", nil)
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "bridge", api.PortUp, "")
		if !s.link(d).Up {
			s.Error("the link stays down")
		}
	})
}

// A link that is renamed after the next process has adopted it, and before it looks, is found.
func TestHostLinkRenamedBeforeTheFirstLook(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		name := s.segment(c, "bridge").HostLink.Name
		c = s.restart(c)
		d := s.device(name)
		s.change(d, func(l *kerneltest.Link) { l.Name = "lan0" })
		c.Settle()
		s.wantHostLink(c, "bridge", api.PortUp, "")
		if now := s.link(d).Name; now != name {
			s.Errorf("the link is called %s, want %s", now, name)
		}
	})
}

// The interface's alias is what people find a segment by on the host.
func TestHostLinkHasTheSegmentsName(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		lab := s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		update := api.SegmentUpdate{Name: new("office")}
		if _, err := c.UpdateSegment(s.Context(), "lab", update); err != nil {
			s.Fatal(err)
		}
		s.pass(lookDelay)
		if alias := s.aliasOf(lab.HostLink.Name); alias != "vswitch segment office" {
			s.Errorf("the alias is %q", alias)
		}
	})
}

// Without a watcher the switch works, and says what it does not.
func TestHostLinksWithoutAWatcher(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.FailCall("watch host links", errFailure)
		c := s.start()
		s.wantLines(1, "changes to host links will go unnoticed", "out of order")
		s.addPort(c, "a")
		s.wantFrames(c, "bridge", "a")
	})
}

// Nothing is done to the interfaces by a process that stops.
func TestHostLinksAreLeftAloneAtTheEnd(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.tasks(c)
		d := s.device(s.segment(c, "bridge").HostLink.Name)
		s.pass(hostLinkPause)
		s.event(s.linkEvent(d))
		s.close(c, false)
		s.countSetUps()
		s.event(netns.LinkEvent{Missed: true})
		s.pass(time.Minute)
		if n := s.countSetUps(); n != 0 {
			s.Errorf("the link was set up %d times after the end", n)
		}
	})
}
