package e2e

import (
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/switch/drop"
	"vswitch/test/lab"
)

// joinVXLAN gives two containers interfaces of one VXLAN network, of which the outer packets are
// between the addresses given, and the inner ones between those returned.
func joinVXLAN(c [2]*lab.Container, outer [2]string) (inner [2]string) {
	inner = [2]string{"10.77.0.1", "10.77.0.2"}
	for i := range c {
		c[i].Run("ip", "link", "add", "vx0", "type", "vxlan", "id", "7", "dstport", "4789",
			"dev", "eth0", "local", outer[i], "remote", outer[1-i])
		c[i].Run("ip", "address", "add", inner[i]+"/24", "dev", "vx0")
		c[i].Run("ip", "link", "set", "vx0", "up")
	}
	return inner
}

// TestTunnelsInContainers: a stream through VXLAN in two containers arrives intact both ways,
// whether their ports take super-frames of tunnels or not, and every frame is accounted for.
func TestTunnelsInContainers(t *testing.T) {
	t.Parallel()
	const on, off = api.OffloadOn, api.OffloadOff
	for name, ports := range map[string]struct {
		offload [2]api.Offload
		ipv6    bool // outside
	}{
		"both take them":            {offload: [2]api.Offload{on, on}},
		"both take them, over IPv6": {offload: [2]api.Offload{on, on}, ipv6: true},
		"one takes them":            {offload: [2]api.Offload{on, off}},
		"one takes them, over IPv6": {offload: [2]api.Offload{on, off}, ipv6: true},
		"the other one takes them":  {offload: [2]api.Offload{off, on}},
		"none takes them":           {offload: [2]api.Offload{off, off}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			var c [2]*lab.Container
			var outer [2]string
			for i := range c {
				c[i] = h.Attach([]string{"c1", "c2"}[i], func(s *api.PortSpec) {
					s.Offload, s.Security = ports.offload[i], api.SecurityOff
				})
				if outer[i] = c[i].Addr().String(); ports.ipv6 {
					outer[i] = []string{"fd77::1", "fd77::2"}[i]
					c[i].Sysctl("net.ipv6.conf.eth0.disable_ipv6=0")
					c[i].Run("ip", "address", "add", outer[i]+"/64", "dev", "eth0", "nodad")
				}
			}
			h.Eventually("the first port hears of the second one",
				func() bool { return h.Counters("c1").TxFrames > 0 })
			before := [2]api.Counters{h.Counters("c1"), h.Counters("c2")}
			inner := joinVXLAN(c, outer)
			const size = 32 << 20
			transferTo(t, c[0], c[1], inner[1], size)
			transferTo(t, c[1], c[0], inner[0], size)
			h.checkTunnelled(t, before, ports.offload[0] == ports.offload[1])
		})
	}
}

// checkTunnelled looks at what was counted since before, at rest. As many frames come to a port as
// left the other, or were dropped there, unless the switch cuts them for the port.
func (h *host) checkTunnelled(t *testing.T, before [2]api.Counters, alike bool) {
	t.Helper()
	var c1, c2 api.Counters
	h.Eventually("what left one port came to the other, at rest", func() bool {
		c1, c2 = since(before[0], h.Counters("c1")), since(before[1], h.Counters("c2"))
		return !alike && sentTo(c1, c2) <= meantFor(c2) && sentTo(c2, c1) <= meantFor(c1) ||
			sentTo(c1, c2) == meantFor(c2) && sentTo(c2, c1) == meantFor(c1)
	})
	for i, c := range []api.Counters{c1, c2} {
		if sum := c.Forwarded + c.Flooded + c.Local + drops(c, true); c.RxFrames != sum {
			t.Errorf("port %d: %d frames received and %d accounted for: %+v", i+1, c.RxFrames, sum, c)
		}
		for _, reason := range []drop.Reason{drop.BadVirtioHeader, drop.TxRejected, drop.Giant} {
			if n := c.Drops[reason.String()]; n != 0 {
				t.Errorf("port %d has dropped %d frames as %s", i+1, n, reason)
			}
		}
		// Without offload the container's kernel cuts them, as do those before 6.17.
		whole := strings.Contains(h.offloadsOf([]string{"c1", "c2"}[i]), "tunnel")
		if mean := c.RxBytes / c.RxFrames; whole && mean <= 1514 {
			t.Errorf("port %d: %d bytes a frame: the container's kernel has cut them", i+1, mean)
		}
	}
}
