package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/host"
)

const noWay = "no way out beyond the host: "

// TestFirewallHasTheSegments: the firewall has each segment with a host link as long as it is
// there, and no other.
func TestFirewallHasTheSegments(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		lab := s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.addSegment(c, "alone", "10.67.0.0/24", api.UplinkNone)
		want := host.Segment{
			Link: lab.HostLink.Name, Subnet: lab.Subnet, Gateway: addr("10.66.0.1"),
			Masquerade: true,
		}
		if config, _ := s.config(); len(config.Segments) != 2 || !slices.Contains(config.Segments, want) {
			s.Errorf("the firewall has %+v, want %+v among two", config.Segments, want)
		}
		update := api.SegmentUpdate{Subnet: new(prefix("10.68.0.0/24"))}
		if _, err := c.UpdateSegment(s.Context(), "lab", update); err != nil {
			s.Fatal(err)
		}
		want.Subnet, want.Gateway = prefix("10.68.0.0/24"), addr("10.68.0.1")
		if config, _ := s.config(); !slices.Contains(config.Segments, want) {
			s.Errorf("the firewall has %+v, want %+v", config.Segments, want)
		}
		c = s.restart(c)
		if config, _ := s.config(); len(config.Segments) != 2 || !slices.Contains(config.Segments, want) {
			s.Errorf("after a restart the firewall has %+v, want %+v among two", config.Segments, want)
		}
		if _, err := c.DeleteSegment(s.Context(), "lab", false); err != nil {
			s.Fatal(err)
		}
		if config, _ := s.config(); len(config.Segments) != 1 {
			s.Errorf("the firewall has %+v", config.Segments)
		}
	})
}

// TestFirewallThatFails: it is shown at the host links, logged once for each reason, and tried
// again until it works.
func TestFirewallThatFails(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.FailCall("apply", errFailure)
		c := s.start()
		s.addPort(c, "a")
		s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		for _, name := range []string{"bridge", "lab"} {
			s.wantHostLink(c, name, api.PortUp, noWay+"out of order")
		}
		_, err := s.publish(c, "a", "80:80")
		wantError(s.T, err, api.Unsupported, "ports are not published", "out of order")
		s.pass(time.Minute)
		s.wantLines(1, "containers reach the host and no farther", "out of order")
		s.wantFrames(c, "bridge", "a")

		s.FailCall("apply", nil)
		s.pass(hostLinkRetry)
		s.wantHostLink(c, "lab", api.PortUp, "")
		s.wantLines(1, "level=INFO", "containers reach beyond the host again")
		if config, _ := s.config(); len(config.Segments) != 2 {
			s.Errorf("the firewall has %+v", config.Segments)
		}
		s.mustPublish(c, "a", "80:80")

		s.FailCall("apply", errFailure)
		s.addSegment(c, "more", "10.67.0.0/24", api.UplinkHost)
		s.wantLines(2, "containers reach the host and no farther", "out of order")
		s.wantPublished(c, []string{"80:80/tcp at 172.17.0.2"}, "a=0.0.0.0:80:80/tcp "+noWay)
		s.Plan(0, 0)
		s.close(c, false)
		s.FailCall("apply", nil)
		s.pass(time.Minute)
		if steps := s.Taken(); len(steps) != 0 {
			s.Errorf("a process that has stopped does %q", steps)
		}
	})
}

// TestKernelWithoutNftables: the switch works, says what it does not, and does it once the kernel
// can.
func TestKernelWithoutNftables(t *testing.T) {
	t.Parallel()
	missing := fmt.Errorf("%w: load those modules", host.ErrMissing)
	for _, call := range []string{"open rules", "apply"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				s.FailCall(call, missing)
				c := s.start()
				s.tasks(c)
				s.addPort(c, "a")
				lab := s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
				if lab.HostLink.Reason != noWay+"nftables is missing: load those modules" {
					s.Errorf("when it is added its host link says %q", lab.HostLink.Reason)
				}
				s.wantHostLink(c, "lab", api.PortUp, noWay+"nftables is missing: load those modules")
				_, err := s.publish(c, "a", "80:80")
				wantError(s.T, err, api.Unsupported, "ports are not published", "load those modules")
				s.pass(time.Minute)
				s.wantLines(1, "containers reach the host and no farther", "load those modules")
				s.wantFrames(c, "bridge", "a")
				if _, err := c.DeleteSegment(s.Context(), "lab", false); err != nil {
					s.Error(err)
				}
				s.FailCall(call, nil)
				s.pass(retryMost)
				s.wantHostLink(c, "bridge", api.PortUp, "")
				s.wantLines(1, "level=INFO", "containers reach beyond the host again")
				s.mustPublish(c, "a", "80:80")
				s.wantPublished(c, []string{"80:80/tcp at 172.17.0.2"}, "a=0.0.0.0:80:80/tcp")
				var watched int
				if s.With(func() { watched = s.RulesWatched }); watched != 1 {
					s.Errorf("the rules are watched %d times", watched)
				}
			})
		})
	}
}

// TestRulesOpenWhileItStops are closed again.
func TestRulesOpenWhileItStops(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.FailCall("open rules", errFailure)
		c := s.start()
		s.tasks(c)
		s.pass(time.Minute)
		s.close(c, true)
		s.FailCall("open rules", nil)
		s.Plan(0, 0)
		s.pass(time.Minute)
		if steps := s.Taken(); len(steps) != 0 {
			s.Errorf("a process that has stopped does %q", steps)
		}
	})
}

