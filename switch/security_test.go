package vswitch_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// policy1 is that of the first port's station.
func policy1(level policy.Security) policy.Policy {
	s := station1
	c := policy.Policy{Security: level, MAC: s.mac, IPv6: true, MACLimit: -1}
	c.Addrs = append(c.Addrs, s.ip, s.second, s.ip6)
	c.Prefixes = append(c.Prefixes, s.routed, s.routed6)
	return c
}

// TestStrictChecksEachFrameOfAFlow: those after the first go the way of the one
// before, and only their Ethernet headers are the same.
func TestStrictChecksEachFrameOfAFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p, q := l.portWith(seg, 1, vswitch.PortConfig{Policy: policy1(policy.SecurityStrict)}), l.port(seg, 2)
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
		want := map[drop.Reason]uint64{drop.SpoofedIP: 2, drop.RogueDHCP: 1, drop.SpoofedND: 1, drop.RogueRA: 1}
		for _, r := range drop.All() {
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
