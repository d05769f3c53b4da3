package policy_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/test/lab/seed"
)

// seeds are frames that one change makes good or bad.
func seeds() [][]byte {
	s, zero := host1, netip.IPv4Unspecified()
	const tcp, udp, icmp = frame.ProtoTCP, frame.ProtoUDP, frame.ProtoICMPv6
	eight, behindEight := chain(8, tcp, transport(1, 80)...)
	local, nonce := s.MAC.LinkLocal(), []byte{14, 1, 1, 2, 3, 4, 5, 6}
	return [][]byte{
		ethernet(testMAC(2), s.MAC, 0x88b5, make([]byte, 46)...),
		ethernet(frame.MAC{1, 0x80, 0xc2}, s.MAC, 39, make([]byte, 46)...),
		arpFrom(frame.ARPRequest, s.MAC, s.IP, s.Other),
		arpFrom(frame.ARPRequest, s.MAC, zero, s.Other),
		arpFrom(frame.ARPReply, s.MAC, s.Gateway, s.Other),
		edit(arpFrom(frame.ARPReply, s.MAC, s.Gateway, s.Other), 1, 6),
		ipv4(s.IP, tcp, transport(1, 80)...),
		ipv4(s.Second, tcp, transport(1, 80)...),
		ipv4(s.InRouted, frame.ProtoICMP, 8, 0, 0, 0),
		ipv4(s.Other, tcp, transport(1, 80)...),
		ipv4(s.IP, udp, transport(67, 68)...),
		ipv4(zero, udp, transport(68, 67)...),
		igmp(zero, allReporters, 0x12),
		igmp(zero, allReporters, 0x16),
		igmp(zero, allReporters, 0x17),
		igmp(zero, allReporters, 0x22),
		igmp(s.IP, allReporters, 0x22),
		withRouterAlert(igmp(zero, allReporters, 0x22)),
		fragment(ipv4(s.IP, udp, transport(67, 68)...), 3, true),
		fragment(ipv4(s.IP, udp, transport(67, 68)...), 0, true),
		edit(ipv4(s.IP, udp, append(make([]byte, 4), transport(1, 68)...)...), 0, 0x46),
		ipv6(s.IP6, tcp, transport(1, 80)...),
		ipv6(s.InRouted6, udp, transport(1, 546)...),
		ipv6(s.Other6, udp, transport(1, 53)...),
		ipv6(s.IP6, 0, extension(60, extension(tcp, transport(1, 80)...)...)...),
		ipv6(s.IP6, 51, extension(udp, append(make([]byte, 4), transport(1, 80)...)...)...),
		ipv6(s.IP6, eight, behindEight...),
		ipv6(s.IP6, 60, extension(eight, behindEight...)...),
		ipv6(local, 44, fragment6(icmp, 0, true, icmp6(134)...)...),
		ipv6(local, 44, fragment6(udp, 1, true, transport(1, 2)...)...),
		ipv6(local, 44, fragment6(60, 0, true, tcp, 1, 1, 4, 0, 0, 0, 0)...),
		ipv6(noSource, icmp, neighbour(135, s.IP6, linkLayer(1, s.MAC)...)...),
		ipv6(
			s.IP6, icmp,
			neighbour(136, s.IP6, slices.Concat(nonce, linkLayer(2, s.MAC))...)...,
		),
		ipv6(local, icmp, icmp6(133, linkLayer(1, s.MAC)...)...),
		ipv6(noSource, 0, extension(icmp, icmp6(143)...)...),
		from(virtualMAC, ethernet(frame.Broadcast, s.MAC, 0x88f7, make([]byte, 46)...)),
		from(virtualMAC, arpFrom(frame.ARPReply, virtualMAC, s.Second, s.Other)),
		arpFrom(frame.ARPReply, virtualMAC, s.IP, s.Other),
		ipv6(virtualMAC.LinkLocal(), tcp, transport(1, 80)...),
		ipv6(noSource, icmp, neighbour(135, virtualMAC.LinkLocal(), linkLayer(1, virtualMAC)...)...),
		ipv6(s.IP6, icmp, neighbour(136, addr("fe80::1234:5678:9abc:def0"), linkLayer(2, virtualMAC)...)...),
		ipv6(noSource, icmp, neighbour(135, s.InRouted6)...),
		tagged(ipv4(s.IP, tcp, transport(1, 80)...), dot1q|5),
		tagged(ipv4(s.IP, udp, transport(67, 68)...), dot1ad|7, dot1q|5),
		tagged(ethernet(testMAC(2), s.MAC, 0x88f7, make([]byte, 46)...), qinq),
		ethernet(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, s.MAC, 0x88f7, make([]byte, 46)...),
	}
}

// virtualMAC is the one of VRRP's router 1 (RFC 9568 §7.3).
var virtualMAC = frame.MAC{0, 0, 0x5e, 0, 1, 1}

// from returns a frame from another source address.
func from(mac frame.MAC, eth []byte) []byte {
	eth = slices.Clone(eth)
	frame.Ethernet(eth).SetSrc(mac)
	return eth
}

