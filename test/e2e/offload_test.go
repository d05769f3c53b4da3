package e2e

import (
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/switch/drop"
)

// offloadsOf returns what the port's device leaves undone.
func (h *host) offloadsOf(name string) string { return strings.Join(h.Port(name).Offloads, ",") }

// TestOffloadOfLivingPorts goes from one setting to the next, by which streams arrive intact in
// both directions, between ports alike and not.
func TestOffloadOfLivingPorts(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	h := newHost(t)
	c1 := h.Attach("c1")
	c2 := h.Attach("c2", func(s *api.PortSpec) { s.Offload = api.OffloadOff })
	for _, step := range []struct {
		command   []string
		c1, c2    bool // with offloads
		restarted bool
	}{
		{nil, true, false, false},
		{[]string{"set-port", "c1", "--offload", "off"}, false, false, false},
		{nil, false, false, true},
		{[]string{"set-port", "c2", "--offload", "on"}, false, true, false},
		{[]string{"set-segment", "bridge", "--offload", "off"}, false, true, false},
		{[]string{"set-port", "c2", "--offload", "auto"}, false, false, false},
		{[]string{"set-segment", "bridge", "--offload", "auto"}, false, true, false},
		{[]string{"set-port", "c1", "--offload", "auto"}, true, true, true},
	} {
		if step.command != nil {
			h.MustVsctl(step.command...)
		}
		if step.restarted {
			h.Harmed()
			h.KillCarrier()
		}
		for name, want := range map[string]bool{"c1": step.c1, "c2": step.c2} {
			if got := h.offloadsOf(name); strings.Contains(got, "tso4") != want || want == (got == "") {
				t.Errorf("after %q: the offloads of %s are %q, want some: %t", step.command, name, got, want)
			}
		}
		transfer(t, c1, c2, size)
		transfer(t, c2, c1, size)
	}
	for _, name := range []string{"c1", "c2"} {
		c := h.Counters(name)
		for _, reason := range []drop.Reason{drop.BadVirtioHeader, drop.TxRejected, drop.Giant} {
			if n := c.Drops[reason.String()]; n != 0 {
				t.Errorf("port %s has dropped %d frames as %s", name, n, reason)
			}
		}
	}
}
