package vswitch_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"vswitch/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

const passes = vswitch.Reason(255)

// securityTest is a frame and what becomes of it at each level of security.
type securityTest struct {
	name                 string
	eth                  []byte
	off, macOnly, strict vswitch.Reason
}

func always(name string, eth []byte, r vswitch.Reason) securityTest {
	return securityTest{name, eth, r, r, r}
}

func onlyStrict(name string, eth []byte, r vswitch.Reason) securityTest {
	return securityTest{name, eth, passes, passes, r}
}

func secured(name string, eth []byte, r vswitch.Reason) securityTest {
	return securityTest{name, eth, passes, r, r}
}

// policy1 is that of the first port's station.
func policy1(level vswitch.Security) vswitch.Policy {
	s := station1
	c := vswitch.Policy{Security: level, MAC: s.mac, IPv6: true, MACLimit: -1}
	c.Addrs = append(c.Addrs, s.ip, s.second, s.ip6)
	c.Prefixes = append(c.Prefixes, s.routed, s.routed6)
	return c
}

func testSecurity(t *testing.T, tests []securityTest, change func(*vswitch.Policy)) {
	t.Helper()
	levels := []vswitch.Security{vswitch.SecurityOff, vswitch.SecurityMACOnly, vswitch.SecurityStrict}
	names := []string{"off", "mac-only", "strict"}
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segmentWith(vswitch.SegmentConfig{Gateway: station1.gateway})
		if _, err := l.sw.AddResponder(seg, gatewayMAC, &responder{}); err != nil {
			l.t.Fatal(err)
		}
		other := l.port(seg, 2)
		teach(other)
		for i, level := range levels {
			c := policy1(level)
			if change != nil {
				change(&c)
			}
			for _, test := range tests {
				p := l.portWith(seg, 1, vswitch.PortConfig{Name: names[i] + ": " + test.name, Policy: c})
				p.Send(test.eth)
				synctest.Wait()
				want := []vswitch.Reason{test.off, test.macOnly, test.strict}[i]
				checkOutcome(l.t, p, other, test.eth, want)
				l.sw.RemovePort(p.Port)
			}
		}
	})
}

// checkOutcome expects that the one frame that p has sent reached other, or was
// dropped for want.
func checkOutcome(t testing.TB, p, other *port, eth []byte, want vswitch.Reason) {
	t.Helper()
	c, got := p.Counters(), passes
	for _, r := range vswitch.Reasons() {
		if c.Drops[r] != 0 {
			got = r
		}
	}
	if got != want {
		t.Errorf("%s: dropped as %q, want %q (unknown: it passes)", p.Name(), got, want)
	}
	arrived := other.Frames()
	if got == passes && (len(arrived) != 1 || !slices.Equal(arrived[0], eth)) || got != passes && len(arrived) != 0 {
		t.Errorf("%s: %d frames arrived of one dropped as %q", p.Name(), len(arrived), got)
	}
	balanced(t, p.Port)
}

func TestSecurityOfEthernet(t *testing.T) {
	s, other := station1, switchtest.MAC(2)
	own := ipv4(s.ip, frame.ProtoTCP, transport(1000, 80)...)
	from := func(mac frame.MAC) []byte {
		b := slices.Clone(own)
		frame.Ethernet(b).SetSrc(mac)
		return b
	}
	to := func(mac frame.MAC, etherType uint16) []byte {
		return ethernet(mac, s.mac, etherType, make([]byte, 46)...)
	}
	stp := frame.MAC{1, 0x80, 0xc2}
	testSecurity(t, []securityTest{
		always("own address", own, passes),
		always("unicast", ethernet(other, s.mac, frame.EtherTypeIPv4, own[14:]...), passes),
		secured("another's address", from(switchtest.MAC(9)), vswitch.SpoofedMAC),
		always("the gateway's address", from(gatewayMAC), vswitch.SpoofedGateway),
		always("no address", from(frame.MAC{}), vswitch.BadSource),
		secured("tag", tagged(own, frame.EtherTypeVLAN), vswitch.VLANTagged),
		secured("provider's tag", tagged(own, frame.EtherTypeQinQ), vswitch.VLANTagged),
		secured("old provider's tag", tagged(own, frame.EtherTypeQinQOld), vswitch.VLANTagged),
		secured("two tags", tagged(tagged(own, frame.EtherTypeVLAN), frame.EtherTypeQinQ), vswitch.VLANTagged),
		onlyStrict("experimental protocol", to(other, 0x88b5), vswitch.UnassignedProtocol),
		onlyStrict("reverse ARP", to(frame.Broadcast, 0x8035), vswitch.UnassignedProtocol),
		onlyStrict("LLC", to(other, 46), vswitch.UnassignedProtocol),
		always("reserved group", to(stp, 46), vswitch.ReservedGroup),
		always("no reserved group", ethernet(frame.MAC{1, 0x80, 0xc2, 0, 0, 0x10}, s.mac, frame.EtherTypeIPv4, own[14:]...), passes),
	}, nil)
}

