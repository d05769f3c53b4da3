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
	h.hostLink("bridge", api.PortUp)
}

// hostLinkHarm is what somebody on the host may do to a host link.
type hostLinkHarm struct {
	command string   // with LINK for the link's name
	logged  []string // what the log says once it is right again
}

func hostLinkHarms(elsewhere *lab.Namespace) map[string]hostLinkHarm {
	putRight := func(what string) []string {
		return []string{"host link was changed and is put right", what}
	}
	madeAgain := []string{"host link made again"}
	return map[string]hostLinkHarm{
		"address":   {"ip addr flush dev LINK", putRight("address 172.17.0.1/16")},
		"down":      {"ip link set LINK down", putRight("what=up")},
		"MAC":       {"ip link set LINK address 02:00:00:00:00:66", putRight("mac address 02:42:")},
		"MTU":       {"ip link set LINK mtu 1280", putRight("mtu 1500")},
		"name":      {"ip link set LINK name renamed", putRight("what=name")},
		"deleted":   {"ip link delete LINK", madeAgain},
		"namespace": {"ip link set LINK netns " + elsewhere.Name(), madeAgain},
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
			for what, harm := range hostLinkHarms(h.Container().Namespace) {
				if what == "name" && !running {
					continue // nobody is left who knows which it is
				}
				t.Log(what)
				argv := strings.Fields(strings.ReplaceAll(harm.command, "LINK", name))
				if running {
					h.LogAfter(func() { h.NS.Run(argv...) }, harm.logged...)
				} else {
					h.Kill()
					h.NS.Run(argv...)
					h.Start()
					h.AwaitLog(0, harm.logged...)
				}
				h.hostLinkIsAsMade(name)
				reachesNow(h.onHost("bridge"), c)
				c.Reaches("172.17.0.1")
			}
		})
	}
}

// hostLinkIsAsMade wants the host link of the default segment, of this name, as it was made.
func (h *host) hostLinkIsAsMade(name string) {
	h.Helper()
	h.hostLink("bridge", api.PortUp)
	out := h.NS.Run("ip", "addr", "show", "dev", name)
	for _, want := range []string{"inet 172.17.0.1/16 ", "link/ether 02:42:ac:11:00:01 ", "mtu 1500 ", ",UP"} {
		if !strings.Contains(out, want) {
			h.Errorf("the host link is without %q:\n%s", want, out)
		}
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
		if l := h.hostLink(segment, api.PortUp); l.Name != names[i] {
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
	l := h.hostLink("bridge", api.PortDown)
	if !strings.Contains(l.Reason, name) {
		t.Errorf("the host link is down because %q, want a reason that names %s", l.Reason, name)
	}
	a, b := h.Attach("a"), h.Attach("b")
	a.Reaches(b.Addr().String())
	a.Reaches("172.17.0.1")
	h.LogAfter(func() { h.NS.Run("ip", "link", "delete", name) }, "host link made again")
	h.hostLink("bridge", api.PortUp)
	h.NS.AwaitLinkUp(name)
	h.Reaches(a.Addr().String())

	h.Stop()
	h.NS.Run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan1")
	h.NS.Run("ip", "addr", "add", "172.17.9.9/24", "dev", "lan")
	h.Start()
	if l := h.hostLink("bridge", api.PortDown); !strings.Contains(l.Reason, `172.17.9.9/24 of interface "lan"`) {
		t.Errorf("the host link is down because %q, want the address that is in its way named", l.Reason)
	}
}
