package vswitch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"vswitch/frame"
	vswitch "vswitch/switch"
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

		if err := p[0].SetPolicy(vswitch.Policy{Security: vswitch.SecurityMACOnly, MAC: p[0].mac}); err != nil {
			l.t.Fatal(err)
		}
		warm(l.t, p[0], p[1], p[1].mac)
		p[0].sendFrom(behind, p[1].mac, "spoofed")
		warm(l.t, p[0], p[1], p[1].mac)
		p[0].Send(tagged(switchtest.Frame(p[1].mac, p[0].mac, "tagged"), frame.EtherTypeVLAN))
		synctest.Wait()
		expect(l.t, p[1])
		if c := p[0].Counters(); c.Drops[vswitch.SpoofedMAC] != 1 || c.Drops[vswitch.VLANTagged] != 1 {
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
			p[2].sendFrom(mac, frame.MAC{1, 0x80, 0xc2}, "")
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
		unicast := request(p[0].mac)
		frame.Ethernet(unicast).SetDst(p[1].mac)
		for range 3 {
			p[0].Send(unicast)
			synctest.Wait()
		}
		if asked, got := r.asked.Load(), len(p[1].Frames()); asked != 3 || got != 3 {
			l.t.Errorf("of 3 unicast ARP frames the responder saw %d and the other port %d, want all", asked, got)
		}
	})
}
