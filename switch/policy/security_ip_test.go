package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

func TestSecurityOfARP(t *testing.T) {
	t.Parallel()
	s, zero := host1, addr("0.0.0.0")
	const request, reply = frame.ARPRequest, frame.ARPReply
	truncated := arpFrom(request, s.MAC, s.IP, s.Other)
	truncated = truncated[:len(truncated)-1]
	hardware := arpFrom(request, s.MAC, s.IP, s.Other)
	hardware[14+1] = 6 // which Linux takes for Ethernet too
	claim := edit(arpFrom(reply, s.MAC, s.Gateway, s.Other), 1, 6)
	infiniBand := edit(claim, 1, 32) // which it does not
	noRequest := edit(arpFrom(request, s.MAC, zero, s.Other), 7, 3)
	testSecurity(t, []securityTest{
		always("request", arpFrom(request, s.MAC, s.IP, s.Other), passes),
		always(
			"request from the second address", arpFrom(request, s.MAC, s.Second, s.Other), passes,
		),
		always("request for the gateway", arpFrom(request, s.MAC, s.IP, s.Gateway), passes),
		always("reply", arpFrom(reply, s.MAC, s.IP, s.Other), passes),
		always("announcement", arpFrom(request, s.MAC, s.IP, s.IP), passes),
		always("probe", arpFrom(request, s.MAC, zero, s.IP), passes),
		always("probe for another's", arpFrom(request, s.MAC, zero, s.Other), passes),
		always("probe for the gateway's", arpFrom(request, s.MAC, zero, s.Gateway), passes),
		onlyStrict("another's probe", arpFrom(request, testMAC(2), zero, s.Other), drop.SpoofedARP),
		onlyStrict("reply from no address", arpFrom(reply, s.MAC, zero, s.IP), drop.SpoofedARP),
		onlyStrict("another's IP", arpFrom(reply, s.MAC, s.Other, s.IP), drop.SpoofedARP),
		onlyStrict(
			"request with another's IP", arpFrom(request, s.MAC, s.Other, s.IP), drop.SpoofedARP,
		),
		onlyStrict("another's MAC", arpFrom(reply, testMAC(2), s.IP, s.Other), drop.SpoofedARP),
		onlyStrict(
			"an address that it only routes", arpFrom(reply, s.MAC, s.InRouted, s.Other),
			drop.SpoofedARP,
		),
		always(
			"reply as the gateway", arpFrom(reply, s.MAC, s.Gateway, s.Other), drop.SpoofedGateway,
		),
		always(
			"request as the gateway", arpFrom(request, s.MAC, s.Gateway, s.Other),
			drop.SpoofedGateway,
		),
		always("reply as the gateway of other hardware", claim, drop.SpoofedGateway),
		onlyStrict("reply of hardware that nobody reads", infiniBand, drop.MalformedARP),
		onlyStrict("neither request nor reply from no address", noRequest, drop.SpoofedARP),
		onlyStrict("truncated", truncated, drop.MalformedARP),
		onlyStrict("other hardware", hardware, drop.MalformedARP),
	}, nil)
}

