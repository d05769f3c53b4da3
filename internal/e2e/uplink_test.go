package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
)

// pings sends three echo requests from the host and wants all answered.
func (h *host) reaches(to string, options ...string) {
	h.Helper()
	if r := ping(h, h.ns, 3, to, options...); r.received != r.sent {
		h.Errorf("ping from the host to %s: %d of %d answered, want all:\n%s", to, r.received, r.sent, r.output)
	}
}

func (h *host) segment(name string) api.Segment {
	h.Helper()
	s, err := h.client.Segment(h.Context(), name)
	if err != nil {
		h.Fatalf("segment %s: %v", name, err)
	}
	return s
}

func TestHostAndContainersReachEachOther(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("other", func(s *api.SegmentSpec) { s.MTU = 9000 })
	c1, c2 := h.attach("c1"), h.attach("c2", on("other"))
	for _, c := range []*container{c1, c2} {
		h.reaches(c.addr().String())
		c.reaches(c.port.Gateway)
	}
	h.reaches(c2.addr().String(), "-M", "do", "-s", "8972")
	for _, s := range []api.Segment{h.segment("bridge"), h.segment("other")} {
		if s.Uplink != api.UplinkHost || s.HostLink.Name != "vs-"+s.ID[:11] || s.HostLink.State != api.PortUp {
			t.Errorf("segment %s has uplink %q and host link %+v, want vs-%s up", s.Name, s.Uplink, s.HostLink, s.ID[:11])
		}
		link := h.ns.Run("ip", "-d", "addr", "show", "dev", s.HostLink.Name)
		for _, want := range []string{
			"inet " + netip.PrefixFrom(netip.MustParseAddr(s.Gateway), s.Subnet.Bits()).String(), "alias vswitch segment " + s.Name, "qlen 1000", ",UP",
		} {
			if !strings.Contains(link, want) {
				t.Errorf("the host's interface lacks %q:\n%s", want, link)
			}
		}
		if strings.Contains(link, "inet6") {
			t.Errorf("the host's interface has an IPv6 address:\n%s", link)
		}
		if s.HostLink.Counters.RxFrames == 0 || s.HostLink.Counters.TxFrames == 0 {
			t.Errorf("segment %s: nothing is counted at the host link: %+v", s.Name, s.HostLink.Counters)
		}
	}
}
