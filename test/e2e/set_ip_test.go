package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// lives wants c to be reached at an address and no more at another, by neighbours who know the old
// one, from outside the host and by its name, and to get out of the segment itself.
func lives(c, peer, outside *lab.Container, at, not string) {
	c.Helper()
	peer.Reaches(at)
	peer.Misses(not)
	c.Reaches(peer.Addr().String())
	c.Reaches(farOutside)
	resolves(peer, c.Port.Name, at)
	resolves(peer, at, c.Port.Name)
	unknown(peer, not)
	gets(outside, hostOutside+":8080", "web sees "+farOutside)
	asks(outside, hostOutside+":8080", "web sees "+farOutside)
}

// at has a port get an address.
func at(ip string) func(*api.PortSpec) {
	return func(s *api.PortSpec) { s.IP = api.PortIP{Addr: netip.MustParseAddr(ip)} }
}

// A port gets another address while it runs, by which all reach it from then on.
func TestSetPortIP(t *testing.T) {
	t.Parallel()
	h, web, outside := newWebHost(t)
	h.publish("web", "8080:80/udp")
	peer := h.Attach("peer")
	old := web.Addr().String()
	lives(web, peer, outside, old, "172.17.0.80")
	web.Run("ip", "address", "add", "192.0.2.7/32", "dev", "eth0")
	routes := web.Run("ip", "route", "show", "default")

	h.MustVsctl("set-port", "web", "--ip", "172.17.0.80")
	lives(web, peer, outside, "172.17.0.80", old)
	p := h.Port("web")
	if p.IPs[0].String() != "172.17.0.80/16" || p.MAC != web.Port.MAC || p.State != api.PortUp || p.Reason != "" {
		t.Errorf("the port is %+v", p)
	}
	if now := web.Run("ip", "route", "show", "default"); now != routes {
		t.Errorf("its default route is %q, want %q", now, routes)
	}
	if out := web.Run("ip", "-4", "-o", "address", "show", "dev", "eth0"); strings.Contains(out, old+"/") ||
		!strings.Contains(out, "172.17.0.80/16") || !strings.Contains(out, "192.0.2.7/32") {
		t.Errorf("its interface has\n%s", out)
	}
	h.Kill()
	h.Start()
	lives(web, peer, outside, "172.17.0.80", old)
	if next := h.Attach("next", at(old)); next.Port.MAC == web.Port.MAC {
		t.Errorf("the next port has the MAC %s, which web keeps", next.Port.MAC)
	}
	peer.Reaches(old)
	h.refusesCommand([]string{old, "in use"}, "set-port", "web", "--ip", old)
	h.refusesCommand([]string{"172.17.0.1", "gateway"}, "set-port", "web", "--ip", "172.17.0.1")
	h.refusesCommand([]string{"10.1.0.1", "outside"}, "set-port", "web", "--ip", "10.1.0.1")
	lives(web, peer, outside, "172.17.0.80", "172.17.0.99")
}