func TestSecurityOfIPv4(t *testing.T) {
	t.Parallel()
	s, zero := host1, addr("0.0.0.0")
	const tcp, udp, icmp = frame.ProtoTCP, frame.ProtoUDP, frame.ProtoICMP
	edit := func(eth []byte, at int, v byte) []byte {
		eth[frame.EthernetHeaderLen+at] = v
		return eth
	}
	withOptions := ipv4(s.IP, udp, append(make([]byte, 4), transport(67, 68)...)...)
	testSecurity(t, []securityTest{
		always("TCP", ipv4(s.IP, tcp, transport(1, 2)...), passes),
		always("UDP", ipv4(s.IP, udp, transport(1, 2)...), passes),
		always("ping", ipv4(s.Second, icmp, 8, 0, 0, 0, 0, 0, 0, 0), passes),
		always("routed source", ipv4(s.InRouted, tcp, transport(1, 2)...), passes),
		onlyStrict(
			"beside the routed prefix", ipv4(addr("10.10.0.1"), tcp, transport(1, 2)...),
			drop.SpoofedIP,
		),
		onlyStrict("another's source", ipv4(s.Other, tcp, transport(1, 2)...), drop.SpoofedIP),
		onlyStrict(
			"the gateway's source", ipv4(s.Gateway, icmp, 8, 0, 0, 0, 0, 0, 0, 0), drop.SpoofedIP,
		),
		onlyStrict("no source", ipv4(zero, tcp, transport(68, 67)...), drop.SpoofedIP),
		always("DHCP client", ipv4(zero, udp, transport(68, 67)...), passes),
		onlyStrict("no source, other ports", ipv4(zero, udp, transport(68, 66)...), drop.SpoofedIP),
		onlyStrict(
			"no source, not the client's port", ipv4(zero, udp, transport(1068, 67)...),
			drop.SpoofedIP,
		),
		onlyStrict(
			"no source, later fragment", fragment(ipv4(zero, udp, transport(68, 67)...), 8, false),
			drop.SpoofedIP,
		),
		always("DHCP client that renews", ipv4(s.IP, udp, transport(68, 67)...), passes),
		onlyStrict("DHCP server", ipv4(s.IP, udp, transport(67, 68)...), drop.RogueDHCP),
		onlyStrict(
			"DHCP server from any port", ipv4(s.IP, udp, transport(1067, 68)...), drop.RogueDHCP,
		),
		onlyStrict(
			"DHCP server, first fragment", fragment(ipv4(s.IP, udp, transport(67, 68)...), 0, true),
			drop.RogueDHCP,
		),
		onlyStrict("DHCP server behind options", edit(withOptions, 0, 0x46), drop.RogueDHCP),
		always(
			"what looks like one in a later fragment",
			fragment(ipv4(s.IP, udp, transport(67, 68)...), 8, false), passes,
		),
		always("from the server's port elsewhere", ipv4(s.IP, udp, transport(67, 69)...), passes),
		always("TCP from 67 to 68", ipv4(s.IP, tcp, transport(67, 68)...), passes),
		onlyStrict("UDP without its header", ipv4(s.IP, udp, 0, 67, 0, 68), drop.MalformedIP),
		onlyStrict(
			"version 6", edit(ipv4(s.IP, tcp, transport(1, 2)...), 0, 0x65), drop.MalformedIP,
		),
		onlyStrict(
			"header length of 16", edit(ipv4(s.IP, tcp, transport(1, 2)...), 0, 0x44),
			drop.MalformedIP,
		),
		onlyStrict(
			"header behind the end", edit(ipv4(s.IP, tcp, transport(1, 2)...), 0, 0x4f),
			drop.MalformedIP,
		),
		onlyStrict("truncated", ipv4(s.IP, tcp)[:33], drop.MalformedIP),
	}, nil)
}

// TestSecurityOfIGMP: a host that has no address yet reports from 0.0.0.0 (RFC 3376 §4.2.13), as
// do bridges that report for those behind them (RFC 4541 §2.1.1).
func TestSecurityOfIGMP(t *testing.T) {
	t.Parallel()
	s, zero := host1, addr("0.0.0.0")
	report := igmp(zero, allReporters, 0x22)
	toHost := switchtest.To(testMAC(2), report)
	tests := []securityTest{
		always("with the router alert", withRouterAlert(report), passes),
		always("own address", igmp(s.IP, allReporters, 0x22), passes),
		onlyStrict("another's address", igmp(s.Other, allReporters, 0x22), drop.SpoofedIP),
		secured("another's MAC", from(testMAC(2), report), drop.SpoofedMAC),
		onlyStrict("to all", igmp(zero, addr("255.255.255.255"), 0x22), drop.SpoofedIP),
		onlyStrict("to a host", igmp(zero, s.Other, 0x22), drop.SpoofedIP),
		onlyStrict("to a host's MAC", toHost, drop.SpoofedIP),
		onlyStrict("first fragment", fragment(report, 0, true), drop.SpoofedIP),
		onlyStrict("later fragment", fragment(report, 8, false), drop.SpoofedIP),
		onlyStrict("cut off", report[:len(report)-1], drop.SpoofedIP),
		onlyStrict("another protocol", edit(report, 9, frame.ProtoICMP), drop.SpoofedIP),
	}
	for kind := range 256 {
		name, eth := fmt.Sprintf("type %#x", kind), igmp(zero, allReporters, byte(kind))
		switch kind {
		case 0x12, 0x16, 0x17, 0x22: // reports of all versions, and a leave
			tests = append(tests, always(name, eth, passes))
		default: // a query among them
			tests = append(tests, onlyStrict(name, eth, drop.SpoofedIP))
		}
	}
	testSecurity(t, tests, nil)
	testSecurity(t, tests[:1], func(c *policy.Policy) { c.Addrs, c.Prefixes = nil, nil })
}

