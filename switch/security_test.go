package vswitch_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// policy1 is that of the first port's station.
func policy1(level policy.Security) policy.Policy {
	s := host1
	c := policy.Policy{Security: level, MAC: s.MAC, IPv6: true, MACLimit: -1}
	c.Addrs = append(c.Addrs, s.IP, s.Second, s.IP6)
	c.Prefixes = append(c.Prefixes, s.Routed, s.Routed6)
	return c
}

// TestStrictChecksEachFrameOfAFlow: those after the first go the way of the one
// before, and only their Ethernet headers are the same.
func TestStrictChecksEachFrameOfAFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p, q := l.portWith(seg, 1, vswitch.PortConfig{Policy: policy1(policy.SecurityStrict)}), l.port(seg, 2)
		teach(q)
		s, tcp := host1, switchtest.Ports(1, 2)
		good := switchtest.To(q.mac, s.IPv4(s.IP, frame.ProtoTCP, tcp...))
		good6 := switchtest.To(q.mac, s.IPv6(s.IP6, frame.ProtoTCP, tcp...))
		claim := switchtest.Neighbour(136, s.Other6)
		for _, eth := range [][]byte{
			good, good, s.IPv4(s.Other, frame.ProtoTCP, tcp...), good,
			s.IPv4(s.IP, frame.ProtoUDP, switchtest.Ports(67, 68)...), good,
			good6, good6, s.IPv6(s.Other6, frame.ProtoTCP, tcp...), good6,
			s.IPv6(s.IP6, frame.ProtoICMPv6, claim...), good6,
			s.IPv6(s.MAC.LinkLocal(), frame.ProtoICMPv6, switchtest.ICMPv6(134)...), good6,
		} {
			p.Send(switchtest.To(q.mac, eth))
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
