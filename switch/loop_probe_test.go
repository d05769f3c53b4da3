package vswitch_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// isProbe reports whether a frame is one by which the switch looks for loops.
func isProbe(eth []byte) bool { return frame.Ethernet(eth).EtherType() == 0x9000 }

// probesIn counts them.
func probesIn(frames [][]byte) (n int) {
	for _, f := range frames {
		if isProbe(f) {
			n++
		}
	}
	return n
}

// bridgeOwn bridges two devices as a container does whose two ports have security: what
// comes out bears the port's own address.
func bridgeOwn(from, to *port) {
	from.Relay(func(eth []byte) {
		if !isProbe(eth) {
			frame.Ethernet(eth).SetSrc(to.mac)
		}
		to.Send(eth)
	})
}

// TestLoopThatMovesNoAddressIsFound at every level of security.
func TestLoopThatMovesNoAddressIsFound(t *testing.T) {
	atEachLevel(t, func(t *testing.T, level policy.Security) {
		if level == policy.SecurityStrict {
			level = policy.SecurityMACOnly // test frames are no IP
		}
		inLoop(t, vswitch.Options{}, func(l *loopLab) {
			seg := l.segment()
			left, right := l.owner(seg, 1, level), l.owner(seg, 2, level)
			a, bystander := l.port(seg, 3), l.port(seg, 4)
			bridgeOwn(left, right)
			bridgeOwn(right, left)
			a.send(frame.Broadcast, "storm") // returns when the storm has ended
			if n := len(bystander.Frames()); n > 1000 {
				l.t.Errorf("the bystander has got %d frames, want 1000 at most", n)
			}
			if left.ErrDisabled() == right.ErrDisabled() || a.ErrDisabled() || bystander.ErrDisabled() {
				l.t.Errorf("err-disabled: left %t, right %t; want one", left.ErrDisabled(), right.ErrDisabled())
			}
			if left.Counters().Drops[drop.Loop]+right.Counters().Drops[drop.Loop] == 0 {
				l.t.Error("no frame was dropped as loop")
			}
			time.Sleep(vswitch.DefaultLoopHold + time.Second)
			if left.ErrDisabled() || right.ErrDisabled() {
				l.t.Error("a port is err-disabled for longer than its time")
			}
			balanced(l.t, left.Port)
			balanced(l.t, right.Port)
		})
	})
}

// TestHonestBroadcasterIsNotErrDisabled, however fast; and its probes get few.
func TestHonestBroadcasterIsNotErrDisabled(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		seg := l.segment()
		a := l.portWith(seg, 1, limited(policy.Policy{FloodLimit: -1}))
		b := l.port(seg, 2)
		const seconds = 10
		for range seconds * 100 {
			for range 100 { // 10,000 a second
				a.Send(switchtest.Frame(frame.Broadcast, a.mac, "honest"))
			}
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		frames := b.Frames()
		if n := probesIn(frames); n == 0 || n > seconds+10 {
			l.t.Errorf("%d probes in %d seconds, want some and about one a second", n, seconds)
		}
		if got := len(frames) - probesIn(frames); got != seconds*10000 {
			l.t.Errorf("%d broadcasts came, want %d", got, seconds*10000)
		}
		if n := len(l.held()); n != 0 {
			l.t.Errorf("%d ports were err-disabled, want none", n)
		}
	})
}

// TestSlowFloodsAreNotProbed.
func TestSlowFloodsAreNotProbed(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		for range 500 {
			p[0].send(frame.Broadcast, "slow")
			time.Sleep(20 * time.Millisecond)
		}
		if n := probesIn(p[1].Frames()); n != 0 {
			l.t.Errorf("%d probes for 50 broadcasts a second, want none", n)
		}
	})
}

// probeOf has a segment's switch send its probe, and returns it.
func probeOf(l *lab, flooder, receiver *port) []byte {
	l.t.Helper()
	for range 150 {
		flooder.Send(switchtest.Frame(frame.Broadcast, flooder.mac, "fast"))
	}
	synctest.Wait()
	for _, f := range receiver.Frames() {
		if isProbe(f) {
			return f
		}
	}
	l.t.Fatal("no probe was sent")
	return nil
}

