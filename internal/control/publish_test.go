package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/host"
)

// publish publishes what "docker run -p" takes.
func (s *stack) publish(c *Control, port, text string) (api.Published, error) {
	s.Helper()
	spec, err := api.ParsePublish(text)
	if err != nil {
		s.Fatal(err)
	}
	return c.Publish(s.Context(), port, spec)
}

func (s *stack) mustPublish(c *Control, port, text string) api.Published {
	s.Helper()
	p, err := s.publish(c, port, text)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

func (s *stack) unpublish(c *Control, port, text string) error {
	s.Helper()
	key, err := api.ParsePublished(text)
	if err != nil {
		s.Fatal(err)
	}
	_, err = c.Unpublish(s.Context(), port, key)
	return err
}

// wantPublished wants these publications in the list, each with what its reason has in it behind
// a space, and these of them to be forwarded.
func (s *stack) wantPublished(c *Control, forwards []string, want ...string) {
	s.Helper()
	list, err := c.Published(s.Context(), "")
	if err != nil {
		s.Fatal(err)
	}
	for _, p := range list {
		i := slices.IndexFunc(want, func(w string) bool {
			text, reason, _ := strings.Cut(w, " ")
			return text == p.Port+"="+p.String() && strings.Contains(p.Reason, reason) &&
				(reason != "" || p.Reason == "")
		})
		if i < 0 {
			s.Errorf("published is %s=%s %q, want %q", p.Port, p, p.Reason, want)
			continue
		}
		want = slices.Delete(slices.Clone(want), i, i+1)
	}
	if len(want) > 0 {
		s.Errorf("not published are %q", want)
	}
	if got := s.forwards(); !slices.Equal(got, forwards) {
		s.Errorf("the firewall forwards %q, want %q", got, forwards)
	}
}

func TestPublishAndUnpublish(t *testing.T) {
	t.Parallel()
	for text, test := range map[string]struct{ shown, forward string }{
		"8080:80": {"0.0.0.0:8080:80/tcp", "8080:80/tcp at 172.17.0.2"},
		"80":      {"0.0.0.0:32768:80/tcp", "32768:80/tcp at 172.17.0.2"},
		"127.0.0.1:5300:53/udp": {
			"127.0.0.1:5300:53/udp", "127.0.0.1:5300:53/udp at 172.17.0.2",
		},
		"8000-8009:9000-9009": {
			"0.0.0.0:8000-8009:9000-9009/tcp", "8000-8009:9000-9009/tcp at 172.17.0.2",
		},
		"65535:65535": {"0.0.0.0:65535:65535/tcp", "65535:65535/tcp at 172.17.0.2"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				s.addPort(c, "a")
				p := s.mustPublish(c, "a", text)
				if p.String() != test.shown || p.Port != "a" || p.Reason != "" {
					s.Errorf("published is %s of %s: %q", p, p.Port, p.Reason)
				}
				s.wantPublished(c, []string{test.forward}, "a="+test.shown)
				s.wantLines(1, "port published", "port=a", "published="+test.shown)
				if p, _ := c.Port(s.Context(), "a"); !slices.Equal(p.Published, []string{test.shown}) {
					s.Errorf("the port shows %q", p.Published)
				}
				c = s.restart(c)
				s.wantPublished(c, []string{test.forward}, "a="+test.shown)
				kept := s.reservedPorts()
				if len(kept) == 0 {
					s.Error("nothing is kept from other programs")
				}
				if err := s.unpublish(c, "a", test.shown); err != nil {
					s.Fatal(err)
				}
				s.wantPublished(c, []string{})
				s.wantLines(1, "port not published any more", "published="+test.shown)
				if left := s.reservedPorts(); len(left) != 0 {
					s.Errorf("%q stay reserved", left)
				}
				c = s.restart(c)
				s.wantPublished(c, []string{})
			})
		})
	}
}

