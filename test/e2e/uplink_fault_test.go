package e2e

import (
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

// A connection of a container to the outside survives all ends that the daemon may
// come to.
func TestConnectionsOutsideGoOn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c, out := h.Attach("c"), h.outside(1500)
	h.Harmed()
	s := openStream(t, c, out)
	for _, harm := range []func(){h.KillCarrier, h.upgradeInPlace, h.killDaemon} {
		s.runs(600 * time.Millisecond) // longer than the supervisor takes to call a child sound
		harm()
		t.Logf("it stood still for %s", s.pause())
	}
	s.finish()
	h.awaitHostLink("bridge", api.PortUp)
}

// hostLinkHarms are what somebody on the host may do to a host link, by its name.
func hostLinkHarms(elsewhere *lab.Namespace) map[string][]string {
	return map[string][]string{
		"address":   {"ip", "addr", "flush", "dev", "LINK"},
		"down":      {"ip", "link", "set", "LINK", "down"},
		"MAC":       {"ip", "link", "set", "LINK", "address", "02:00:00:00:00:66"},
		"MTU":       {"ip", "link", "set", "LINK", "mtu", "1280"},
		"name":      {"ip", "link", "set", "LINK", "name", "renamed"},
		"deleted":   {"ip", "link", "delete", "LINK"},
		"namespace": {"ip", "link", "set", "LINK", "netns", elsewhere.Name()},
	}
}

func TestHostLinkIsPutRight(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		t.Run(map[bool]string{true: "while it runs", false: "while it does not"}[running], func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			c := h.Attach("c")
			name := h.Segment("bridge").HostLink.Name
			asMade := func() bool {
				out, _ := h.onHost("bridge").Try("ip", "-o", "addr", "show", "dev", name, "up")
				link, _ := h.onHost("bridge").Try("ip", "-o", "link", "show", "dev", name)
				return strings.Contains(out, "inet 172.17.0.1/16 ") && strings.Contains(link, "02:42:ac:11:00:01") &&
					strings.Contains(link, "mtu 1500 ") && h.Segment("bridge").HostLink.State == api.PortUp
			}
			for what, argv := range hostLinkHarms(h.Container().Namespace) {
				if what == "name" && !running {
					continue // nobody is left who knows which it is
				}
				argv = strings.Split(strings.ReplaceAll(strings.Join(argv, " "), "LINK", name), " ")
				if !running {
					h.Kill()
				}
				h.NS.Run(argv...)
				if !running {
					h.Start()
				}
				h.Eventually("the host link is right after its harm: "+what, asMade)
				h.Eventually("the host reaches the container after the harm: "+what, func() bool {
					return lab.Ping(h, h.NS, 1, c.Addr().String(), "-W", "0.5").Received == 1
				})
				c.Reaches("172.17.0.1")
			}
		})
	}
}

func TestStopRemovesHostLinksWhenAsked(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--stop-removes-ports")
	h.AddSegment("other")
	names := []string{h.Segment("bridge").HostLink.Name, h.Segment("other").HostLink.Name}
	h.Stop()
	if out := h.NS.Run("ip", "-o", "link"); strings.Contains(out, "vs-") {
		t.Errorf("after the end the host has\n%s", out)
	}
	h.Start()
	for i, segment := range []string{"bridge", "other"} {
		if l := h.awaitHostLink(segment, api.PortUp); l.Name != names[i] {
			t.Errorf("the host link of segment %s is %s, want %s again", segment, l.Name, names[i])
		}
	}
}

// What stands in a host link's way when the daemon starts keeps only the host away.
func TestHostLinkInTheWayIsTold(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--stop-removes-ports")
	name := h.Segment("bridge").HostLink.Name
	h.Stop()
	h.NS.Run("ip", "link", "add", name, "type", "veth", "peer", "name", "other-end")
	h.Start("--stop-removes-ports")
	l := h.awaitHostLink("bridge", api.PortDown)
	if !strings.Contains(l.Reason, name) {
		t.Errorf("the host link is down because %q, want a reason that names %s", l.Reason, name)
	}
	a, b := h.Attach("a"), h.Attach("b")
	a.Reaches(b.Addr().String())
	a.Reaches("172.17.0.1")
	h.NS.Run("ip", "link", "delete", name)
	h.awaitHostLink("bridge", api.PortUp)
	h.Reaches(a.Addr().String())

	h.Stop()
	h.NS.Run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan1")
	h.NS.Run("ip", "addr", "add", "172.17.9.9/24", "dev", "lan")
	h.Start()
	if l := h.awaitHostLink("bridge", api.PortDown); !strings.Contains(l.Reason, `172.17.9.9/24 of interface "lan"`) {
		t.Errorf("the host link is down because %q, want the address that is in its way named", l.Reason)
	}
}