func TestAllowReserved(t *testing.T) {
	s := station1
	lldp := ethernet(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, s.mac, 0x88cc, make([]byte, 46)...)
	spoofed := slices.Clone(lldp)
	frame.Ethernet(spoofed).SetSrc(switchtest.MAC(9))
	testSecurity(t, []securityTest{
		always("LLDP", lldp, passes),
		secured("another's LLDP", spoofed, vswitch.SpoofedMAC),
	}, func(c *vswitch.Policy) { c.AllowReserved = true })
}

func TestSecurityOfARP(t *testing.T) {
	s, zero := station1, addr("0.0.0.0")
	const request, reply = frame.ARPRequest, frame.ARPReply
	truncated := arpFrom(request, s.mac, s.ip, s.other)
	truncated = truncated[:len(truncated)-1]
	hardware := arpFrom(request, s.mac, s.ip, s.other)
	hardware[14+1] = 6
	testSecurity(t, []securityTest{
		always("request", arpFrom(request, s.mac, s.ip, s.other), passes),
		always("request from the second address", arpFrom(request, s.mac, s.second, s.other), passes),
		always("request for the gateway", arpFrom(request, s.mac, s.ip, s.gateway), passes),
		always("reply", arpFrom(reply, s.mac, s.ip, s.other), passes),
		always("announcement", arpFrom(request, s.mac, s.ip, s.ip), passes),
		always("probe", arpFrom(request, s.mac, zero, s.ip), passes),
		onlyStrict("probe for another's", arpFrom(request, s.mac, zero, s.other), vswitch.SpoofedARP),
		onlyStrict("reply from no address", arpFrom(reply, s.mac, zero, s.ip), vswitch.SpoofedARP),
		onlyStrict("another's IP", arpFrom(reply, s.mac, s.other, s.ip), vswitch.SpoofedARP),
		onlyStrict("request with another's IP", arpFrom(request, s.mac, s.other, s.ip), vswitch.SpoofedARP),
		onlyStrict("another's MAC", arpFrom(reply, switchtest.MAC(2), s.ip, s.other), vswitch.SpoofedARP),
		onlyStrict("an address that it only routes", arpFrom(reply, s.mac, s.inRouted, s.other), vswitch.SpoofedARP),
		always("reply as the gateway", arpFrom(reply, s.mac, s.gateway, s.other), vswitch.SpoofedGateway),
		always("request as the gateway", arpFrom(request, s.mac, s.gateway, s.other), vswitch.SpoofedGateway),
		onlyStrict("truncated", truncated, vswitch.MalformedARP),
		onlyStrict("other hardware", hardware, vswitch.MalformedARP),
	}, nil)
}