// TestNotPublished: what cannot be published is refused, says why, and changes nothing.
func TestNotPublished(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare    func(s *stack)
		port, text string
		kind       api.Kind
		says       []string
	}{
		"no such port": {nil, "nobody", "80:80", api.NotFound, []string{`port "nobody" does not exist`}},
		"no host link": {
			nil, "alone", "80:80", api.Invalid,
			[]string{`segment "alone" of port "alone" has no link to the host`, "uplink host"},
		},
		"published by itself": {
			nil, "a", "8080:81", api.Conflict,
			[]string{"port 8080 of the host", `port "a" already, as 0.0.0.0:8080:80/tcp`},
		},
		"published by another": {nil, "b", "8080:80", api.Conflict, []string{`port "a" already`}},
		"at one of all": {
			nil, "b", "127.0.0.1:8080:80", api.Conflict, []string{`port "a" already`},
		},
		"at all, one is used": {
			nil, "b", "9000:80/udp", api.Conflict, []string{"192.0.2.1:9000:90/udp"},
		},
		"a range with it":       {nil, "b", "8070-8080:70-80", api.Conflict, []string{"port 8070-8080"}},
		"a range that has them": {nil, "b", "1-1024:1-1024/tcp", api.Conflict, []string{"in use"}},
		"another program's": {
			func(s *stack) { s.Reserved[inUse(99)] = true },
			"a", "99:99", api.Conflict,
			[]string{"port in use", "end that program"},
		},
		"no address of the host": {
			func(s *stack) { s.FailCall("reserve", fmt.Errorf("%w: 192.0.2.9", host.ErrNotHost)) },
			"a", "192.0.2.9:80:80", api.Invalid,
			[]string{"192.0.2.9", "publish on one that the host has"},
		},
		"no descriptors": {
			func(s *stack) { s.FailCall("reserve", errFailure) },
			"a", "80:80", api.Internal,
			[]string{"out of order"},
		},
		"the firewall fails": {
			func(s *stack) { s.FailCall("apply", errFailure) },
			"a", "80:80", api.Internal,
			[]string{"out of order"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				s.addPort(c, "a")
				s.addPort(c, "b")
				s.addSegment(c, "alone", "10.66.0.0/24", api.UplinkNone)
				s.addPort(c, "alone", func(p *api.PortSpec) { p.Segment = "alone" })
				s.mustPublish(c, "a", "8080:80")
				s.mustPublish(c, "b", "192.0.2.1:9000:90/udp")
				s.With(func() {
					s.Reserved[inUse(1000)] = true
					if test.prepare != nil {
						test.prepare(s)
					}
				})
				reserved, state := s.reservedPorts(), s.State
				_, err := s.publish(c, test.port, test.text)
				wantError(s.T, err, test.kind, test.says...)
				s.FailCall("apply", nil)
				s.pass(hostLinkRetry)
				s.wantPublished(c,
					[]string{"192.0.2.1:9000:90/udp at 172.17.0.3", "8080:80/tcp at 172.17.0.2"},
					"a=0.0.0.0:8080:80/tcp", "b=192.0.2.1:9000:90/udp")
				if now := s.reservedPorts(); !slices.Equal(now, reserved) {
					s.Errorf("reserved are %q, were %q", now, reserved)
				}
				if s.State != state {
					s.Error("the state is another")
				}
			})
		})
	}
}

// TestPublishedPortsAreBounded: the last of them is published, one more is not.
func TestPublishedPortsAreBounded(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.addPort(c, "b")
		for i := range 4 {
			first := 10000 + i*api.MaxPublished
			last := first + api.MaxPublished - 1
			s.mustPublish(c, "a", fmt.Sprintf("%d-%d:1-%d", first, last, api.MaxPublished))
		}
		_, err := s.publish(c, "b", "80:80")
		wantError(s.T, err, api.Exhausted, "4097 ports", "at most 4096")
		c = s.restart(c)
		_, err = s.publish(c, "b", "80:80")
		wantError(s.T, err, api.Exhausted, "4097 ports")
		if _, err := c.DeletePort(s.Context(), "a"); err != nil {
			s.Fatal(err)
		}
		s.mustPublish(c, "b", "80:80")
	})
}

func TestNotUnpublished(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.addPort(c, "b")
		s.mustPublish(c, "a", "127.0.0.1:8080-8081:80-81")
		for _, key := range []string{
			"8080-8081", "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8080-8081/udp",
			"127.0.0.2:8080-8081", "127.0.0.1:8080-8082",
		} {
			wantError(s.T, s.unpublish(c, "a", key), api.NotFound,
				`port "a" does not publish`, "list-published")
		}
		wantError(s.T, s.unpublish(c, "b", "127.0.0.1:8080-8081"), api.NotFound,
			`port "b"`, "8080-8081/tcp")
		wantError(s.T, s.unpublish(c, "nobody", "1"), api.NotFound, `port "nobody" does not exist`)
		s.FailCall("apply", errFailure)
		wantError(s.T, s.unpublish(c, "a", "127.0.0.1:8080-8081"), api.Internal, "out of order")
		s.FailCall("apply", nil)
		s.pass(hostLinkRetry)
		s.wantPublished(c, []string{"127.0.0.1:8080-8081:80-81/tcp at 172.17.0.2"},
			"a=127.0.0.1:8080-8081:80-81/tcp")
	})
}

