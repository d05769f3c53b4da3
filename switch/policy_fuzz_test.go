package vswitch_test

import (
	"net/netip"
	"testing"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// FuzzPolicies sends any bytes into a strict port of one segment and an open one
// of another, each beside an isolated and a plain port and with rules.
func FuzzPolicies(f *testing.F) {
	raw, s, web := switchtest.Raw, host1, switchtest.Ports(1, 80)
	const tcp, udp, icmp = frame.ProtoTCP, frame.ProtoUDP, frame.ProtoICMPv6
	behindOptions := switchtest.Extension(60, switchtest.Extension(tcp, web...)...)
	advertisement := switchtest.Fragment6(icmp, 0, true, switchtest.ICMPv6(134)...)
	solicitation := switchtest.Neighbour(135, s.IP6, switchtest.LinkLayer(1, s.MAC)...)
	for _, seed := range [][]byte{
		nil,
		raw(switchtest.Frame(switchtest.MAC(2), s.MAC, "no IP")),
		raw(s.ARP(frame.ARPRequest, s.MAC, s.IP, s.Other)),
		raw(s.ARP(frame.ARPReply, s.MAC, s.Gateway, s.Other)),
		raw(s.IPv4(s.IP, tcp, web...)),
		raw(s.IPv4(s.Other, tcp, web...)),
		raw(s.IPv4(s.IP, udp, switchtest.Ports(67, 68)...)),
		raw(switchtest.Fragment(s.IPv4(s.IP, udp, web...), 3, true)),
		raw(switchtest.Tagged(s.IPv4(s.IP, tcp, web...), switchtest.Dot1Q|5)),
		raw(s.IPv6(s.IP6, 0, behindOptions...)),
		raw(s.IPv6(s.MAC.LinkLocal(), 44, advertisement...)),
		raw(s.IPv6(netip.IPv6Unspecified(), icmp, solicitation...)),
		switchtest.Partial(tcpFrame(switchtest.MAC(2), s.MAC, 1, pattern(3000)), 1448),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	sw, err := vswitch.New(vswitch.Options{
		Poll: vswitch.PollSleep, NewPoller: switchtest.NewPoller, LoopMoves: -1, OnViolation: func(vswitch.Violation) {},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(sw.Close)
	l := &lab{f, sw}
	open := policy1(policy.SecurityOff)
	open.Isolated, open.FloodLimit = true, -1
	closed := policy1(policy.SecurityStrict)
	closed.FloodLimit = -1
	sites := map[bool]*guardedSite{false: newGuardedSite(l, open), true: newGuardedSite(l, closed)}
	f.Fuzz(func(t *testing.T, b []byte, strict bool) {
		sw.Flush(sites[strict].from.Segment(), nil)
		sites[strict].try(t, b, strict)
		for _, p := range sites[!strict].all {
			if n := len(p.Frames()); n != 0 {
				t.Errorf("%d frames crossed into another segment", n)
			}
		}
	})
}

// guardedSite is a segment in which the first port is sent from.
type guardedSite struct {
	from, isolated, plain *port
	all                   []*port
}

func newGuardedSite(l *lab, c policy.Policy) *guardedSite {
	seg := l.segmentWith(vswitch.SegmentConfig{Gateway: host1.Gateway})
	if _, err := l.sw.AddResponder(seg, gatewayMAC, &responder{}); err != nil {
		l.t.Fatal(err)
	}
	s := &guardedSite{
		from:     l.portWith(seg, 1, limited(c)),
		isolated: l.portWith(seg, 2, limited(policy.Policy{Isolated: true})),
		plain:    l.plainPort(seg, 3),
	}
	s.all = []*port{s.from, s.isolated, s.plain}
	for _, p := range s.all[1:] {
		if err := l.sw.AddEntry(p.Port, p.mac); err != nil {
			l.t.Fatal(err)
		}
	}
	l.setRules(seg, vswitch.Rule{To: ports(s.plain), Protocol: policy.ProtocolTCP, Ports: policy.PortRange{First: 80, Last: 80}, Action: policy.Deny})
	return s
}

func (s *guardedSite) try(t *testing.T, b []byte, strict bool) {
	before := s.from.Counters()
	for range 2 { // the second goes the way of the first
		vswitch.Carry(s.from.Port, b)
	}
	c := s.from.Counters()
	if c.RxFrames != before.RxFrames+2 {
		t.Errorf("two frames were sent, but %+v became %+v", before, c)
	}
	balanced(t, s.from.Port)
	if n := len(s.from.Frames()); n != 0 {
		t.Errorf("%d frames came back", n)
	}
	isolated, plain := s.isolated.Frames(), s.plain.Frames()
	if !strict && len(isolated) != 0 {
		t.Errorf("%d frames went from one isolated port to another", len(isolated))
	}
	for _, eth := range append(isolated, plain...) {
		src, kind := frame.Ethernet(eth).Src(), frame.Ethernet(eth).EtherType()
		if src == gatewayMAC || src.IsGroup() || strict && (src != host1.MAC || kind == frame.EtherTypeVLAN) {
			t.Errorf("a frame from %s of type %#x passed", src, kind)
		}
	}
}