// appliesDuring returns how often the firewall was told what to do during f.
func (s *stack) appliesDuring(f func()) (n int) {
	s.Plan(0, 0)
	f()
	for _, step := range s.Taken() {
		if strings.HasPrefix(step, "apply") {
			n++
		}
	}
	return n
}

// TestFirewallIsToldOfDifferencesOnly, each change of several at once.
func TestFirewallIsToldOfDifferencesOnly(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.tasks(c)
		for _, test := range []struct {
			what string
			do   func()
			want int
		}{
			{"a segment without uplink", func() { s.addSegment(c, "alone", "10.66.0.0/24", api.UplinkNone) }, 0},
			{"a segment", func() { s.addSegment(c, "lab", "10.67.0.0/24", api.UplinkHost) }, 1},
			{"ports", func() {
				for _, name := range []string{"a", "b", "c"} {
					s.addPort(c, name, func(p *api.PortSpec) { p.Segment = "lab" })
				}
			}, 0},
			{"what they publish", func() {
				s.mustPublish(c, "a", "8080:80")
				s.mustPublish(c, "b", "8081:80")
			}, 2},
			{"another name", func() {
				if _, err := c.UpdatePort(s.Context(), "c", api.PortUpdate{Name: new("d")}); err != nil {
					s.Error(err)
				}
			}, 0},
			{"the interface made again, which has lost its settings", func() {
				s.deleteLink(s.device(s.segment(c, "lab").HostLink.Name))
				s.pass(time.Second)
			}, 1},
			{"the segment with all its ports", func() {
				if _, err := c.DeleteSegment(s.Context(), "lab", true); err != nil {
					s.Error(err)
				}
			}, 1},
		} {
			if n := s.appliesDuring(test.do); n != test.want {
				s.Errorf("%s: it is told %d times, want %d", test.what, n, test.want)
			}
		}
	})
}

// TestFirewallThatFailsIsTriedAgainInTime: no change has it tried that wants nothing else of it.
func TestFirewallThatFailsIsTriedAgainInTime(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.FailCall("apply", errFailure)
		s.addSegment(c, "lab", "10.67.0.0/24", api.UplinkHost)
		s.wantHostLink(c, "lab", api.PortUp, noWay+"out of order")
		s.FailCall("apply", nil)
		if n := s.appliesDuring(func() { s.addPort(c, "a") }); n != 0 {
			s.Errorf("it is tried %d times", n)
		}
		s.wantHostLink(c, "lab", api.PortUp, noWay+"out of order")
		if n := s.appliesDuring(func() { s.addSegment(c, "more", "10.68.0.0/24", api.UplinkHost) }); n != 1 {
			s.Errorf("it is told of another segment %d times", n)
		}
		s.wantHostLink(c, "lab", api.PortUp, "")
		if n := s.appliesDuring(func() { s.pass(time.Minute) }); n != 0 {
			s.Errorf("it is told %d times what it does", n)
		}
	})
}

// A firewall of others that may be in the way is named, with what lets our packets through.
func TestFirewallOfOthers(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.wantHostLink(c, "bridge", api.PortUp, "")
		s.With(func() { s.Foreign = []host.Foreign{{}} })
		s.wantHostLink(c, "bridge", api.PortUp, "another firewall may keep containers from the outside")
		s.With(func() { s.Foreign = nil })
		s.wantHostLink(c, "bridge", api.PortUp, "")
	})
}

// TestForwardNoDropReachesTheFirewall: what the user said of the host's other networks.
func TestForwardNoDropReachesTheFirewall(t *testing.T) {
	t.Parallel()
	for _, noDrop := range []bool{false, true} {
		inStack(t, func(s *stack) {
			s.adjust = func(c *core) { c.config.ForwardNoDrop = noDrop }
			s.start()
			if config, there := s.config(); !there || config.NoDrop != noDrop {
				s.Errorf("the firewall has %+v, want NoDrop to be %t", config, noDrop)
			}
		})
	}
}

// With --nat=false the host's rules are not touched.
func TestWithoutNAT(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.adjust = func(c *core) { c.config.NAT = false }
		s.FailCall("open rules", errFailure)
		c := s.start()
		s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.wantHostLink(c, "lab", api.PortUp, "")
		s.wantLines(0, "out of order")
		for _, task := range c.Tasks() {
			if task.Name == "watch the nftables ruleset" {
				s.Error("the rules are watched")
			}
		}
		s.close(c, true)
		if _, there := s.config(); there {
			s.Error("the firewall has rules")
		}
	})
}

// TestRulesAtTheEnd: they stay for the next process, unless the ports are removed.
func TestRulesAtTheEnd(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.tasks(c)
		s.close(c, false)
		if config, there := s.config(); !there || len(config.Segments) != 1 {
			s.Errorf("the firewall has %+v after a stop", config)
		}
		c = s.start()
		s.FailCall("remove rules", errFailure)
		s.close(c, true)
		s.wantLines(1, "cannot take back the way out", "out of order")
		if _, there := s.config(); there {
			s.Error("the firewall has rules for ports that were removed")
		}
	})
}