// What a port publishes ends with it, and is another's to have.
func TestPublishedEndsWithThePort(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.addPort(c, "b")
		s.mustPublish(c, "a", "8080:80")
		s.mustPublish(c, "a", "53:53/udp")
		s.Forgot = nil
		s.FailCall("apply", errFailure) // the port goes all the same
		if _, err := c.DeletePort(s.Context(), "a"); err != nil {
			s.Fatal(err)
		}
		s.wantLines(1, "containers reach the host and no farther", "out of order")
		if len(s.Forgot) > 0 {
			s.Errorf("forgotten are the flows to %q, which still lead to the container", s.Forgot)
		}
		s.FailCall("apply", nil)
		s.pass(hostLinkRetry)
		s.wantPublished(c, []string{})
		if !slices.Equal(s.Forgot, []string{"invalid IP:53-53"}) {
			s.Errorf("forgotten are the flows to %q", s.Forgot)
		}
		s.mustPublish(c, "b", "8080:80")
	})
}

// A port that is lost keeps what it publishes, which says that it is, until it is back.
func TestPublishedByALostPort(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.mustPublish(c, "a", "8080:80")
		s.RemoveNamespace("a")
		s.pass(time.Second)
		forward := []string{"8080:80/tcp at 172.17.0.2"}
		s.wantPublished(c, forward, "a=0.0.0.0:8080:80/tcp the port is lost: "+lostNamespace)
		s.mustPublish(c, "a", "8081:81")
		s.pass(2 * time.Hour)
		s.wantPublished(c, []string{})
		if left := s.reservedPorts(); len(left) != 0 {
			s.Errorf("%q stay reserved", left)
		}
	})
}

// TestPublishedPortOfNames: a container may have the host's port of DNS. The segments' resolvers
// have it as well, each on its own link, and go on.
func TestPublishedPortOfNames(t *testing.T) {
	t.Parallel()
	for text, shared := range map[string]bool{
		"53:53/udp": true, "53:53/tcp": true, "50-60:50-60/udp": true, "127.0.0.1:5353:53/udp": false,
		"5353:53/udp": false, "54:53": false,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
				s.addSegment(c, "alone", "10.67.0.0/24", api.UplinkNone)
				s.addPort(c, "a")
				s.mustPublish(c, "a", text)
				s.wantNames(s.socket("172.17.0.1"), "172.17.0.200", "a", "172.17.0.2")
				s.socket("10.66.0.1")
				if got := slices.Contains(s.Shared, 53); got != shared {
					s.Errorf("the port of names is shared: %t, want %t", got, shared)
				}
				c = s.restart(c)
				s.wantNames(s.socket("172.17.0.1"), "172.17.0.200", "a", "172.17.0.2")
				if list, _ := c.Published(s.Context(), ""); len(list) != 1 || list[0].Reason != "" {
					s.Errorf("published is %v", list)
				}
				if err := s.unpublish(c, "a", text); err != nil {
					s.Fatal(err)
				}
				s.wantNames(s.socket("172.17.0.1"), "172.17.0.200", "a", "172.17.0.2")
			})
		})
	}
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.FailCall("share", errFailure)
		s.mustPublish(c, "a", "53:53/udp")
		s.wantLines(1, "cannot share the port of names", "out of order")
		s.FailCall("reserve", fmt.Errorf("%w: 53", host.ErrInUse))
		_, err := s.publish(c, "a", "53:53/tcp")
		wantError(s.T, err, api.Conflict, "in use")
		s.socket("172.17.0.1")
	})
}

// inUse is a port that another program has.
func inUse(port uint16) kerneltest.HostPort {
	return kerneltest.HostPort{Protocol: host.TCP, At: netip.AddrPortFrom(netip.Addr{}, port)}
}
