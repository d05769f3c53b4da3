package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/host"
	"vswitch/internal/netns"
)

// TestPublishedAfterARestart: what cannot be had again is shown with the reason, tried again, and
// logged once.
func TestPublishedAfterARestart(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"another program's": fmt.Errorf("%w: 5000/udp", host.ErrInUse),
		"the address late":  fmt.Errorf("%w: 192.0.2.1", host.ErrNotHost),
		"no descriptors":    errFailure,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				s.addPort(c, "a")
				s.addPort(c, "b")
				s.mustPublish(c, "a", "192.0.2.1:5000:50/udp")
				s.crash(c)
				s.FailCall("reserve", err)
				s.Forgot = nil
				c = s.start()
				reason := strings.SplitN(err.Error(), ":", 2)[0]
				s.wantPublished(c, []string{}, "a=192.0.2.1:5000:50/udp "+reason)
				s.pass(time.Minute)
				s.wantLines(1, "port not published", "port=a", reason)
				s.FailCall("reserve", nil)
				_, err := s.publish(c, "b", "192.0.2.1:5000:50/udp")
				wantError(s.T, err, api.Conflict, `port "a"`)
				s.FailCall("apply", errFailure)
				s.pass(retryMost)
				s.wantLines(1, "containers reach the host and no farther", "out of order")
				s.FailCall("apply", nil)
				s.pass(retryMost)
				s.wantPublished(c, []string{"192.0.2.1:5000:50/udp at 172.17.0.2"}, "a=192.0.2.1:5000:50/udp")
				if !slices.Equal(s.Forgot, []string{"192.0.2.1:5000-5000"}) {
					s.Errorf("forgotten are the flows to %q", s.Forgot)
				}
			})
		})
	}
}

// TestPortOfAProcessThatEnds: a process that was killed has its ports for some milliseconds more, which
// the next one waits for.
func TestPortOfAProcessThatEnds(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.mustPublish(c, "a", "8080:80")
		for range 2 { // the second time as soon as the first
			s.crash(c)
			s.FailCall("reserve", fmt.Errorf("%w", host.ErrInUse))
			c = s.start()
			s.pass(retryFirst / 2)
			s.FailCall("reserve", nil)
			s.pass(retryFirst)
			s.wantPublished(c, []string{"8080:80/tcp at 172.17.0.2"}, "a=0.0.0.0:8080:80/tcp")
		}
	})
}

// What waits to be published again may end meanwhile, as may the process.
func TestPublicationThatWaitsEnds(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.addPort(c, "b")
		s.mustPublish(c, "a", "8080:80")
		s.mustPublish(c, "b", "9090:90")
		s.crash(c)
		s.FailCall("reserve", fmt.Errorf("%w", host.ErrInUse))
		c = s.start()
		if err := s.unpublish(c, "a", "8080"); err != nil {
			s.Fatal(err)
		}
		if _, err := c.DeletePort(s.Context(), "b"); err != nil {
			s.Fatal(err)
		}
		s.FailCall("reserve", nil)
		s.pass(time.Minute)
		s.wantPublished(c, []string{})
		if left := s.reservedPorts(); len(left) != 0 {
			s.Errorf("%q are reserved for nobody", left)
		}

		s.mustPublish(c, "a", "8080:80")
		s.crash(c)
		s.FailCall("reserve", fmt.Errorf("%w", host.ErrInUse))
		c = s.start()
		s.close(c, false)
		s.FailCall("reserve", nil)
		s.pass(time.Minute)
		if left := s.reservedPorts(); len(left) != 0 {
			s.Errorf("%q are reserved by a process that has stopped", left)
		}
	})
}

// TestPublishedWithoutNAT: what was published stays in the state, out of reach, and says why.
func TestPublishedWithoutNAT(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.mustPublish(c, "a", "8080:80")
		s.crash(c)
		s.adjust = func(c *core) { c.config.NAT = false }
		c = s.start()
		s.pass(time.Minute)
		list, _ := c.Published(s.Context(), "")
		if len(list) != 1 || list[0].Reason != withoutNAT {
			s.Errorf("published is %v", list)
		}
		_, err := s.publish(c, "a", "9090:90")
		wantError(s.T, err, api.Unsupported, withoutNAT)
		if left := s.reservedPorts(); len(left) != 0 {
			s.Errorf("%q are kept from other programs", left)
		}
		if err := s.unpublish(c, "a", "8080"); err != nil {
			s.Error(err)
		}
		s.adjust = nil
		c = s.restart(c)
		s.wantPublished(c, []string{})
	})
}

// A publication says that the segment's link to the host is not there.
func TestPublishedWithoutAHostLink(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.tasks(c)
		s.addPort(c, "a")
		s.mustPublish(c, "a", "8080:80")
		s.FailCall("create vs-", errFailure)
		s.deleteLink(s.device(s.segment(c, "bridge").HostLink.Name))
		s.pass(time.Second)
		forward := []string{"8080:80/tcp at 172.17.0.2"}
		s.wantPublished(c, forward, "a=0.0.0.0:8080:80/tcp the segment's link to the host: out of order")
		s.FailCall("create vs-", nil)
		s.event(netns.LinkEvent{Missed: true})
		s.pass(hostLinkRetry)
		s.wantPublished(c, forward, "a=0.0.0.0:8080:80/tcp")
	})
}