// allowing returns a policy with more MACs and protocols.
func allowing(c policy.Policy, macs []frame.MACMask, protocols ...ethertype.Protocol) policy.Policy {
	c.MACs, c.Protocols = macs, protocols
	return c
}

// virtualMACs are those of all of VRRP's routers.
var virtualMACs = []frame.MACMask{{MAC: frame.MAC{0, 0, 0x5e, 0, 1, 0}, Mask: frame.MAC{255, 255, 255, 255, 255, 0}}}

// sites are guards of all kinds, each with its oracle.
func sites(t testing.TB) (guards []*policy.Guard, oracles []oracle) {
	t.Helper()
	for level := range levels {
		full := policy1(level)
		bare := policy.Policy{Security: level, MAC: host1.MAC}
		router := full
		router.Prefixes = []netip.Prefix{
			netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
		}
		private := full
		private.Prefixes = []netip.Prefix{netip.MustParsePrefix("fe80::/64"), netip.MustParsePrefix("fd00:9::/64")}
		for _, c := range []policy.Policy{
			full, bare, router, private,
			allowing(full, virtualMACs, "ptp", "vlan", ethertype.LLC),
			allowing(bare, []frame.MACMask{frame.SingleMAC(virtualMAC)}, "qinq", "0x88b5"),
			allowing(router, nil, "vlan", "qinq", ethertype.ReservedGroups),
		} {
			guards, oracles = append(guards, newGuard(t, c)), append(oracles, oracle{c})
		}
	}
	return guards, oracles
}

// tryAll holds a frame against all guards and their oracles. f has read another
// frame before. It returns the verdicts.
func tryAll(
	t *testing.T, f *frame.Parsed, eth []byte, guards []*policy.Guard, oracles []oracle,
) (all []drop.Reason) {
	t.Helper()
	for i, g := range guards {
		want := oracles[i].admit(eth)
		f.Reset(eth)
		got := g.Admit(f, testGateway)
		if got != want {
			t.Errorf("%x with %+v: %s, want %s", eth, g.Policy(), got, want)
		}
		if again := g.Admit(f, testGateway); again != got {
			t.Errorf("%x with %+v: %s when asked again, first %s", eth, g.Policy(), again, got)
		}
		ownMAC := got != drop.SpoofedGateway && got != drop.SpoofedMAC
		if g.Security == policy.SecurityStrict && ownMAC {
			f.Reset(eth)
			if alone := g.Inspect(f); alone != got {
				t.Errorf("%x: Inspect says %s, Admit %s", eth, alone, got)
			}
		}
		all = append(all, got)
		checkLacks(t, g, f, eth, got)
	}
	f.Reset(eth)
	checkTraffic(t, f)
	return all
}

// mutate changes a frame a little, as a hostile or broken host could.
func mutate(r *rand.Rand, eth []byte) []byte {
	eth = slices.Clone(eth)
	for range r.IntN(3) {
		eth[r.IntN(len(eth))] ^= 1 << r.IntN(8)
	}
	for range r.IntN(2) {
		eth[12+r.IntN(len(eth)-12)] = byte(r.IntN(256))
	}
	if r.IntN(4) == 0 {
		eth = eth[:14+r.IntN(len(eth)-13)]
	}
	for range max(r.IntN(6)-3, 0) {
		tags := []uint32{dot1q, dot1ad, dot1q | 0xe000, dot1q | 5, qinq}
		eth = tagged(eth, tags[r.IntN(len(tags))])
	}
	return slices.Clip(eth)
}

// TestAgainstOracle sees every verdict there is.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	guards, oracles := sites(t)
	r := seed.New(t)
	f, seen, all := new(frame.Parsed), map[drop.Reason]int{}, seeds()
	for i := range 100_000 {
		eth := all[i%len(all)]
		if i >= len(all) {
			eth = mutate(r, eth)
		}
		for _, reason := range tryAll(t, f, eth, guards, oracles) {
			seen[reason]++
		}
		if t.Failed() {
			return
		}
	}
	for _, want := range []drop.Reason{
		drop.None, drop.SpoofedGateway, drop.SpoofedMAC, drop.VLANTagged,
		drop.SpoofedARP, drop.SpoofedIP, drop.SpoofedND,
		drop.MalformedARP, drop.MalformedIP, drop.RogueDHCP, drop.RogueRA, drop.UnassignedProtocol,
	} {
		if seen[want] < 100 {
			t.Errorf("only %d verdicts are %s", seen[want], want)
		}
	}
}

// FuzzVerdicts is the same with what the fuzzer comes upon.
func FuzzVerdicts(f *testing.F) {
	for _, eth := range seeds() {
		f.Add(eth)
		f.Add(tagged(eth, dot1q, dot1ad))
	}
	guards, oracles := sites(f)
	p := new(frame.Parsed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if eth, ok := frame.ParseEthernet(slices.Clip(b)); ok {
			tryAll(t, p, eth, guards, oracles)
		}
	})
}
