package control

import (
	"fmt"
	"slices"
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
			ID: lab.ID, Link: lab.HostLink.Name, Subnet: lab.Subnet, Gateway: addr("10.66.0.1"),
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

// TestKernelWithoutNftables: the switch works, says what it does not, and does not try again.
func TestKernelWithoutNftables(t *testing.T) {
	t.Parallel()
	missing := fmt.Errorf("%w: load those modules", host.ErrMissing)
	for _, call := range []string{"open rules", "apply"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				s.FailCall(call, missing)
				c := s.start()
				s.addPort(c, "a")
				s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
				s.wantHostLink(c, "lab", api.PortUp, noWay+"nftables is missing: load those modules")
				s.wantLines(1, "containers reach the host and no farther", "load those modules")
				_, err := s.publish(c, "a", "80:80")
				wantError(s.T, err, api.Unsupported, "ports are not published", "load those modules")
				s.FailCall(call, nil)
				s.Plan(0, 0)
				s.pass(time.Minute)
				if steps := s.Taken(); len(steps) != 0 {
					s.Errorf("it is tried again: %q", steps)
				}
				s.wantFrames(c, "bridge", "a")
				if _, err := c.DeleteSegment(s.Context(), "lab", false); err != nil {
					s.Error(err)
				}
			})
		})
	}
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
