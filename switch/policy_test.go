package vswitch_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

func TestPolicyErrors(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		gw, p := l.withGateway(&responder{}, 1)
		secure := policy.Policy{Security: policy.SecurityStrict, MAC: host1.MAC}
		with := func(change func(c *policy.Policy)) policy.Policy {
			c := secure
			change(&c)
			return c
		}
		for name, c := range map[string]policy.Policy{
			"unknown level":       with(func(c *policy.Policy) { c.Security = 3 }),
			"no MAC":              {Security: policy.SecurityMACOnly},
			"group MAC":           with(func(c *policy.Policy) { c.MAC = frame.Broadcast }),
			"no address":          with(func(c *policy.Policy) { c.Addrs = make([]netip.Addr, 1) }),
			"unspecified address": with(func(c *policy.Policy) { c.Addrs = append(c.Addrs, addr("::")) }),
			"group address":       with(func(c *policy.Policy) { c.Addrs = append(c.Addrs, addr("224.0.0.1")) }),
			"no prefix":           with(func(c *policy.Policy) { c.Prefixes = make([]netip.Prefix, 1) }),
			"mapped prefix":       with(func(c *policy.Policy) { c.Prefixes = append(c.Prefixes, netip.MustParsePrefix("::ffff:10.0.0.0/104")) }),
			"too many addresses":  with(func(c *policy.Policy) { c.Addrs = slices.Repeat([]netip.Addr{host1.IP}, 257) }),
			"flood limit":         with(func(c *policy.Policy) { c.FloodLimit = 2e9 }),
			"slow rate":           with(func(c *policy.Policy) { c.RateIn.BitsPerSecond = policy.MinRate - 1 }),
			"fast rate":           with(func(c *policy.Policy) { c.RateOut.BitsPerSecond = policy.MaxRate + 1 }),
			"burst without rate":  with(func(c *policy.Policy) { c.RateOut.BurstBytes = 1 }),
			"negative burst":      with(func(c *policy.Policy) { c.RateIn = policy.Rate{BitsPerSecond: 1e6, BurstBytes: -1} }),
			"large burst":         with(func(c *policy.Policy) { c.RateIn = policy.Rate{BitsPerSecond: 1e6, BurstBytes: policy.MaxBurst + 1} }),
		} {
			if err := p[0].SetPolicy(c); err == nil {
				l.t.Errorf("%s: the policy was taken", name)
			}
			if _, err := l.sw.AddPort(gw.Segment(), &switchtest.Device{}, vswitch.PortConfig{Policy: c}); err == nil {
				l.t.Errorf("%s: a port was added with the policy", name)
			}
		}
		if c := p[0].Policy(); c.Security != policy.SecurityOff || c.MAC != (frame.MAC{}) {
			l.t.Errorf("the policy is %+v after those that were refused", c)
		}
		if err := gw.SetPolicy(secure); err == nil {
			l.t.Error("the gateway has taken a policy")
		}
		if c := gw.Policy(); c.Security != policy.SecurityOff {
			l.t.Errorf("the gateway's policy is %+v", c)
		}
		l.sw.RemovePort(p[0].Port)
		if err := p[0].SetPolicy(secure); err == nil {
			l.t.Error("a removed port has taken a policy")
		}
		l.sw.Close()
		if err := p[0].SetPolicy(secure); !errors.Is(err, vswitch.ErrClosed) {
			l.t.Errorf("a policy after Close: %v, want ErrClosed", err)
		}
	})
}

func TestPolicyIsKept(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		c := policy1(policy.SecurityStrict)
		c.Addrs[0], c.Prefixes[0] = addr("::ffff:172.17.0.2"), netip.MustParsePrefix("10.9.7.7/16")
		p := l.portWith(l.segment(), 1, vswitch.PortConfig{Policy: c})
		c.Addrs[0] = host1.Other // the caller's own business
		got := p.Policy()
		if got.Addrs[0] != host1.IP || got.Prefixes[0] != host1.Routed || got.MAC != host1.MAC || !got.IPv6 {
			l.t.Errorf("the policy is %+v", got)
		}
	})
}