func TestSecurityOfIPv6(t *testing.T) {
	t.Parallel()
	s := host1
	const tcp, udp, icmp = frame.ProtoTCP, frame.ProtoUDP, frame.ProtoICMPv6
	const hop, destination, frag = 0, 60, 44
	ownLocal := s.MAC.LinkLocal()
	ra, redirect := icmp6(134, make([]byte, 8)...), icmp6(137, make([]byte, 32)...)
	next, longChain := chain(30, icmp, ra...)
	eight, behindEight := chain(8, tcp, transport(1, 2)...)
	nine, behindNine := chain(9, tcp, transport(1, 2)...)
	truncated := ipv6(s.IP6, tcp, transport(1, 2)...)
	testSecurity(t, []securityTest{
		always("TCP", ipv6(s.IP6, tcp, transport(1, 2)...), passes),
		always("TCP from the link-local address", ipv6(ownLocal, tcp, transport(1, 2)...), passes),
		always("routed source", ipv6(s.InRouted6, tcp, transport(1, 2)...), passes),
		always(
			"behind extension headers",
			ipv6(s.IP6, hop, extension(destination, extension(tcp, transport(1, 2)...)...)...),
			passes,
		),
		always("no next header", ipv6(s.IP6, 59), passes),
		onlyStrict("another's source", ipv6(s.Other6, tcp, transport(1, 2)...), drop.SpoofedIP),
		onlyStrict(
			"another's link-local source", ipv6(s.OtherLinkLocal, tcp, transport(1, 2)...),
			drop.SpoofedIP,
		),
		onlyStrict(
			"beside the routed prefix", ipv6(addr("fd00:a::1"), tcp, transport(1, 2)...),
			drop.SpoofedIP,
		),
		onlyStrict("no source", ipv6(noSource, tcp, transport(1, 2)...), drop.SpoofedIP),
		onlyStrict("no source, UDP", ipv6(noSource, udp, transport(546, 547)...), drop.SpoofedIP),
		onlyStrict("another's ping", ipv6(s.Other6, icmp, icmp6(128)...), drop.SpoofedIP),
		always("ping", ipv6(s.IP6, icmp, icmp6(128)...), passes),
		always("DHCPv6 client", ipv6(ownLocal, udp, transport(546, 547)...), passes),
		onlyStrict("DHCPv6 server", ipv6(ownLocal, udp, transport(547, 546)...), drop.RogueDHCP),
		onlyStrict("router advertisement", ipv6(ownLocal, icmp, ra...), drop.RogueRA),
		onlyStrict(
			"another's router advertisement", ipv6(s.OtherLinkLocal, icmp, ra...), drop.RogueRA,
		),
		onlyStrict("redirect", ipv6(ownLocal, icmp, redirect...), drop.RogueRA),
		onlyStrict(
			"advertisement behind an extension header",
			ipv6(ownLocal, hop, extension(icmp, ra...)...), drop.RogueRA,
		),
		onlyStrict("advertisement behind thirty", ipv6(ownLocal, next, longChain...), drop.RogueRA),
		always("TCP behind eight", ipv6(s.IP6, eight, behindEight...), passes),
		onlyStrict("TCP behind nine", ipv6(s.IP6, nine, behindNine...), drop.RogueRA),
		onlyStrict(
			"eighth header that is too long", edit(ipv6(s.IP6, eight, behindEight...), 40+56+1, 9),
			drop.MalformedIP,
		),
		onlyStrict(
			"advertisement in a first fragment",
			ipv6(ownLocal, frag, fragment6(icmp, 0, true, ra...)...), drop.RogueRA,
		),
		onlyStrict(
			"advertisement in an atomic fragment",
			ipv6(ownLocal, frag, fragment6(icmp, 0, false, ra...)...), drop.RogueRA,
		),
		onlyStrict(
			"first fragment that hides what follows",
			ipv6(ownLocal, frag, fragment6(destination, 0, true, extension(icmp)...)...),
			drop.RogueRA,
		),
		onlyStrict(
			"first fragment that ends in an extension header",
			ipv6(ownLocal, frag, fragment6(destination, 0, true, icmp, 1, 1, 4, 0, 0, 0, 0)...),
			drop.RogueRA,
		),
		onlyStrict(
			"first fragment with half a UDP header",
			ipv6(ownLocal, frag, fragment6(udp, 0, true, 0, 1, 0, 2)...), drop.RogueRA,
		),
		always(
			"first fragment", ipv6(s.IP6, frag, fragment6(udp, 0, true, transport(1, 2)...)...),
			passes,
		),
		always("later fragment", ipv6(s.IP6, frag, fragment6(icmp, 1, false, ra...)...), passes),
		onlyStrict(
			"another's later fragment", ipv6(s.Other6, frag, fragment6(icmp, 1, false, ra...)...),
			drop.SpoofedIP,
		),
		onlyStrict(
			"header chain without an end", ipv6(s.IP6, hop, extension(tcp)[:7]...),
			drop.MalformedIP,
		),
		onlyStrict("truncated", truncated[:len(truncated)-1], drop.MalformedIP),
	}, nil)
}

