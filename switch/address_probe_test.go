package vswitch_test

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// probeResponder answers nothing, and says of an ARP address probe that it is one.
type probeResponder struct{}

func (probeResponder) Respond(_ vswitch.Origin, f *frame.Parsed, _ []byte) vswitch.Response {
	if f.Network() == frame.NetworkARP && f.ARPOp == frame.ARPRequest && f.Src4 == 0 {
		return vswitch.Response{Action: vswitch.Probe}
	}
	return vswitch.Response{Action: vswitch.Pass}
}

// probeLab is a segment with a host's port and a port that asks whether addresses are in
// use, beside others which may use some.
type probeLab struct {
	*lab
	*vswitch.Segment
	host, asker *port
}

func inProbeLab(t *testing.T, o vswitch.Options, f func(l *probeLab)) {
	t.Helper()
	inLab(t, o, func(inner *lab) {
		l := &probeLab{lab: inner, Segment: inner.segment()}
		if _, err := l.sw.AddResponder(l.Segment, gatewayMAC, probeResponder{}); err != nil {
			l.t.Fatal(err)
		}
		d := &switchtest.Device{}
		filter := &hostFilter{from: drop.None, hears: true}
		p, err := l.sw.AddHostPort(l.Segment, d, filter, vswitch.PortConfig{})
		if err != nil {
			l.t.Fatal(err)
		}
		l.host = &port{d, p, gatewayMAC}
		l.asker = l.strict(1, addr("172.17.0.2"))
		f(l)
	})
}

// strict adds a port at SecurityStrict with these addresses.
func (l *probeLab) strict(n int, addrs ...netip.Addr) *port {
	l.t.Helper()
	return l.portWith(l.Segment, n, vswitch.PortConfig{Policy: policy.Policy{
		Security: policy.SecurityStrict, MAC: switchtest.MAC(n), Addrs: addrs,
	}})
}

// ask has the asker probe an address, and expects its probe at these ports alone.
func (l *probeLab) ask(target netip.Addr, all []*port, want ...*port) {
	l.t.Helper()
	l.asker.Send(host1.ARP(frame.ARPRequest, l.asker.mac, netip.IPv4Unspecified(), target))
	synctest.Wait()
	for _, p := range append([]*port{l.host, l.asker}, all...) {
		n := 0
		for _, q := range want {
			if p == q {
				n = 1
			}
		}
		if got := len(p.Frames()); got != n {
			l.t.Errorf("the probe for %s came %d times to %s, want %d", target, got, p.mac, n)
		}
	}
}

// TestAddressProbeGoesToWhoMayUseTheAddress, and to nobody else.
func TestAddressProbeGoesToWhoMayUseTheAddress(t *testing.T) {
	inProbeLab(t, vswitch.Options{}, func(l *probeLab) {
		one := l.strict(2, addr("172.17.0.3"))
		two := l.strict(3, addr("172.17.0.4"), addr("172.17.0.5"))
		router := l.portWith(l.Segment, 4, vswitch.PortConfig{Policy: policy.Policy{
			Security: policy.SecurityStrict, MAC: switchtest.MAC(4),
			Prefixes: []netip.Prefix{host1.Routed},
		}})
		all := []*port{one, two, router}
		l.ask(addr("172.17.0.3"), all, one)
		l.ask(addr("172.17.0.5"), all, two)
		l.ask(host1.InRouted, all, router)
		if c := l.asker.Counters(); c.Flooded != 3 || c.Local != 0 {
			l.t.Errorf("counted %+v, want 3 frames flooded", c)
		}
		l.ask(addr("172.17.0.99"), all) // nobody's
		l.ask(addr("172.17.0.2"), all)  // the asker's own
		if c := l.asker.Counters(); c.Flooded != 3 || c.Local != 2 {
			l.t.Errorf("counted %+v, want 3 frames flooded and 2 local", c)
		}
		free := l.port(l.Segment, 5) // without security it may use any address
		all = append(all, free)
		l.ask(addr("172.17.0.3"), all, one, free)
		l.ask(addr("172.17.0.99"), all, free)
		one.SetDown(true)
		l.ask(addr("172.17.0.3"), all, free)
		if c := one.Counters(); c.Drops[drop.LinkDown] != 1 {
			l.t.Errorf("counted %+v at the port that is down, want a drop as link-down", c)
		}
		dropped(l.t, l.asker.Port, drop.None, 0)
		balanced(l.t, l.asker.Port)
	})
}

// TestAddressProbeAndIsolation: ports that are kept apart exchange no probes either.
func TestAddressProbeAndIsolation(t *testing.T) {
	inProbeLab(t, vswitch.Options{}, func(l *probeLab) {
		other, target := l.strict(2, addr("172.17.0.3")), addr("172.17.0.3")
		isolate := func(p *port, isolated bool) {
			c := p.Policy()
			c.Isolated = isolated
			if err := p.SetPolicy(c); err != nil {
				l.t.Fatal(err)
			}
		}
		all := []*port{other}
		isolate(l.asker, true)
		l.ask(target, all, other)
		isolate(other, true)
		l.ask(target, all)
		isolate(l.asker, false)
		l.ask(target, all, other)
		if c := l.asker.Counters(); c.Flooded != 2 || c.Local != 1 {
			l.t.Errorf("counted %+v, want 2 frames flooded and 1 local", c)
		}
		balanced(l.t, l.asker.Port)
	})
}

// TestAddressProbesAreBounded by the flood limit, wherever they go.
func TestAddressProbesAreBounded(t *testing.T) {
	var seen reports
	inProbeLab(t, vswitch.Options{OnViolation: seen.add}, func(l *probeLab) {
		const limit = 5
		other := l.strict(2, addr("172.17.0.3"))
		c := l.asker.Policy()
		c.FloodLimit = limit
		if err := l.asker.SetPolicy(c); err != nil {
			l.t.Fatal(err)
		}
		for i := range 2 * limit {
			target := addr("172.17.0.3")
			if i%2 == 0 {
				target = addr("172.17.0.99") // nobody's
			}
			l.asker.Send(host1.ARP(frame.ARPRequest, l.asker.mac, netip.IPv4Unspecified(), target))
		}
		synctest.Wait()
		if n := len(other.Frames()); n != limit/2 {
			l.t.Errorf("%d probes came, want %d", n, limit/2)
		}
		dropped(l.t, l.asker.Port, drop.FloodLimit, limit)
		list := seen.take()
		if len(list) != 1 || list[0].Reason != drop.FloodLimit || list[0].Port != l.asker.Port {
			l.t.Errorf("reported %+v, want the flood limit once", list)
		}
		balanced(l.t, l.asker.Port)
	})
}
