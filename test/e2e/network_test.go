package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// TestUnusualNetworks: networks that Linux and Docker take work as others do when they are asked
// for: between containers, with the host, to the outside, by DHCP and after a restart.
func TestUnusualNetworks(t *testing.T) {
	t.Parallel()
	for subnet, test := range map[string]struct {
		gateway, first string
		ports          int
	}{
		"169.254.0.0/16": {"169.254.0.1", "169.254.0.2", 2}, // as of Amazon's ECS endpoints
		"240.0.0.0/4":    {"240.0.0.1", "240.0.0.2", 2},
		"10.90.0.0/31":   {"10.90.0.0", "10.90.0.1", 1}, // RFC 3021
	} {
		t.Run(subnet, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.outside(1500)
			h.MustVsctl("add-segment", "odd", "--subnet", subnet)
			if s := h.Segment("odd"); s.Gateway != test.gateway || s.HostLink.State != api.PortUp {
				t.Fatalf("the segment is %+v, want its gateway %s on the host", s, test.gateway)
			}
			c := h.Attach("c", lab.On("odd"), withDHCP)
			if got := c.Addr().String(); got != test.first {
				t.Errorf("the first port has %s, want %s", got, test.first)
			}
			startDHCP(c).await(0, "bound")
			all := []*lab.Container{c}
			if test.ports > 1 {
				all = append(all, h.Attach("d", lab.On("odd")))
			} else if status, out := h.Vsctl("add-port", "d", "--netns", lab.NewNamespace(t).Name(), "--segment", "odd"); status != 1 || !strings.Contains(out, "full") {
				t.Errorf("a second port: status %d, %s", status, out)
			}
			wantReached := func() {
				t.Helper()
				for _, from := range all {
					for _, to := range all {
						from.Reaches(to.Addr().String())
					}
					from.Reaches(test.gateway)
					from.Reaches(farOutside)
					h.Reaches(from.Addr().String())
				}
			}
			wantReached()
			c.Run("ip", "address", "add", farOutside+"/32", "dev", "lo")
			c.Misses(test.gateway, "-I", farOutside)
			h.AwaitDrops("c", "spoofed-ip", 3)
			c.Run("ip", "address", "del", farOutside+"/32", "dev", "lo")
			h.Stop()
			h.Start()
			wantReached()
		})
	}
}

// TestANetworkOfOneAddress is internal, and has one port and no gateway.
func TestANetworkOfOneAddress(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if status, out := h.Vsctl("add-segment", "one", "--subnet", "10.91.0.9/32"); status != 1 || !strings.Contains(out, "make the segment internal") {
		t.Errorf("not internal: status %d, %s", status, out)
	}
	h.MustVsctl("add-segment", "one", "--subnet", "10.91.0.9/32", "--internal")
	c, other := h.Attach("c", lab.On("one")), h.Container()
	wantAlone := func() {
		t.Helper()
		c.Reaches("10.91.0.9")
		if out := c.Run("ip", "-4", "-o", "address", "show", "dev", "eth0"); !strings.Contains(out, "10.91.0.9/32") {
			t.Errorf("the interface has\n%s", out)
		}
		if out := c.Run("ip", "route"); out != "" {
			t.Errorf("the container has routes:\n%s", out)
		}
		_, err := h.Client.AddPort(h.Context(), api.PortSpec{
			Name: "d", NetNS: other.Name(), Segment: "one", IP: api.PortIP{Addr: netip.MustParseAddr("10.91.0.9")},
		})
		if api.KindOf(err) != api.Conflict {
			t.Errorf("a second port at its address: %v", err)
		}
		if p, err := h.Client.Port(h.Context(), "c"); err != nil || p.State != api.PortUp || p.Gateway != "" {
			t.Errorf("the port is %+v, %v", p, err)
		}
		if out := h.MustVsctl("show"); strings.Contains(out, "invalid") {
			t.Errorf("shown is\n%s", out)
		}
	}
	wantAlone()
	h.Stop()
	h.Start()
	wantAlone()
}
