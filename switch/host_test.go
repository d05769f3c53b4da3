package vswitch_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// hostFilter says of every frame what the test tells it to.
type hostFilter struct {
	from  drop.Reason // of each frame that the host sends
	hears bool
	asked atomic.Int32
}

func (f *hostFilter) FilterIngress(*frame.Parsed) drop.Reason {
	f.asked.Add(1)
	return f.from
}

func (f *hostFilter) AcceptsFlood(*frame.Parsed) bool { return f.hears }

// withHost is a segment with responder, host's port and other ports.
func (l *lab) withHost(r *responder, f *hostFilter, ports int, policies ...policy.Policy) (host *port, all []*port) {
	l.t.Helper()
	gw, _ := l.withGateway(r, 0)
	seg := gw.Segment()
	d := &switchtest.Device{}
	p, err := l.sw.AddHostPort(seg, d, f, vswitch.PortConfig{Policy: policy.Policy{MACLimit: -1, FloodLimit: -1}})
	if err != nil {
		l.t.Fatal(err)
	}
	for i := range ports {
		c := vswitch.PortConfig{}
		if i < len(policies) {
			c.Policy = policies[i]
		}
		all = append(all, l.portWith(seg, i+1, c))
	}
	return &port{d, p, gatewayMAC}, all
}

func TestHostGetsWhatTheResponderSays(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		r := &responder{response: vswitch.Response{Action: vswitch.ToHost}}
		host, p := l.withHost(r, &hostFilter{from: drop.None}, 2)
		for range 2 { // the second goes the way of the first
			p[0].send(gatewayMAC, "to the host")
			expect(l.t, host, "to the host")
		}
		if r.asked.Load() != 2 {
			l.t.Errorf("the responder was asked %d times, want of each frame", r.asked.Load())
		}
		// What the responder thinks of a later frame is not what it thought of the first.
		r.response = vswitch.Response{Action: vswitch.Refused, Reason: drop.CrossSegment}
		p[0].send(gatewayMAC, "elsewhere")
		expect(l.t, host)
		r.response = vswitch.Response{Action: vswitch.Answered}
		p[0].send(gatewayMAC, "answered")
		expect(l.t, host)
		expect(l.t, p[0], "answered")
		dropped(l.t, p[0].Port, drop.CrossSegment, 1)
		if c := p[0].Counters(); c.Forwarded != 2 || c.Local != 1 {
			l.t.Errorf("the sender counted %+v, want 2 forwarded and 1 local", c)
		}
		if c := host.Counters(); c.TxFrames != 2 {
			l.t.Errorf("the host's port counted %+v, want 2 frames sent", c)
		}
		balanced(l.t, p[0].Port)
		expect(l.t, p[1])
	})
}

func TestHostSendsAsTheGateway(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		f := &hostFilter{from: drop.None}
		host, p := l.withHost(&responder{}, f, 2)
		teach(p...)
		for range 2 {
			host.send(p[0].mac, "hello")
			expect(l.t, p[0], "hello")
		}
		if f.asked.Load() != 2 {
			l.t.Errorf("the filter was asked %d times, want of each frame", f.asked.Load())
		}
		host.send(frame.Broadcast, "all")
		expect(l.t, p[0], "all")
		expect(l.t, p[1], "all")
		host.send(gatewayMAC, "to itself")
		host.sendFrom(switchtest.MAC(9), p[0].mac, "bridged")
		f.from = drop.CrossSegment
		host.send(p[0].mac, "refused, as the route is known")
		host.send(p[1].mac, "refused")
		f.from = drop.QueueFull // counts elsewhere
		host.send(p[1].mac, "refused")
		expect(l.t, p[0])
		expect(l.t, p[1])
		expect(l.t, host)
		c := host.Counters()
		for reason, n := range map[drop.Reason]uint64{drop.CrossSegment: 2, drop.SpoofedMAC: 1, drop.GatewayUnhandled: 2} {
			if c.Drops[reason] != n {
				l.t.Errorf("%d drops for %s, want %d", c.Drops[reason], reason, n)
			}
		}
		balanced(l.t, host.Port)
		for _, e := range l.sw.Entries(host.Segment()) {
			if e.Port == host.Port {
				l.t.Errorf("an address is learned at the host's port: %+v", e)
			}
		}
	})
}

// What the host asks by ARP the responder answers, and what others answer it gets.
func TestHostAndARP(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		r := &responder{response: vswitch.Response{Action: vswitch.Answered}}
		host, p := l.withHost(r, &hostFilter{from: drop.None}, 1)
		host.Send(request(gatewayMAC))
		synctest.Wait()
		if n := len(host.Frames()); n != 1 {
			l.t.Errorf("%d answers came to the host, want 1", n)
		}
		r.response = vswitch.Response{Action: vswitch.Pass}
		host.Send(request(gatewayMAC))
		synctest.Wait()
		if n := len(p[0].Frames()); n != 1 {
			l.t.Errorf("%d requests came to the station, want 1", n)
		}
		p[0].Send(switchtest.To(gatewayMAC, request(p[0].mac)))
		synctest.Wait()
		if n := len(host.Frames()); n != 1 {
			l.t.Errorf("%d of the station's answers came to the host, want 1", n)
		}
		balanced(l.t, host.Port)
		balanced(l.t, p[0].Port)
	})
}

