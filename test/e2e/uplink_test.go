package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestHostAndContainersReachEachOther(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other", func(s *api.SegmentSpec) { s.MTU = 9000 })
	c1, c2 := h.Attach("c1"), h.Attach("c2", lab.On("other"))
	for _, c := range []*lab.Container{c1, c2} {
		h.Reaches(c.Addr().String())
		c.Reaches(c.Port.Gateway)
	}
	h.Reaches(c2.Addr().String(), "-M", "do", "-s", "8972")
	transfer(t, c1, h.onHost("bridge"), 64<<20)
	transfer(t, h.onHost("bridge"), c1, 64<<20)
	for _, s := range []api.Segment{h.Segment("bridge"), h.Segment("other")} {
		if s.Uplink != api.UplinkHost || s.HostLink.Name != "vs-"+s.ID[:11] || s.HostLink.State != api.PortUp {
			t.Errorf("segment %s has uplink %q and host link %+v, want vs-%s up", s.Name, s.Uplink, s.HostLink, s.ID[:11])
		}
		if c := s.HostLink.Counters; c.RxFrames == 0 || c.RxFrames != c.Forwarded+c.Flooded+c.Local+drops(c, true) {
			t.Errorf("segment %s: %d frames received from the host and not as many accounted for: %+v", s.Name, c.RxFrames, c)
		}
		link := h.NS.Run("ip", "-d", "addr", "show", "dev", s.HostLink.Name)
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
	}
}

// Isolated ports and rules keep containers apart, not from the host; and the host
// is no way around them.
func TestHostLinkAndIsolation(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.routes()
	isolated := func(s *api.PortSpec) { s.Isolated = true }
	a, b := h.Attach("a", isolated), h.Attach("b", isolated)
	if _, err := h.Client.AddRule(t.Context(), "bridge", api.RuleSpec{Action: "deny"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*lab.Container{a, b} {
		h.Reaches(c.Addr().String())
		c.Reaches(c.Port.Gateway)
	}
	a.Misses(b.Addr().String())
	a.Run("ip", "route", "add", b.Addr().String(), "via", a.Port.Gateway)
	a.Misses(b.Addr().String())
	h.AwaitDrops("a", "gateway-unhandled", 3)
}

func TestWithoutUplinkTheGatewayAnswersAlone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.outside(1500)
	h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	h.AddSegment("none", func(s *api.SegmentSpec) { s.Uplink = api.UplinkNone })
	for _, name := range []string{"internal", "none"} {
		s := h.Segment(name)
		if s.Uplink != api.UplinkNone || s.HostLink.Name != "" {
			t.Errorf("segment %s has uplink %q and host link %q, want none", name, s.Uplink, s.HostLink.Name)
		}
		c := h.Attach("in-"+name, lab.On(name))
		c.Reaches(c.Port.Gateway)
		c.Misses(farOutside)
		h.AwaitDrops("in-"+name, "no-uplink", 3)
		if r := lab.Ping(h, h.NS, 1, c.Addr().String(), "-W", "0.5"); r.Received != 0 {
			t.Errorf("the host reaches a container of segment %s", name)
		}
	}
	if out := h.NS.Run("ip", "-o", "addr"); strings.Contains(out, "172.18.0.1") || strings.Contains(out, "172.19.0.1") {
		t.Errorf("the host has the address of a segment without uplink:\n%s", out)
	}
}

func TestSubnetsOfTheHostAreRefused(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	h.NS.Run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan1")
	h.NS.Run("ip", "addr", "add", "172.17.3.4/16", "dev", "lan")
	h.NS.Run("ip", "link", "set", "lan", "up")
	h.NS.Run("ip", "route", "add", "10.5.6.0/24", "via", "172.17.0.9", "onlink", "dev", "lan")
	h.NS.Run("ip", "route", "add", "10.0.0.0/9", "via", "172.17.0.9", "onlink", "dev", "lan")
	h.Start()
	if s := h.Segment("bridge"); s.Subnet.String() != "172.18.0.0/16" {
		t.Errorf("the default segment has %s, want 172.18.0.0/16: the host has an address in 172.17.0.0/16", s.Subnet)
	}
	add := func(subnet string, uplink api.Uplink) error {
		_, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: "s", Subnet: netip.MustParsePrefix(subnet), Uplink: uplink})
		return err
	}
	for subnet, says := range map[string]string{
		"172.17.0.0/16": `address 172.17.3.4/16 of interface "lan"`,
		"172.17.9.0/24": `address 172.17.3.4/16 of interface "lan"`,
		"10.5.0.0/16":   `route to 10.5.6.0/24 by interface "lan"`,
		"10.5.6.0/24":   `route to 10.5.6.0/24 by interface "lan"`,
	} {
		err := add(subnet, "")
		if api.KindOf(err) != api.Conflict || !strings.Contains(err.Error(), says) {
			t.Errorf("subnet %s: %v, want a conflict with the host's %s", subnet, err, says)
		}
	}
	if list, err := h.Client.Segments(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d segments, %v; want the default one alone", len(list), err)
	}
	// Within a route that leads elsewhere the longer prefix wins, and who has no link
	// to the host cannot be in its way.
	for _, subnet := range []string{"10.6.0.0/16", "172.17.0.0/16"} {
		uplink := map[string]api.Uplink{"172.17.0.0/16": api.UplinkNone}[subnet]
		if err := add(subnet, uplink); err != nil {
			t.Errorf("subnet %s with uplink %q: %v", subnet, uplink, err)
		}
		if _, err := h.Client.DeleteSegment(t.Context(), "s", false); err != nil {
			t.Error(err)
		}
	}
}

