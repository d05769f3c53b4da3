package vswitch_test

import (
	"testing"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

// FuzzIngress sends any bytes into one port, as a container may.
func FuzzIngress(f *testing.F) {
	raw := func(eth []byte) []byte { return append(make([]byte, frame.VNetHeaderLen), eth...) }
	one, two := switchtest.MAC(1), switchtest.MAC(2)
	for _, seed := range [][]byte{
		nil,
		raw(nil),
		raw(switchtest.Frame(two, one, "learned")),
		raw(switchtest.Frame(switchtest.MAC(3), one, "plain")),
		raw(switchtest.Frame(switchtest.MAC(7), one, "unknown here, known in the other segment")),
		raw(switchtest.Frame(frame.Broadcast, one, "")),
		raw(switchtest.Frame(gatewayMAC, one, "")),
		raw(request(one)),
		switchtest.Partial(tcpFrame(two, one, 1, pattern(100)), 0),
		switchtest.Partial(tcpFrame(frame.Broadcast, one, 1, pattern(3000)), 1448),
		switchtest.Partial(tcpFrame(switchtest.MAC(3), one, 1, pattern(3000)), 1),
		newTunneled(two, one).super,
		newTunneled(frame.Broadcast, one).super,
		newTunneled(switchtest.MAC(4), one).super,
	} {
		f.Add(seed)
	}
	sw, err := vswitch.New(vswitch.Options{Poll: vswitch.PollSleep, NewPoller: switchtest.NewPoller})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(sw.Close)
	site := newSite(&lab{f, sw})
	f.Fuzz(site.try)
}

// site is where FuzzIngress sends from: the first port of a segment with a
// gateway, beside another one.
type site struct {
	sw      *vswitch.Switch
	gateway *vswitch.Port
	from    *port
	to      []*port // the second one is plain, the third one short
	others  []*port // in the other segment
}

func newSite(l *lab) *site {
	gw, p := l.withGateway(&responder{response: vswitch.Response{Action: vswitch.Answered}}, 2)
	plain, short := l.plainPort(gw.Segment(), 3), l.shortPort(gw.Segment(), 4)
	elsewhere, others := l.withGateway(&responder{}, 2)
	others = append(others, l.port(elsewhere.Segment(), 7))
	for _, p := range append([]*port{p[1], plain, short}, others...) {
		if err := l.sw.AddEntry(p.Port, p.mac); err != nil {
			l.t.Fatal(err)
		}
	}
	return &site{sw: l.sw, gateway: gw, from: p[0], to: []*port{p[1], plain, short}, others: others}
}

func (s *site) try(t *testing.T, b []byte) {
	s.sw.Flush(s.from.Segment(), nil)
	before, answers := s.from.Counters(), s.gateway.Counters().RxFrames
	vswitch.Carry(s.from.Port, b)

	for _, other := range s.others {
		if n := len(other.Frames()); n != 0 {
			t.Errorf("%d frames crossed into another segment", n)
		}
	}
	s.received(t, s.from)
	var reached uint64 // ports; to the last two a frame may go as several
	for _, p := range s.to {
		if s.received(t, p) > 0 {
			reached++
		}
	}
	balanced(t, s.from.Port)
	balanced(t, s.gateway)
	c := s.from.Counters()
	if n := c.Local - before.Local; c.RxFrames != before.RxFrames+1 || s.gateway.Counters().RxFrames != answers+n {
		t.Errorf("one frame was sent, but %+v became %+v", before, c)
	}
	// An answer to a frame that claims another's address goes there.
	if want := c.Forwarded - before.Forwarded + 3*(c.Flooded-before.Flooded); c.Local == before.Local && reached != want {
		t.Errorf("a frame of %d bytes reached %d ports, want %d", len(b), reached, want)
	}
}

// received checks what came to p, and says how many frames that was.
func (s *site) received(t *testing.T, p *port) int {
	frames := p.RawFrames()
	for _, raw := range frames {
		h, eth, _ := frame.ParseVNet(raw)
		if len(eth) < frame.EthernetHeaderLen || !h.Valid(eth) {
			t.Errorf("%s received % x, which is no valid frame", p.mac, raw)
		}
		if p == s.to[1] && !h.Plain() {
			t.Errorf("the plain port received the header % x", raw[:frame.VNetHeaderLen])
		}
		if p == s.to[2] && h.Tunnel() {
			t.Errorf("the short port received the header % x", raw[:frame.VNetHeaderLen])
		}
	}
	return len(frames)
}