func TestSecurityOfIPv4(t *testing.T) {
	s, zero := station1, addr("0.0.0.0")
	const tcp, udp, icmp = frame.ProtoTCP, frame.ProtoUDP, frame.ProtoICMP
	edit := func(eth []byte, at int, v byte) []byte {
		eth[frame.EthernetHeaderLen+at] = v
		return eth
	}
	withOptions := ipv4(s.ip, udp, append(make([]byte, 4), transport(67, 68)...)...)
	testSecurity(t, []securityTest{
		always("TCP", ipv4(s.ip, tcp, transport(1, 2)...), passes),
		always("UDP", ipv4(s.ip, udp, transport(1, 2)...), passes),
		always("ping", ipv4(s.second, icmp, 8, 0, 0, 0, 0, 0, 0, 0), passes),
		always("routed source", ipv4(s.inRouted, tcp, transport(1, 2)...), passes),
		onlyStrict("beside the routed prefix", ipv4(addr("10.10.0.1"), tcp, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("another's source", ipv4(s.other, tcp, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("the gateway's source", ipv4(s.gateway, icmp, 8, 0, 0, 0, 0, 0, 0, 0), vswitch.SpoofedIP),
		onlyStrict("no source", ipv4(zero, tcp, transport(68, 67)...), vswitch.SpoofedIP),
		always("DHCP client", ipv4(zero, udp, transport(68, 67)...), passes),
		onlyStrict("no source, other ports", ipv4(zero, udp, transport(68, 66)...), vswitch.SpoofedIP),
		onlyStrict("no source, not the client's port", ipv4(zero, udp, transport(1068, 67)...), vswitch.SpoofedIP),
		onlyStrict("no source, later fragment", fragment(ipv4(zero, udp, transport(68, 67)...), 8, false), vswitch.SpoofedIP),
		always("DHCP client that renews", ipv4(s.ip, udp, transport(68, 67)...), passes),
		onlyStrict("DHCP server", ipv4(s.ip, udp, transport(67, 68)...), vswitch.RogueDHCP),
		onlyStrict("DHCP server from any port", ipv4(s.ip, udp, transport(1067, 68)...), vswitch.RogueDHCP),
		onlyStrict("DHCP server, first fragment", fragment(ipv4(s.ip, udp, transport(67, 68)...), 0, true), vswitch.RogueDHCP),
		onlyStrict("DHCP server behind options", edit(withOptions, 0, 0x46), vswitch.RogueDHCP),
		always("what looks like one in a later fragment", fragment(ipv4(s.ip, udp, transport(67, 68)...), 8, false), passes),
		always("from the server's port elsewhere", ipv4(s.ip, udp, transport(67, 69)...), passes),
		always("TCP from 67 to 68", ipv4(s.ip, tcp, transport(67, 68)...), passes),
		onlyStrict("UDP without its header", ipv4(s.ip, udp, 0, 67, 0, 68), vswitch.MalformedIP),
		onlyStrict("version 6", edit(ipv4(s.ip, tcp, transport(1, 2)...), 0, 0x65), vswitch.MalformedIP),
		onlyStrict("header length of 16", edit(ipv4(s.ip, tcp, transport(1, 2)...), 0, 0x44), vswitch.MalformedIP),
		onlyStrict("header behind the end", edit(ipv4(s.ip, tcp, transport(1, 2)...), 0, 0x4f), vswitch.MalformedIP),
		onlyStrict("truncated", ipv4(s.ip, tcp)[:33], vswitch.MalformedIP),
	}, nil)
}

func TestSecurityOfIPv6(t *testing.T) {
	s := station1
	const tcp, udp, icmp, hop, destination, frag = frame.ProtoTCP, frame.ProtoUDP, frame.ProtoICMPv6, 0, 60, 44
	ownLocal := s.mac.LinkLocal()
	ra, redirect := icmp6(134, make([]byte, 8)...), icmp6(137, make([]byte, 32)...)
	longChain := ra
	next := uint8(icmp)
	for range 30 {
		longChain, next = extension(next, longChain...), destination
	}
	truncated := ipv6(s.ip6, tcp, transport(1, 2)...)
	testSecurity(t, []securityTest{
		always("TCP", ipv6(s.ip6, tcp, transport(1, 2)...), passes),
		always("TCP from the link-local address", ipv6(ownLocal, tcp, transport(1, 2)...), passes),
		always("routed source", ipv6(s.inRouted6, tcp, transport(1, 2)...), passes),
		always("behind extension headers", ipv6(s.ip6, hop, extension(destination, extension(tcp, transport(1, 2)...)...)...), passes),
		always("no next header", ipv6(s.ip6, 59), passes),
		onlyStrict("another's source", ipv6(s.other6, tcp, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("another's link-local source", ipv6(s.otherLinkLocal, tcp, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("beside the routed prefix", ipv6(addr("fd00:9:0:1::1"), tcp, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("no source", ipv6(s.noSource, tcp, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("no source, UDP", ipv6(s.noSource, udp, transport(546, 547)...), vswitch.SpoofedIP),
		onlyStrict("another's ping", ipv6(s.other6, icmp, icmp6(128)...), vswitch.SpoofedIP),
		always("ping", ipv6(s.ip6, icmp, icmp6(128)...), passes),
		always("DHCPv6 client", ipv6(ownLocal, udp, transport(546, 547)...), passes),
		onlyStrict("DHCPv6 server", ipv6(ownLocal, udp, transport(547, 546)...), vswitch.RogueDHCP),
		onlyStrict("router advertisement", ipv6(ownLocal, icmp, ra...), vswitch.RogueRA),
		onlyStrict("another's router advertisement", ipv6(s.otherLinkLocal, icmp, ra...), vswitch.RogueRA),
		onlyStrict("redirect", ipv6(ownLocal, icmp, redirect...), vswitch.RogueRA),
		onlyStrict("advertisement behind an extension header", ipv6(ownLocal, hop, extension(icmp, ra...)...), vswitch.RogueRA),
		onlyStrict("advertisement behind thirty", ipv6(ownLocal, next, longChain...), vswitch.RogueRA),
		onlyStrict("advertisement in a first fragment", ipv6(ownLocal, frag, fragment6(icmp, 0, true, ra...)...), vswitch.RogueRA),
		onlyStrict("advertisement in an atomic fragment", ipv6(ownLocal, frag, fragment6(icmp, 0, false, ra...)...), vswitch.RogueRA),
		onlyStrict("first fragment that hides what follows", ipv6(ownLocal, frag, fragment6(destination, 0, true, extension(icmp)...)...), vswitch.RogueRA),
		onlyStrict("first fragment that ends in an extension header", ipv6(ownLocal, frag, fragment6(destination, 0, true, icmp, 1, 1, 4, 0, 0, 0, 0)...), vswitch.RogueRA),
		onlyStrict("first fragment with half a UDP header", ipv6(ownLocal, frag, fragment6(udp, 0, true, 0, 1, 0, 2)...), vswitch.RogueRA),
		always("first fragment", ipv6(s.ip6, frag, fragment6(udp, 0, true, transport(1, 2)...)...), passes),
		always("later fragment", ipv6(s.ip6, frag, fragment6(icmp, 1, false, ra...)...), passes),
		onlyStrict("another's later fragment", ipv6(s.other6, frag, fragment6(icmp, 1, false, ra...)...), vswitch.SpoofedIP),
		onlyStrict("header chain without an end", ipv6(s.ip6, hop, extension(tcp)[:7]...), vswitch.MalformedIP),
		onlyStrict("truncated", truncated[:len(truncated)-1], vswitch.MalformedIP),
	}, nil)
}

func TestSecurityOfNeighbourDiscovery(t *testing.T) {
	s := station1
	const icmp, rs, ns, na = frame.ProtoICMPv6, 133, 135, 136
	local, other := s.mac.LinkLocal(), switchtest.MAC(2)
	source, target := linkLayer(1, s.mac), linkLayer(2, s.mac)
	nonce := []byte{14, 1, 1, 2, 3, 4, 5, 6}
	testSecurity(t, []securityTest{
		always("solicitation", ipv6(local, icmp, neighbour(ns, s.other6, source...)...), passes),
		always("solicitation without its address", ipv6(s.ip6, icmp, neighbour(ns, s.other6)...), passes),
		onlyStrict("solicitation with another's link-layer address", ipv6(local, icmp, neighbour(ns, s.other6, linkLayer(1, other)...)...), vswitch.SpoofedND),
		onlyStrict("another's address behind other options", ipv6(local, icmp, neighbour(ns, s.other6, append(slices.Clone(nonce), linkLayer(1, other)...)...)...), vswitch.SpoofedND),
		onlyStrict("another's solicitation", ipv6(s.other6, icmp, neighbour(ns, s.ip6, source...)...), vswitch.SpoofedIP),
		always("duplicate detection", ipv6(s.noSource, icmp, neighbour(ns, s.ip6, nonce...)...), passes),
		always("duplicate detection of the link-local address", ipv6(s.noSource, icmp, neighbour(ns, local)...), passes),
		onlyStrict("duplicate detection of another's", ipv6(s.noSource, icmp, neighbour(ns, s.other6)...), vswitch.SpoofedND),
		always("advertisement", ipv6(s.ip6, icmp, neighbour(na, s.ip6, target...)...), passes),
		onlyStrict("advertisement of another's address", ipv6(s.ip6, icmp, neighbour(na, s.other6, target...)...), vswitch.SpoofedND),
		onlyStrict("advertisement of a routed address", ipv6(s.ip6, icmp, neighbour(na, s.inRouted6, target...)...), vswitch.SpoofedND),
		onlyStrict("advertisement with another's link-layer address", ipv6(s.ip6, icmp, neighbour(na, s.ip6, linkLayer(2, other)...)...), vswitch.SpoofedND),
		onlyStrict("advertisement from nowhere", ipv6(s.noSource, icmp, neighbour(na, s.ip6, target...)...), vswitch.SpoofedIP),
		onlyStrict("advertisement in fragments", ipv6(s.ip6, 44, fragment6(icmp, 0, true, neighbour(na, s.ip6, target...)...)...), vswitch.SpoofedND),
		always("router solicitation", ipv6(local, icmp, icmp6(rs, source...)...), passes),
		always("router solicitation from nowhere", ipv6(s.noSource, icmp, icmp6(rs)...), passes),
		onlyStrict("router solicitation with another's link-layer address", ipv6(local, icmp, icmp6(rs, linkLayer(1, other)...)...), vswitch.SpoofedND),
		always("listener report", ipv6(local, 0, extension(icmp, icmp6(143)...)...), passes),
		always("listener report from nowhere", ipv6(s.noSource, 0, extension(icmp, icmp6(143)...)...), passes),
		onlyStrict("another's listener report", ipv6(s.otherLinkLocal, 0, extension(icmp, icmp6(143)...)...), vswitch.SpoofedIP),
		onlyStrict("option of no length", ipv6(local, icmp, neighbour(ns, s.other6, 1, 0, 0, 0, 0, 0, 0, 0)...), vswitch.MalformedIP),
		onlyStrict("option behind the end", ipv6(local, icmp, neighbour(ns, s.other6, 1, 2, 0, 0, 0, 0, 0, 0)...), vswitch.MalformedIP),
		onlyStrict("half a solicitation", ipv6(local, icmp, icmp6(ns)...), vswitch.MalformedIP),
		onlyStrict("half an ICMPv6 header", ipv6(local, icmp, ns, 0), vswitch.MalformedIP),
	}, nil)
}

func TestSegmentWithoutIPv6(t *testing.T) {
	s := station1
	testSecurity(t, []securityTest{
		onlyStrict("TCP", ipv6(s.ip6, frame.ProtoTCP, transport(1, 2)...), vswitch.UnassignedProtocol),
		onlyStrict("listener report", ipv6(s.noSource, 0, extension(frame.ProtoICMPv6, icmp6(143)...)...), vswitch.UnassignedProtocol),
		onlyStrict("router advertisement", ipv6(s.mac.LinkLocal(), frame.ProtoICMPv6, icmp6(134)...), vswitch.UnassignedProtocol),
		always("IPv4", ipv4(s.ip, frame.ProtoTCP, transport(1, 2)...), passes),
	}, func(c *vswitch.Policy) { c.IPv6 = false })
}

// TestSecurityWithoutAddresses: a station that is about to ask for its address.
func TestSecurityWithoutAddresses(t *testing.T) {
	s, zero := station1, addr("0.0.0.0")
	testSecurity(t, []securityTest{
		always("DHCP client", ipv4(zero, frame.ProtoUDP, transport(68, 67)...), passes),
		onlyStrict("TCP from nowhere", ipv4(zero, frame.ProtoTCP, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("TCP", ipv4(s.ip, frame.ProtoTCP, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("ARP", arpFrom(frame.ARPRequest, s.mac, s.ip, s.other), vswitch.SpoofedARP),
		onlyStrict("probe for nothing", arpFrom(frame.ARPRequest, s.mac, zero, zero), vswitch.SpoofedARP),
	}, func(c *vswitch.Policy) { c.Addrs, c.Prefixes = nil, nil })
}

// TestRouterOfEverything may send from any address, and still not from none.
func TestRouterOfEverything(t *testing.T) {
	s, zero := station1, addr("0.0.0.0")
	testSecurity(t, []securityTest{
		always("another's source", ipv4(s.other, frame.ProtoTCP, transport(1, 2)...), passes),
		always("another's IPv6 source", ipv6(s.other6, frame.ProtoTCP, transport(1, 2)...), passes),
		onlyStrict("TCP from nowhere", ipv4(zero, frame.ProtoTCP, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("IPv6 from nowhere", ipv6(s.noSource, frame.ProtoTCP, transport(1, 2)...), vswitch.SpoofedIP),
		onlyStrict("another's ARP", arpFrom(frame.ARPReply, s.mac, s.other, s.ip), vswitch.SpoofedARP),
	}, func(c *vswitch.Policy) {
		c.Prefixes = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	})
}

// TestStrictChecksEachFrameOfAFlow: those after the first go the way of the one
// before, and only their Ethernet headers are the same.
func TestStrictChecksEachFrameOfAFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p, q := l.portWith(seg, 1, vswitch.PortConfig{Policy: policy1(vswitch.SecurityStrict)}), l.port(seg, 2)
		teach(q)
		s := station1
		unicast := func(eth []byte) []byte {
			frame.Ethernet(eth).SetDst(q.mac)
			return eth
		}
		good := unicast(ipv4(s.ip, frame.ProtoTCP, transport(1, 2)...))
		good6 := unicast(ipv6(s.ip6, frame.ProtoTCP, transport(1, 2)...))
		for _, eth := range [][]byte{
			good, good, unicast(ipv4(s.other, frame.ProtoTCP, transport(1, 2)...)), good,
			unicast(ipv4(s.ip, frame.ProtoUDP, transport(67, 68)...)), good,
			good6, good6, unicast(ipv6(s.other6, frame.ProtoTCP, transport(1, 2)...)), good6,
			unicast(ipv6(s.ip6, frame.ProtoICMPv6, neighbour(136, s.other6)...)), good6,
			unicast(ipv6(s.mac.LinkLocal(), frame.ProtoICMPv6, icmp6(134)...)), good6,
		} {
			p.Send(eth)
		}
		synctest.Wait()
		for i, eth := range q.Frames() {
			if !slices.Equal(eth, good) && !slices.Equal(eth, good6) {
				l.t.Errorf("frame %d that arrived is one of those to be refused: % x", i, eth)
			}
		}
		c := p.Counters()
		want := map[vswitch.Reason]uint64{vswitch.SpoofedIP: 2, vswitch.RogueDHCP: 1, vswitch.SpoofedND: 1, vswitch.RogueRA: 1}
		for _, r := range vswitch.Reasons() {
			if c.Drops[r] != want[r] {
				l.t.Errorf("%d drops as %s, want %d", c.Drops[r], r, want[r])
			}
		}
		if c.Forwarded != 9 {
			l.t.Errorf("%d frames were forwarded, want the 9 good ones", c.Forwarded)
		}
		balanced(l.t, p.Port)
	})
}