func TestDeletedSegmentTakesItsHostLink(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	s := h.AddSegment("short")
	h.Attach("c", lab.On("short"))
	if _, err := h.Client.DeleteSegment(t.Context(), "short", true); err != nil {
		t.Fatal(err)
	}
	if out := h.NS.Run("ip", "-o", "addr"); strings.Contains(out, s.HostLink.Name) || !strings.Contains(out, h.Segment("bridge").HostLink.Name) {
		t.Errorf("after the deletion of a segment with %s the host has\n%s", s.HostLink.Name, out)
	}
}

// A packet's way through the host costs one hop, and what it cannot pass is said.
func TestHopsAndSizesThroughTheHost(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "ping")
	h := newHost(t, "--nat=false")
	h.routes()
	c, out := h.Attach("c"), h.outside(1400)
	c.Reaches(farOutside)
	out.Reaches(c.Addr().String())
	if text, _ := c.Try("ping", "-n", "-c", "1", "-W", "5", farOutside); !strings.Contains(text, "ttl=63") {
		t.Errorf("an answer from outside has not passed one hop:\n%s", text)
	}
	if text, ok := c.Try("ping", "-n", "-c", "1", "-W", "5", "-t", "1", farOutside); ok || !strings.Contains(text, "From 172.17.0.1 ") || !strings.Contains(text, "Time to live exceeded") {
		t.Errorf("a packet that may pass no hop, want the gateway to say so:\n%s", text)
	}
	if text, ok := c.Try("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", "1400", farOutside); ok || !strings.Contains(text, "From 172.17.0.1 ") || !strings.Contains(text, "mtu = 1400") {
		t.Errorf("a packet of 1428 bytes over a link of 1400, want the gateway to say its MTU:\n%s", text)
	}
	c.Reaches(farOutside, "-M", "do", "-s", "1372")
	c.Reaches(farOutside, "-M", "dont", "-s", "4000")
	c.Run("ip", "route", "flush", "cache")
	// TCP must find the path's MTU by itself: the other end says that it takes more.
	out.Run("ip", "route", "change", "172.16.0.0/12", "via", hostOutside, "advmss", "1460")
	transfer(t, c, out, 16<<20)
	transfer(t, out, c, 16<<20)
	if text := c.Run("ip", "route", "get", farOutside); !strings.Contains(text, "mtu 1400") {
		t.Errorf("TCP has not learned the path's MTU: %s", text)
	}
}

func TestHostLinkFollowsItsSegmentsName(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	s := h.AddSegment("blue")
	h.Kill()
	h.Start() // by which the link does not change: nobody looks at it for that
	c := h.Attach("c", lab.On("blue"))
	c.Reaches(c.Port.Gateway)
	if _, err := h.Client.UpdateSegment(t.Context(), "blue", api.SegmentUpdate{Name: new("green")}); err != nil {
		t.Fatal(err)
	}
	h.NS.AwaitNetwork("the interface's alias has the new name", func() bool {
		return strings.Contains(h.NS.Run("ip", "link", "show", "dev", s.HostLink.Name), "alias vswitch segment green\n")
	})
}

// A segment takes no subnet that would cut the host off from a network of its own, and
// goes on with the one that it has.
func TestAnotherSubnetThatTheHostHas(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newHost(t)
	s := h.AddSegment("blue", func(s *api.SegmentSpec) { s.Subnet = netip.MustParsePrefix("10.9.0.0/24") })
	h.NS.Run("ip", "address", "add", "10.9.7.1/24", "dev", "lo")
	for _, subnet := range []string{"10.9.7.0/25", "10.9.0.0/16"} {
		_, err := h.Client.UpdateSegment(t.Context(), "blue", api.SegmentUpdate{Subnet: new(netip.MustParsePrefix(subnet))})
		if api.KindOf(err) != api.Conflict || !strings.Contains(err.Error(), "overlaps the host's address 10.9.7.1/24") {
			t.Errorf("subnet %s: %v, want a conflict with the host's", subnet, err)
		}
		if now := h.Segment("blue"); now.Subnet != s.Subnet || now.HostLink.State != api.PortUp {
			t.Errorf("the segment has %s and host link %+v, want it as before: %s, up", now.Subnet, now.HostLink, s.Subnet)
		}
	}
	h.Reaches(h.Attach("c", lab.On("blue")).Addr().String())
	if rules := h.NS.Run("nft", "list", "table", "inet", "vswitch"); !strings.Contains(rules, s.HostLink.Name) || !strings.Contains(rules, "10.9.0.0/24") {
		t.Errorf("the segment has no way out any more:\n%s", rules)
	}
	h.AddSegment("green", func(s *api.SegmentSpec) { s.Subnet = netip.MustParsePrefix("10.9.1.0/24") }) // what was refused is not reserved
}

func TestRulesGoOnCountingInAnotherSubnet(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if _, err := h.Client.AddRule(t.Context(), "bridge", api.RuleSpec{Action: "deny", Protocol: "icmp"}); err != nil {
		t.Fatal(err)
	}
	hits := func() uint64 {
		rules, err := h.Client.Rules(t.Context(), "bridge")
		if err != nil || len(rules) != 1 {
			t.Fatalf("rules are %+v, %v; want one", rules, err)
		}
		return rules[0].Hits
	}
	a, b := h.Attach("a"), h.Attach("b")
	a.Misses(b.Addr().String())
	h.DelPort("a")
	h.DelPort("b")
	before := hits()
	if _, err := h.Client.UpdateSegment(t.Context(), "bridge", api.SegmentUpdate{Subnet: new(netip.MustParsePrefix("10.9.0.0/24"))}); err != nil {
		t.Fatal(err)
	}
	if after := hits(); before == 0 || after != before {
		t.Errorf("%d hits in one subnet and %d in the next, want as many, and some", before, after)
	}
}
