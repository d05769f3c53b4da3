package e2e

import (
	"fmt"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// TestKilledAtEachStepOfMakingATAP kills the carrier at each of its calls into the TAP driver
// while a port is added. A port that was not acknowledged leaves no interface.
func TestKilledAtEachStepOfMakingATAP(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		edit func(*api.PortSpec)
	}{
		{"moved into the container", func(*api.PortSpec) {}},
		{"handed over", func(s *api.PortSpec) { s.NetNS, s.Handover = "", true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.Harmed()
			c := h.Container()
			kills := 0
			for n := 1; ; n++ {
				if !h.diesAddingPort(c, n, test.edit) {
					break
				}
				kills++
				h.hasNoInterface(c, fmt.Sprintf("killed at call %d", n))
			}
			if kills < 5 {
				t.Errorf("the carrier was killed %d times: the test shows nothing", kills)
			}
			t.Logf("killed %d times", kills)
		})
	}
}

// diesAddingPort has the carrier killed at its nth call into the TAP driver while it adds a port,
// which is deleted if it is there afterwards, and reports whether it was killed.
func (h *host) diesAddingPort(c *lab.Container, n int, edit func(*api.PortSpec)) bool {
	h.Helper()
	victim := lab.WatchProcess(h, h.Carrier())
	end := h.inject(h.Carrier(), fmt.Sprintf("ioctl:signal=SIGKILL:when=%d", n), "/dev/net/tun")
	spec := api.PortSpec{Name: "doomed", NetNS: c.Name()}
	edit(&spec)
	_, err := h.Client.AddPort(h.Context(), spec)
	if err != nil {
		victim.Await()
	}
	died := victim.Ended()
	end()
	// What waits for an answer of the next process comes after its start.
	_, gone := h.Client.DeletePort(h.Context(), "doomed")
	if err == nil && gone != nil {
		h.Errorf("killed at call %d, the port was acknowledged and is not there: %v", n, gone)
	}
	return died
}

// hasNoInterface wants no interface of a port on the host or in the container.
func (h *host) hasNoInterface(c *lab.Container, after string) {
	h.Helper()
	for _, n := range []*lab.Namespace{h.NS, c.Namespace} {
		n.AwaitNetwork(after+", no interface is left", func() bool { return len(n.Links()) == 0 })
	}
}