func TestHostOverhears(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		f := &hostFilter{from: drop.None, hears: true}
		host, p := l.withHost(&responder{}, f, 3, policy.Policy{Isolated: true}, policy.Policy{Isolated: true})
		seg := host.Segment()
		p[2].send(frame.Broadcast, "all")
		expect(l.t, host, "all")
		p[2].send(switchtest.MAC(99), "unknown")
		expect(l.t, host)
		l.sw.Announce(p[2].Port, switchtest.Frame(frame.Broadcast, p[2].mac, "announced"))
		synctest.Wait()
		expect(l.t, host, "announced")

		// No rule and no isolation keeps anybody from the host.
		if err := seg.SetRules([]vswitch.Rule{{Action: policy.Deny}}); err != nil {
			l.t.Fatal(err)
		}
		p[0].send(frame.Broadcast, "isolated")
		expect(l.t, host, "isolated")
		for _, q := range p {
			q.Frames()
		}
		host.send(frame.Broadcast, "from the host")
		for _, q := range p {
			expect(l.t, q, "from the host")
		}
		teach(p...)
		host.send(p[0].mac, "to one")
		expect(l.t, p[0], "to one")

		f.hears = false
		p[0].send(frame.Broadcast, "secret")
		expect(l.t, host)
		for _, q := range append(p, host) {
			balanced(l.t, q.Port)
		}
	})
}

func TestHostPortComesAndGoes(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		bare := l.segment()
		if _, err := l.sw.AddHostPort(bare, &switchtest.Device{}, &hostFilter{from: drop.None}, vswitch.PortConfig{}); err == nil {
			l.t.Error("a host's port without a responder is accepted")
		}
		r := &responder{response: vswitch.Response{Action: vswitch.ToHost}}
		host, p := l.withHost(r, &hostFilter{from: drop.None}, 1)
		seg := host.Segment()
		if _, err := l.sw.AddHostPort(seg, &switchtest.Device{}, &hostFilter{from: drop.None}, vswitch.PortConfig{}); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("a second host's port: %v, want ErrInUse", err)
		}
		if _, err := l.sw.AddHostPort(seg, &switchtest.Device{}, nil, vswitch.PortConfig{}); err == nil {
			l.t.Error("a host's port without a filter is accepted")
		}
		if err := l.sw.AddEntry(host.Port, switchtest.MAC(50)); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("a static entry at the host's port: %v, want ErrInUse", err)
		}
		if err := seg.SetRules([]vswitch.Rule{{From: []*vswitch.Port{host.Port}}}); err == nil {
			l.t.Error("a rule about the host's port is accepted")
		}
		p[0].send(gatewayMAC, "one")
		l.sw.RemovePort(p[0].Port)
		if err := l.sw.RemoveSegment(seg); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("removing a segment with a host's port: %v, want ErrInUse", err)
		}
		q := l.port(seg, 2)
		q.send(gatewayMAC, "two")
		expect(l.t, host, "one", "two")
		l.sw.RemovePort(host.Port)
		q.send(gatewayMAC, "three")
		expect(l.t, host)
		dropped(l.t, q.Port, drop.NoUplink, 1)
		again := &switchtest.Device{}
		if _, err := l.sw.AddHostPort(seg, again, &hostFilter{from: drop.None}, vswitch.PortConfig{}); err != nil {
			l.t.Fatal(err)
		}
		q.send(gatewayMAC, "four")
		if n := len(again.Frames()); n != 1 {
			l.t.Errorf("%d frames came to the new host's port, want 1", n)
		}
		balanced(l.t, q.Port)
	})
}

// originResponder notes where each frame is said to come from.
type originResponder struct {
	mu   sync.Mutex
	last vswitch.Origin
}

func (r *originResponder) Respond(from vswitch.Origin, _ *frame.Parsed, _ []byte) vswitch.Response {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = from
	return vswitch.Response{Action: vswitch.Consumed}
}

// TestResponderKnowsTheOrigin of each frame, also as a port's policy changes; the host's port
// and the gateway are one to it.
func TestResponderKnowsTheOrigin(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg, r := l.segment(), &originResponder{}
		gw, err := l.sw.AddResponder(seg, gatewayMAC, r)
		if err != nil {
			l.t.Fatal(err)
		}
		d := &switchtest.Device{}
		p, err := l.sw.AddHostPort(seg, d, &hostFilter{from: drop.None}, vswitch.PortConfig{})
		if err != nil {
			l.t.Fatal(err)
		}
		expectFrom := func(p *port, eth []byte, want vswitch.Origin) {
			l.t.Helper()
			for range 2 { // the second goes the way of the first
				r.last = vswitch.Origin{}
				p.Send(eth)
				synctest.Wait()
				if r.last != want {
					l.t.Errorf("a frame of %s comes from %+v, want %+v", p.mac, r.last, want)
				}
			}
		}
		host, gateway := &port{d, p, gatewayMAC}, vswitch.Origin{Slot: gw.Slot(), Trusted: true}
		expectFrom(host, request(gatewayMAC), gateway)
		l.port(seg, 9) // so that slots and numbers differ
		q := l.owner(seg, 1, policy.SecurityMACOnly)
		for _, level := range []policy.Security{
			policy.SecurityMACOnly, policy.SecurityOff, policy.SecurityMACOnly,
		} {
			if err := q.SetPolicy(policy.Policy{Security: level, MAC: q.mac}); err != nil {
				l.t.Fatal(err)
			}
			want := vswitch.Origin{Slot: q.Slot(), Trusted: level == policy.SecurityOff}
			expectFrom(q, request(q.mac), want)
			expectFrom(q, switchtest.Frame(gatewayMAC, q.mac, ""), want)
		}
	})
}