func TestSecurityOfNeighbourDiscovery(t *testing.T) {
	t.Parallel()
	s := host1
	const icmp, rs, ns, na = frame.ProtoICMPv6, 133, 135, 136
	local, other := s.MAC.LinkLocal(), testMAC(2)
	source, target := linkLayer(1, s.MAC), linkLayer(2, s.MAC)
	nonce := []byte{14, 1, 1, 2, 3, 4, 5, 6}
	behindNonce := slices.Concat(nonce, linkLayer(1, other))
	testSecurity(t, []securityTest{
		always("solicitation", ipv6(local, icmp, neighbour(ns, s.Other6, source...)...), passes),
		always(
			"solicitation without its address", ipv6(s.IP6, icmp, neighbour(ns, s.Other6)...),
			passes,
		),
		onlyStrict(
			"solicitation with another's link-layer address",
			ipv6(local, icmp, neighbour(ns, s.Other6, linkLayer(1, other)...)...), drop.SpoofedND,
		),
		onlyStrict(
			"another's address behind other options",
			ipv6(local, icmp, neighbour(ns, s.Other6, behindNonce...)...),
			drop.SpoofedND,
		),
		onlyStrict(
			"another's solicitation", ipv6(s.Other6, icmp, neighbour(ns, s.IP6, source...)...),
			drop.SpoofedIP,
		),
		always(
			"duplicate detection", ipv6(noSource, icmp, neighbour(ns, s.IP6, nonce...)...),
			passes,
		),
		always(
			"duplicate detection of the link-local address",
			ipv6(noSource, icmp, neighbour(ns, local)...), passes,
		),
		onlyStrict(
			"duplicate detection of another's", ipv6(noSource, icmp, neighbour(ns, s.Other6)...),
			drop.SpoofedND,
		),
		always("advertisement", ipv6(s.IP6, icmp, neighbour(na, s.IP6, target...)...), passes),
		onlyStrict(
			"advertisement of another's address",
			ipv6(s.IP6, icmp, neighbour(na, s.Other6, target...)...), drop.SpoofedND,
		),
		onlyStrict(
			"advertisement of a routed address",
			ipv6(s.IP6, icmp, neighbour(na, s.InRouted6, target...)...), drop.SpoofedND,
		),
		onlyStrict(
			"advertisement with another's link-layer address",
			ipv6(s.IP6, icmp, neighbour(na, s.IP6, linkLayer(2, other)...)...), drop.SpoofedND,
		),
		onlyStrict(
			"advertisement from nowhere",
			ipv6(noSource, icmp, neighbour(na, s.IP6, target...)...), drop.SpoofedIP,
		),
		onlyStrict(
			"advertisement in fragments",
			ipv6(s.IP6, 44, fragment6(icmp, 0, true, neighbour(na, s.IP6, target...)...)...),
			drop.SpoofedND,
		),
		always("router solicitation", ipv6(local, icmp, icmp6(rs, source...)...), passes),
		always("router solicitation from nowhere", ipv6(noSource, icmp, icmp6(rs)...), passes),
		onlyStrict(
			"router solicitation with another's link-layer address",
			ipv6(local, icmp, icmp6(rs, linkLayer(1, other)...)...), drop.SpoofedND,
		),
		always("listener report", ipv6(local, 0, extension(icmp, icmp6(143)...)...), passes),
		always(
			"listener report from nowhere", ipv6(noSource, 0, extension(icmp, icmp6(143)...)...),
			passes,
		),
		onlyStrict(
			"another's listener report",
			ipv6(s.OtherLinkLocal, 0, extension(icmp, icmp6(143)...)...), drop.SpoofedIP,
		),
		onlyStrict(
			"option of no length",
			ipv6(local, icmp, neighbour(ns, s.Other6, 1, 0, 0, 0, 0, 0, 0, 0)...), drop.MalformedIP,
		),
		onlyStrict(
			"option behind the end",
			ipv6(local, icmp, neighbour(ns, s.Other6, 1, 2, 0, 0, 0, 0, 0, 0)...), drop.MalformedIP,
		),
		onlyStrict("half a solicitation", ipv6(local, icmp, icmp6(ns)...), drop.MalformedIP),
		onlyStrict("half an ICMPv6 header", ipv6(local, icmp, ns, 0), drop.MalformedIP),
	}, nil)
}