// TestAnothersProbeProvesNothing: one of another segment or another switch is an ordinary
// frame, and one with a tag or cut off too.
func TestAnothersProbeProvesNothing(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		seg := l.segment()
		p, q := l.ports(l.segment(), 2), l.ports(seg, 3)
		foreign := probeOf(l.lab, p[0], p[1])
		own := probeOf(l.lab, q[0], q[1])
		if &foreign[0] == &own[0] || string(foreign) == string(own) {
			l.t.Fatal("two segments have one probe")
		}
		changed := append([]byte(nil), own...)
		changed[30]++
		q[2].Frames()
		q[1].Send(foreign)
		q[1].Send(changed)
		q[1].Send(own[:34])
		synctest.Wait()
		if n := probesIn(q[2].Frames()); n != 3 || len(l.held()) != 0 {
			l.t.Errorf("%d of 3 foreign probes passed and %v are err-disabled, want all and none", n, l.held())
		}
		q[1].Send(own)
		synctest.Wait()
		if n := len(q[2].Frames()); n != 0 || len(l.held()) != 1 || l.held()[0] != q[1].Port {
			l.t.Errorf("the segment's own probe came %d times to others, and %v are err-disabled, want the sender", n, l.held())
		}
	})
}

// flood has p broadcast 10,000 frames a second for a time, a hundredth of a second at once.
func flood(p *port, d time.Duration) {
	for range d / (10 * time.Millisecond) {
		for range 100 {
			p.Send(switchtest.Frame(frame.Broadcast, p.mac, "fast"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	synctest.Wait()
}

// TestProbesGoOnWhileFloodsDo, so that a loop which is made later is found within a second
// or so, and come fast again after a calm.
func TestProbesGoOnWhileFloodsDo(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		a, b := l.portWith(seg, 1, limited(policy.Policy{FloodLimit: -1})), l.port(seg, 2)
		flood(a, 30*time.Second)
		if a.Frames(); probesIn(b.Frames()) == 0 {
			l.t.Fatal("no probe in half a minute")
		}
		flood(a, 10*time.Second)
		if n := probesIn(b.Frames()); n < 9 || n > 11 {
			l.t.Errorf("%d probes in the next 10 seconds of the flood, want one a second", n)
		}
		if n := probesIn(a.Frames()); n < 9 || n > 11 {
			l.t.Errorf("%d probes came to the port that floods, want one a second too", n)
		}
		time.Sleep(10 * time.Second)
		flood(a, 100*time.Millisecond)
		if n := probesIn(b.Frames()); n < 3 {
			l.t.Errorf("%d probes in the first 100 ms after a calm, want 3 at least", n)
		}
	})
}

// TestCalmSavesNothingUp: a loop is probed for after some 100 floods, however long there
// were none.
func TestCalmSavesNothingUp(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		p[0].send(frame.Broadcast, "one")
		time.Sleep(time.Hour)
		probeOf(l, p[0], p[1])
	})
}

// TestReflectionIsFound where each of those whose frames come back floods too little to be
// probed for itself.
func TestReflectionIsFound(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		seg := l.segment()
		mirror := l.owner(seg, 1, policy.SecurityMACOnly)
		bridgeOwn(mirror, mirror)
		slow := []*port{l.port(seg, 2), l.port(seg, 3), l.port(seg, 4)}
		for range 100 { // 60 a second from each, in 5 s
			for _, p := range slow {
				p.send(frame.Broadcast, "slow")
			}
			time.Sleep(time.Second / 60)
		}
		if got := l.held(); len(got) != 1 || got[0] != mirror.Port {
			l.t.Errorf("%v are err-disabled, want the port that sends all back", got)
		}
	})
}

