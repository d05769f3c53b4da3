package vswitch_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// TestRefusalsAreNoted with what would let the frames pass, until the policy is another.
func TestRefusalsAreNoted(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		s := host1
		seg := l.segmentWith(vswitch.SegmentConfig{Gateway: s.Gateway})
		strict := policy1(policy.SecurityStrict)
		p := l.portWith(seg, 1, limited(strict))
		q := l.portWith(
			seg,
			2,
			limited(policy.Policy{Security: policy.SecurityMACOnly, MAC: switchtest.MAC(2)}),
		)
		want := func(when string, list ...vswitch.Refusal) {
			l.t.Helper()
			synctest.Wait()
			if got := p.Refusals(); !slices.Equal(got, list) {
				l.t.Errorf("%s: %+v, want %+v", when, got, list)
			}
		}
		virtual, ptp := frame.MAC{0, 0, 0x5e, 0, 1, 7}, switchtest.Ethernet(q.mac, s.MAC, 0x88f7)
		for range 100 {
			p.Send(ptp)
		}
		p.sendFrom(virtual, frame.Broadcast, "")
		p.sendFrom(q.mac, frame.Broadcast, "") // another port's own, which nothing allows
		p.Send(s.IPv4(s.Other, frame.ProtoTCP, switchtest.Ports(1, 2)...))
		p.Send(s.ARP(frame.ARPReply, s.MAC, s.Gateway, s.IP)) // nothing allows that either
		noted := []vswitch.Refusal{
			{Reason: drop.SpoofedMAC, Lacks: policy.Allowance{MAC: virtual}},
			{Reason: drop.SpoofedIP, Lacks: policy.Allowance{Addr: s.Other}},
			{Reason: drop.UnassignedProtocol, Lacks: policy.Allowance{Protocol: "ptp"}},
		}
		want("first", noted...)
		if got := q.Refusals(); got != nil {
			l.t.Errorf("at another port: %+v", got)
		}

		// In the same second the first stays, and later it gives way.
		other := switchtest.Ethernet(q.mac, s.MAC, 0x8864)
		p.Send(other)
		want("in the same second", noted...)
		time.Sleep(2 * time.Second)
		p.Send(other)
		noted[2].Lacks.Protocol = "pppoe"
		want("later", noted...)

		strict.Protocols = []ethertype.Protocol{"ptp"}
		if err := p.SetPolicy(strict); err != nil {
			l.t.Fatal(err)
		}
		want("under another policy")
		p.Send(other)
		want("and again", noted[2])
	})
}

// TestAllowancesAreInForceAtOnce for flows that run, when they are given and when they are taken.
func TestAllowancesAreInForceAtOnce(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg, strict := l.segment(), policy1(policy.SecurityStrict)
		p, q := l.portWith(seg, 1, limited(strict)), l.port(seg, 2)
		teach(q)
		virtual := frame.MAC{0, 0, 0x5e, 0, 1, 7}
		passes := func(src frame.MAC, etherType uint16) bool {
			q.Frames()
			for range 3 {
				p.Send(switchtest.Ethernet(q.mac, src, etherType, 1, 2, 3))
			}
			synctest.Wait()
			n := len(q.Frames())
			if n != 0 && n != 3 {
				l.t.Errorf("%d of 3 frames of one flow came", n)
			}
			return n > 0
		}
		for range 2 {
			for _, step := range []struct {
				macs      []frame.MACMask
				protocols []ethertype.Protocol
				own, both bool
			}{
				{nil, nil, false, false},
				{nil, []ethertype.Protocol{"pppoe"}, true, false},
				{[]frame.MACMask{frame.SingleMAC(virtual)}, []ethertype.Protocol{"pppoe"}, true, true},
				{[]frame.MACMask{frame.SingleMAC(virtual)}, nil, false, false},
			} {
				c := strict
				c.MACs, c.Protocols = step.macs, step.protocols
				if err := p.SetPolicy(c); err != nil {
					l.t.Fatal(err)
				}
				if own, both := passes(p.mac, 0x8864), passes(virtual, 0x8864); own != step.own ||
					both != step.both {
					l.t.Errorf(
						"with %v and %v: passes %v from its own MAC and %v from the other, want %v and %v",
						step.macs,
						step.protocols,
						own,
						both,
						step.own,
						step.both,
					)
				}
			}
		}
	})
}

// TestAnAllowedMACIsNoOtherPortsOwn, whatever the mask of those that are allowed.
func TestAnAllowedMACIsNoOtherPortsOwn(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg, c := l.segment(), policy1(policy.SecurityStrict)
		own := switchtest.MAC(2)
		c.MACs = []frame.MACMask{frame.MACMask{MAC: own, Mask: frame.MAC{255, 255, 255}}.Masked()}
		p := l.portWith(seg, 1, limited(c))
		q := l.portWith(seg, 2, limited(policy.Policy{Security: policy.SecurityMACOnly, MAC: own}))
		r := l.port(seg, 3)
		p.Send(switchtest.Ethernet(frame.Broadcast, own, frame.EtherTypeIPv4,
			host1.IPv4(host1.IP, frame.ProtoTCP, switchtest.Ports(1, 2)...)[14:]...))
		synctest.Wait()
		dropped(l.t, p.Port, drop.SpoofedMAC, 1)
		if n := len(r.Frames()) + len(q.Frames()); n != 0 {
			l.t.Errorf("%d frames came in another port's name", n)
		}
		r.send(own, "for q")
		expect(l.t, q, "for q")
	})
}