// TestPolicyCountsForARunningFlow in both directions, from the very next frame.
func TestPolicyCountsForARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		teach(p...)
		strict := policy1(policy.SecurityStrict)
		isolated := policy.Policy{Isolated: true}
		set := func(q *port, c policy.Policy) {
			if err := q.SetPolicy(c); err != nil {
				l.t.Fatal(err)
			}
		}
		warm(l.t, p[0], p[1], p[1].mac)
		set(p[0], strict)
		p[0].send(p[1].mac, "refused") // an experimental protocol
		expect(l.t, p[1])
		dropped(l.t, p[0].Port, drop.UnassignedProtocol, 1)
		set(p[0], isolated)
		warm(l.t, p[0], p[1], p[1].mac)
		set(p[1], isolated)
		p[0].send(p[1].mac, "apart")
		expect(l.t, p[1])
		set(p[0], policy.Policy{})
		warm(l.t, p[0], p[1], p[1].mac)
		if c := p[0].Counters(); c.Drops[drop.Isolated] != 1 {
			l.t.Errorf("counted %+v, want one frame dropped as isolated", c)
		}
	})
}

// TestNewGatewayCountsForARunningFlow of who has used its address.
func TestNewGatewayCountsForARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		for range 3 {
			p[0].sendFrom(gatewayMAC, p[1].mac, "before")
		}
		expect(l.t, p[1], "before", "before", "before")
		if _, err := l.sw.AddResponder(seg, gatewayMAC, &responder{}); err != nil {
			l.t.Fatal(err)
		}
		p[0].sendFrom(gatewayMAC, p[1].mac, "after")
		expect(l.t, p[1])
		dropped(l.t, p[0].Port, drop.SpoofedGateway, 1)
	})
}

func TestIsolation(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		r := &responder{response: vswitch.Response{Action: vswitch.Consumed}}
		gw, free := l.withGateway(r, 1)
		seg := gw.Segment()
		apart := vswitch.PortConfig{Policy: policy.Policy{Isolated: true}}
		a, b := l.portWith(seg, 2, apart), l.portWith(seg, 3, apart)
		teach(free[0], a, b)
		a.send(b.mac, "known")
		a.send(switchtest.MAC(9), "unknown")
		a.send(frame.Broadcast, "broadcast")
		a.send(multicast, "multicast")
		expect(l.t, b)
		expect(l.t, free[0], "unknown", "broadcast", "multicast")
		a.send(free[0].mac, "up")
		free[0].send(a.mac, "down")
		free[0].send(frame.Broadcast, "to both")
		expect(l.t, free[0], "up")
		expect(l.t, a, "down", "to both")
		expect(l.t, b, "to both")
		a.send(gatewayMAC, "to the gateway")
		if r.asked.Load() != 1 {
			l.t.Error("an isolated port does not reach the gateway")
		}
		dropped(l.t, a.Port, drop.Isolated, 1)
		if c := a.Counters(); c.Flooded != 3 {
			l.t.Errorf("counted %+v, want 3 frames flooded", c)
		}
		l.sw.Announce(a.Port, switchtest.Frame(frame.Broadcast, a.mac, "I am here"))
		expect(l.t, free[0], "I am here")
		expect(l.t, b)
		l.sw.RemovePort(free[0].Port)
		a.send(frame.Broadcast, "for nobody")
		dropped(l.t, a.Port, drop.Isolated, 2)
		l.sw.RemovePort(b.Port)
		a.send(frame.Broadcast, "alone")
		dropped(l.t, a.Port, drop.Isolated, 2)
		balanced(l.t, a.Port)
	})
}

func TestSegmentGatewayErrors(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		for _, a := range []netip.Addr{addr("fd00::1"), addr("0.0.0.0")} {
			if _, err := l.sw.AddSegment(vswitch.SegmentConfig{Gateway: a}); err == nil {
				l.t.Errorf("a segment with gateway %s, want an error", a)
			}
		}
		// A gateway that is no part of the switch.
		p := l.ports(l.segmentWith(vswitch.SegmentConfig{Gateway: host1.Gateway}), 2)
		p[0].Send(host1.ARP(frame.ARPReply, p[0].mac, host1.Gateway, host1.Other))
		p[0].Send(host1.ARP(frame.ARPRequest, p[0].mac, host1.IP, host1.Gateway))
		synctest.Wait()
		dropped(l.t, p[0].Port, drop.SpoofedGateway, 1)
		if n := len(p[1].Frames()); n != 1 {
			l.t.Errorf("%d frames arrived, want the request", n)
		}
	})
}