func TestSegmentWithoutIPv6(t *testing.T) {
	t.Parallel()
	s := host1
	testSecurity(t, []securityTest{
		onlyStrict("TCP", ipv6(s.IP6, frame.ProtoTCP, transport(1, 2)...), drop.UnassignedProtocol),
		onlyStrict(
			"listener report", ipv6(noSource, 0, extension(frame.ProtoICMPv6, icmp6(143)...)...),
			drop.UnassignedProtocol,
		),
		onlyStrict(
			"router advertisement", ipv6(s.MAC.LinkLocal(), frame.ProtoICMPv6, icmp6(134)...),
			drop.UnassignedProtocol,
		),
		always("IPv4", ipv4(s.IP, frame.ProtoTCP, transport(1, 2)...), passes),
	}, func(c *policy.Policy) { c.IPv6 = false })
}

// TestSecurityWithoutAddresses: a station that is about to ask for its address.
func TestSecurityWithoutAddresses(t *testing.T) {
	t.Parallel()
	s, zero := host1, addr("0.0.0.0")
	testSecurity(t, []securityTest{
		always("DHCP client", ipv4(zero, frame.ProtoUDP, transport(68, 67)...), passes),
		onlyStrict(
			"TCP from nowhere", ipv4(zero, frame.ProtoTCP, transport(1, 2)...), drop.SpoofedIP,
		),
		onlyStrict("TCP", ipv4(s.IP, frame.ProtoTCP, transport(1, 2)...), drop.SpoofedIP),
		onlyStrict("ARP", arpFrom(frame.ARPRequest, s.MAC, s.IP, s.Other), drop.SpoofedARP),
		always("probe", arpFrom(frame.ARPRequest, s.MAC, zero, s.Other), passes),
		onlyStrict("announcement", arpFrom(frame.ARPReply, s.MAC, zero, zero), drop.SpoofedARP),
	}, func(c *policy.Policy) { c.Addrs, c.Prefixes = nil, nil })
}

// TestRouterOfEverything may send from any address, and still not from none.
func TestRouterOfEverything(t *testing.T) {
	t.Parallel()
	s, zero := host1, addr("0.0.0.0")
	testSecurity(t, []securityTest{
		always("another's source", ipv4(s.Other, frame.ProtoTCP, transport(1, 2)...), passes),
		always("another's IPv6 source", ipv6(s.Other6, frame.ProtoTCP, transport(1, 2)...), passes),
		onlyStrict(
			"TCP from nowhere", ipv4(zero, frame.ProtoTCP, transport(1, 2)...), drop.SpoofedIP,
		),
		onlyStrict(
			"IPv6 from nowhere", ipv6(noSource, frame.ProtoTCP, transport(1, 2)...),
			drop.SpoofedIP,
		),
		onlyStrict("another's ARP", arpFrom(frame.ARPReply, s.MAC, s.Other, s.IP), drop.SpoofedARP),
	}, func(c *policy.Policy) {
		c.Prefixes = []netip.Prefix{
			netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
		}
	})
}