// TestHostAndLoopProbes: the host is trusted. It is not probed for what it floods, and not
// err-disabled for a probe that it sends back.
func TestHostAndLoopProbes(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		host, p := l.withHost(&responder{}, &hostFilter{from: drop.None}, 2)
		for range 500 {
			host.Send(switchtest.Frame(frame.Broadcast, gatewayMAC, "from the host"))
		}
		synctest.Wait()
		if n := probesIn(p[0].Frames()) + probesIn(p[1].Frames()); n != 0 {
			l.t.Errorf("%d probes for what the host floods, want none", n)
		}
		probe := probeOf(l, p[0], p[1])
		p[0].Frames()
		time.Sleep(time.Second)
		host.Send(probe)
		synctest.Wait()
		if host.ErrDisabled() {
			l.t.Error("the host is err-disabled for a probe that it has sent")
		}
		expect(l.t, p[0])
		dropped(l.t, host.Port, drop.Loop, 1)
		balanced(l.t, host.Port)
	})
}

// TestErrDisabledPortKeepsItsAddress: what is for it is shown to nobody meanwhile.
func TestErrDisabledPortKeepsItsAddress(t *testing.T) {
	atEachLevel(t, func(t *testing.T, level policy.Security) {
		inLoop(t, vswitch.Options{}, func(l *loopLab) {
			seg := l.segment()
			p, a, c := l.owner(seg, 1, level), l.port(seg, 2), l.port(seg, 3)
			p.Send(probeOf(l.lab, a, c))
			synctest.Wait()
			if !p.ErrDisabled() {
				l.t.Fatal("the port is not err-disabled")
			}
			p.Frames()
			a.send(p.mac, "meanwhile")
			expect(l.t, c)
			expect(l.t, p)
			if c := p.Counters(); c.Drops[drop.HeldDown] != 1 || c.Drops[drop.Loop] != 1 {
				l.t.Errorf("counted %+v, want one drop to it and one from it", c)
			}
			time.Sleep(vswitch.DefaultLoopHold + time.Second)
			a.send(p.mac, "afterwards")
			expect(l.t, p, "afterwards")
			expect(l.t, c)
			balanced(l.t, p.Port)
		})
	})
}

// TestLoopOfAddressProbesIsFound: an ARP address probe that the responder leaves to the ports
// that may use the address circles as a broadcast does.
func TestLoopOfAddressProbesIsFound(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		r := &responder{response: vswitch.Response{Action: vswitch.Probe}}
		gw, p := l.withGateway(r, 2)
		seg := gw.Segment()
		left, right := l.owner(seg, 11, policy.SecurityMACOnly), l.owner(seg, 12, policy.SecurityMACOnly)
		bridgeOwn(left, right)
		bridgeOwn(right, left)
		nobody := addr("172.17.99.99")
		p[0].Send(switchtest.ARP(p[0].mac, netip.IPv4Unspecified(), nobody)) // until the storm has ended
		synctest.Wait()
		if n := len(p[1].Frames()); n > 1000 {
			l.t.Errorf("the bystander has got %d frames, want 1000 at most", n)
		}
		if left.ErrDisabled() == right.ErrDisabled() {
			l.t.Errorf("err-disabled: left %t, right %t; want one", left.ErrDisabled(), right.ErrDisabled())
		}
	})
}

// TestLoopAfterSteadyFloodsIsFound as fast as any: that a port's floods were looked into and
// found honest says nothing about many more.
func TestLoopAfterSteadyFloodsIsFound(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		seg := l.segment()
		left, right := l.owner(seg, 1, policy.SecurityMACOnly), l.owner(seg, 2, policy.SecurityMACOnly)
		bystander := l.port(seg, 3)
		for range 10 * 50 { // 200 a second from each, for 10 s
			for range 4 {
				left.Send(switchtest.Frame(frame.Broadcast, left.mac, "steady"))
				right.Send(switchtest.Frame(frame.Broadcast, right.mac, "steady"))
			}
			time.Sleep(20 * time.Millisecond)
		}
		synctest.Wait()
		left.Frames()
		right.Frames()
		bystander.Frames()
		bridgeOwn(left, right)
		bridgeOwn(right, left)
		left.send(frame.Broadcast, "storm")
		synctest.Wait()
		if n := len(bystander.Frames()); n > 1000 {
			l.t.Errorf("the bystander has got %d frames, want 1000 at most", n)
		}
		if left.ErrDisabled() == right.ErrDisabled() {
			l.t.Errorf("err-disabled: left %t, right %t; want one", left.ErrDisabled(), right.ErrDisabled())
		}
	})
}
