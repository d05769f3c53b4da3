package e2e

import (
	"fmt"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// host is a machine with what the tests of this package do to it.
type host struct{ *lab.Host }

func newHost(t *testing.T, flags ...string) *host {
	t.Helper()
	return &host{lab.NewHost(t, flags...)}
}

func newQuietHost(t *testing.T) *host {
	t.Helper()
	return &host{lab.NewQuietHost(t)}
}

// loses does what loses a port, and returns when the switch has seen it.
func (h *host) loses(port string, act func()) {
	h.Helper()
	h.LogAfter(act, `msg="port lost"`, "port="+port+" ")
	h.hasState(port, api.PortLost)
}

// setInterface sets a container's interface up or down, and returns when the switch has seen it.
func (h *host) setInterface(c *lab.Container, name string, up bool) {
	h.Helper()
	state := map[bool]api.PortState{true: api.PortUp, false: api.PortDown}[up]
	h.LogAfter(func() { c.Run("ip", "link", "set", name, string(state)) },
		`msg="interface set in its namespace"`, "port="+c.Port.Name+" ", fmt.Sprintf("up=%t", up))
	h.hasState(c.Port.Name, state)
}

// hasState wants a port in this state.
func (h *host) hasState(port string, want api.PortState) {
	h.Helper()
	if p := h.Port(port); p.State != want {
		h.Errorf("port %s is %s (%s), want %s", port, p.State, p.Reason, want)
	}
}

// changeMAC gives a container's interface another MAC, and returns when the switch has seen it.
func (h *host) changeMAC(c *lab.Container, mac string) {
	h.Helper()
	h.LogAfter(func() { c.Run("ip", "link", "set", c.Port.IfName, "address", mac) },
		"MAC address changed in the port's namespace", "port="+c.Port.Name+" ", "to="+mac)
	if p := h.Port(c.Port.Name); p.MAC.String() != mac && !strings.Contains(p.Reason, mac) {
		h.Errorf("the log names the MAC %s, and port %s has %s (%s)", mac, p.Name, p.MAC, p.Reason)
	}
}

// reachesNow waits until the interfaces of both carry frames and neither has the other at a MAC
// that it no longer has, and wants all pings answered then.
func reachesNow(c, to *lab.Container) {
	c.Helper()
	awaitLinksUp(c, to)
	awaitNeighbour(c, to)
	awaitNeighbour(to, c)
	c.Reaches(to.Addr().String())
}

// awaitLinksUp waits for the containers' kernels, which take up to a second to follow the carrier
// of an interface.
func awaitLinksUp(containers ...*lab.Container) {
	for _, c := range containers {
		c.Helper()
		c.AwaitLinkUp(c.Port.IfName)
	}
}

// awaitNeighbour waits until c's kernel has another container at the MAC that it has now, if it
// has it at any.
func awaitNeighbour(c, other *lab.Container) {
	c.Helper()
	mac := macOf(other)
	what := fmt.Sprintf("%s has %s at %s, or nowhere", c.Port.Name, other.Port.Name, mac)
	c.AwaitNetwork(what, func() bool {
		out := c.Run("ip", "neigh", "show", other.Addr().String(), "dev", c.Port.IfName)
		_, at, known := strings.Cut(out, "lladdr ")
		return !known || strings.HasPrefix(at, mac)
	})
}

// macOf returns the MAC that a container's interface has now.
func macOf(c *lab.Container) string {
	c.Helper()
	out := c.Run("ip", "-o", "link", "show", "dev", c.Port.IfName)
	_, rest, found := strings.Cut(out, "link/ether ")
	mac, _, _ := strings.Cut(rest, " ")
	if !found {
		c.Fatalf("interface %s has no MAC: %s", c.Port.IfName, out)
	}
	return mac
}

// parsedMAC reads a MAC address.
func parsedMAC(s string) api.MAC {
	var m api.MAC
	if err := m.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return m
}
