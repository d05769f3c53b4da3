package vswitch_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// The tests here begin with frames of one flow, which all but the first go the
// way of the one before, and check that a change counts for the very next.

// warm lets p's station send to dst, at q, until the way is remembered.
func warm(t testing.TB, p, q *port, dst frame.MAC) {
	t.Helper()
	for range 3 {
		p.send(dst, "warm")
	}
	expect(t, q, "warm", "warm", "warm")
}

func TestStaticEntryCountsForARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 3)
		teach(p...)
		warm(l.t, p[0], p[1], p[1].mac)
		if err := l.sw.AddEntry(p[2].Port, p[1].mac); err != nil {
			l.t.Fatal(err)
		}
		p[0].send(p[1].mac, "diverted")
		expect(l.t, p[1])
		expect(l.t, p[2], "diverted")
	})
}

func TestFlushCountsForARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 3)
		teach(p...)
		warm(l.t, p[0], p[1], p[1].mac)
		l.sw.Flush(seg, p[1].Port)
		p[0].send(p[1].mac, "flooded")
		expect(l.t, p[1], "flooded")
		expect(l.t, p[2], "flooded")
	})
}

// TestAnotherHeaderIsNoPartOfARunningFlow: what is sent between its frames, to the
// same station, is checked and learned like any first frame.
func TestAnotherHeaderIsNoPartOfARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 3)
		teach(p...)
		warm(l.t, p[0], p[1], p[1].mac)
		behind := switchtest.MAC(9) // another station at the same port
		p[0].sendFrom(behind, p[1].mac, "from another")
		expect(l.t, p[1], "from another")
		if l.addresses(seg)[behind] != p[0].Port {
			l.t.Error("a station that sends between the frames of another's flow is not learned")
		}
		warm(l.t, p[0], p[1], p[1].mac)
		p[0].send(p[2].mac, "to another")
		expect(l.t, p[1])
		expect(l.t, p[2], "to another")

		if err := p[0].SetPolicy(policy.Policy{Security: policy.SecurityMACOnly, MAC: p[0].mac}); err != nil {
			l.t.Fatal(err)
		}
		warm(l.t, p[0], p[1], p[1].mac)
		p[0].sendFrom(behind, p[1].mac, "spoofed")
		warm(l.t, p[0], p[1], p[1].mac)
		p[0].Send(switchtest.Tagged(switchtest.Frame(p[1].mac, p[0].mac, "tagged"), switchtest.Dot1Q|5))
		synctest.Wait()
		expect(l.t, p[1])
		if c := p[0].Counters(); c.Drops[drop.SpoofedMAC] != 1 || c.Drops[drop.VLANTagged] != 1 {
			l.t.Errorf("counted %+v, want one spoofed and one tagged frame dropped", c)
		}
	})
}

func TestRunningFlowKeepsItsSourceYoung(t *testing.T) {
	inLab(t, vswitch.Options{Ageing: time.Hour}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		for range 60 {
			p[0].send(p[1].mac, "still here")
			time.Sleep(time.Second)
		}
		for _, e := range l.sw.Entries(seg) {
			if e.MAC == p[0].mac && e.Age > 2 {
				l.t.Errorf("the entry of a station that sends each second has an age of %d s", e.Age)
			}
		}
	})
}

func TestEvictionCountsForARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{Capacity: 4}, func(l *lab) {
		p := l.ports(l.segment(), 4) // two senders, the owner of most addresses, a newcomer
		owned := [2]frame.MAC{switchtest.MAC(11), switchtest.MAC(12)}
		for i, mac := range owned {
			p[2].sendFrom(mac, frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, "")
			warm(l.t, p[i], p[2], mac)
		}
		p[3].Frames()
		teach(p[3])
		known := l.addresses(p[0].Segment())
		for i, mac := range owned {
			p[i].send(mac, "still known?")
			if flooded := len(p[3].Frames()) > 0; flooded != (known[mac] == nil) {
				l.t.Errorf("flow to %s: flooded %t, known %t", mac, flooded, known[mac] != nil)
			}
		}
		if len(known) != 4 || known[p[3].mac] == nil || known[owned[0]] != nil && known[owned[1]] != nil {
			l.t.Errorf("the newcomer did not take the place of one of %s: %v", owned, known)
		}
	})
}

func TestEachARPOfAFlowIsShownToTheResponder(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		r := &responder{response: vswitch.Response{Action: vswitch.Pass}}
		_, p := l.withGateway(r, 2)
		teach(p...)
		unicast := switchtest.To(p[1].mac, request(p[0].mac))
		for range 3 {
			p[0].Send(unicast)
			synctest.Wait()
		}
		if asked, got := r.asked.Load(), len(p[1].Frames()); asked != 3 || got != 3 {
			l.t.Errorf("of 3 unicast ARP frames the responder saw %d and the other port %d, want all", asked, got)
		}
	})
}

// TestTaggedFramesOfAFlowAreJudgedEach: behind a tag the Ethernet header does not say what
// comes, so that nothing is known of the next frame with the same.
func TestTaggedFramesOfAFlowAreJudgedEach(t *testing.T) {
	atEachLevel(t, func(t *testing.T, level policy.Security) {
		for _, tag := range []uint32{switchtest.Dot1Q, switchtest.Dot1AD} {
			for _, toGateway := range []bool{false, true} {
				t.Run(fmt.Sprintf("%#x, to the gateway %t", tag, toGateway), func(t *testing.T) {
					inLab(t, vswitch.Options{}, func(l *lab) { testTaggedFlow(l, level, tag, toGateway) })
				})
			}
		}
	})
}

func testTaggedFlow(l *lab, level policy.Security, priority uint32, toGateway bool) {
	seg := l.segmentWith(vswitch.SegmentConfig{Gateway: host1.Gateway})
	r := &responder{response: vswitch.Response{Action: vswitch.Consumed}}
	if _, err := l.sw.AddResponder(seg, gatewayMAC, r); err != nil {
		l.t.Fatal(err)
	}
	p, peer := l.portWith(seg, 1, vswitch.PortConfig{Policy: policy1(level)}), l.port(seg, 2)
	teach(peer)
	dst := peer.mac
	if toGateway {
		dst = gatewayMAC
	}
	arrived := 0 // with whom the frames are for
	send := func(eth []byte, tag uint32) {
		l.t.Helper()
		p.Send(switchtest.Tagged(switchtest.To(dst, eth), tag))
		synctest.Wait()
		arrived = len(peer.Frames()) + int(r.asked.Swap(0))
	}
	packet := func() []byte { return host1.IPv4(host1.IP, frame.ProtoTCP, switchtest.Ports(1, 80)...) }
	for range 3 {
		if send(packet(), priority); arrived != 1 {
			l.t.Errorf("a packet with a priority came %d times, want once", arrived)
		}
	}
	send(host1.ARP(frame.ARPReply, p.mac, host1.Gateway, host1.Other), priority)
	if c := p.Counters(); c.Drops[drop.SpoofedGateway] != 1 || arrived != 0 {
		l.t.Errorf("claiming the gateway's address: %d came, counted %+v; want spoofed-gateway", arrived, c)
	}
	send(packet(), priority|5)
	want := uint64(1)
	if level == policy.SecurityOff { // another network's, which is none of ours
		want = 0
	}
	if c := p.Counters(); c.Drops[drop.VLANTagged] != want || arrived != int(1-want) {
		l.t.Errorf("in a VLAN: %d came, counted %+v; want %d drops as vlan-tagged", arrived, c, want)
	}
	balanced(l.t, p.Port)
}
