package vswitch_test

import (
	"testing"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// FuzzPolicies sends any bytes into a strict port of one segment and an open one
// of another, each beside an isolated and a plain port and with rules.
func FuzzPolicies(f *testing.F) {
	raw := func(eth []byte) []byte { return append(make([]byte, frame.VNetHeaderLen), eth...) }
	s := station1
	for _, seed := range [][]byte{
		nil,
		raw(switchtest.Frame(switchtest.MAC(2), s.mac, "no IP")),
		raw(arpFrom(frame.ARPRequest, s.mac, s.ip, s.other)),
		raw(arpFrom(frame.ARPReply, s.mac, s.gateway, s.other)),
		raw(ipv4(s.ip, frame.ProtoTCP, transport(1, 80)...)),
		raw(ipv4(s.other, frame.ProtoTCP, transport(1, 80)...)),
		raw(ipv4(s.ip, frame.ProtoUDP, transport(67, 68)...)),
		raw(fragment(ipv4(s.ip, frame.ProtoUDP, transport(1, 2)...), 3, true)),
		raw(tagged(ipv4(s.ip, frame.ProtoTCP, transport(1, 80)...), frame.EtherTypeVLAN)),
		raw(ipv6(s.ip6, 0, extension(60, extension(frame.ProtoTCP, transport(1, 80)...)...)...)),
		raw(ipv6(s.mac.LinkLocal(), 44, fragment6(frame.ProtoICMPv6, 0, true, icmp6(134)...)...)),
		raw(ipv6(s.noSource, frame.ProtoICMPv6, neighbour(135, s.ip6, linkLayer(1, s.mac)...)...)),
		partial(tcpFrame(switchtest.MAC(2), s.mac, 1, pattern(3000)), 1448),
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
	seg := l.segmentWith(vswitch.SegmentConfig{Gateway: station1.gateway})
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
		if src == gatewayMAC || src.IsGroup() || strict && (src != station1.mac || kind == frame.EtherTypeVLAN) {
			t.Errorf("a frame from %s of type %#x passed", src, kind)
		}
	}
}
