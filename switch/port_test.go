package vswitch_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

func TestPortDownAndUp(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 3)
		teach(p...)
		p[1].SetDown(true)
		p[0].send(p[1].mac, "lost")
		p[0].send(frame.Broadcast, "for one")
		p[1].send(p[0].mac, "not sent")
		expect(l.t, p[0])
		expect(l.t, p[1])
		expect(l.t, p[2], "for one")
		c := p[1].Counters()
		if c.Drops[drop.LinkDown] != 2 || c.Drops[drop.PortDown] != 1 || c.TxFrames != 0 {
			l.t.Errorf("the port that is down counted %+v, want 2 drops to it and 1 from it", c)
		}
		p[1].SetDown(false)
		p[0].send(p[1].mac, "again")
		p[1].send(p[0].mac, "sent")
		expect(l.t, p[1], "again")
		expect(l.t, p[0], "sent")
	})
}

func TestRefusingPortHindersNobody(t *testing.T) {
	for status, reason := range map[frame.Status]drop.Reason{
		frame.Again:    drop.QueueFull,
		frame.Down:     drop.LinkDown,
		frame.Rejected: drop.TxRejected,
		frame.Gone:     drop.DeviceGone,
	} {
		t.Run(reason.String(), func(t *testing.T) {
			inLab(t, vswitch.Options{}, func(l *lab) {
				p := l.ports(l.segment(), 4)
				teach(p...)
				p[1].Refuse(status)
				p[0].send(frame.Broadcast, "all")
				p[0].send(p[1].mac, "one")
				p[0].send(p[2].mac, "other")
				expect(l.t, p[1])
				expect(l.t, p[2], "all", "other")
				expect(l.t, p[3], "all")
				dropped(l.t, p[1].Port, reason, 2)
				for _, other := range []*port{p[2], p[3]} {
					dropped(l.t, other.Port, reason, 0)
				}
				if c := p[0].Counters(); c.Forwarded != 2 || c.Flooded != 1 {
					l.t.Errorf("the sender counted %+v, want 2 frames forwarded and 1 flooded", c)
				}
				p[1].Refuse(frame.OK)
				p[0].send(p[1].mac, "room again")
				expect(l.t, p[1], "room again")
			})
		})
	}
}

func TestDeviceGone(t *testing.T) {
	gone := make(map[*vswitch.Port]int)
	inLab(t, vswitch.Options{OnGone: func(p *vswitch.Port) { gone[p]++ }}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 3)
		teach(p...)
		p[1].Break()
		synctest.Wait()
		if gone[p[1].Port] != 1 || len(gone) != 1 {
			l.t.Fatalf("told of %v, want the broken port once", gone)
		}
		p[1].Break() // an event of a device that is read no more
		p[0].send(p[1].mac, "to nobody")
		p[0].send(frame.Broadcast, "all")
		p[2].send(p[0].mac, "still here")
		expect(l.t, p[2], "all")
		expect(l.t, p[0], "still here")
		dropped(l.t, p[1].Port, drop.PortLost, 2)
		if !p[1].Lost() {
			l.t.Error("a port whose device is gone is not lost")
		}
		l.sw.RemovePort(p[1].Port)
		p[0].send(frame.Broadcast, "two left")
		expect(l.t, p[2], "two left")
		if gone[p[1].Port] != 1 || l.addresses(seg)[p[1].mac] != nil {
			l.t.Errorf("told %d times of the broken port, and its address is at %v", gone[p[1].Port], l.addresses(seg)[p[1].mac])
		}
	})
}

// TestOnGoneMayRemoveThePort is what a daemon does.
func TestOnGoneMayRemoveThePort(t *testing.T) {
	var sw *vswitch.Switch
	inLab(t, vswitch.Options{OnGone: func(p *vswitch.Port) { sw.RemovePort(p) }}, func(l *lab) {
		sw = l.sw
		seg := l.segment()
		p := l.port(seg, 1)
		p.Break()
		synctest.Wait()
		if err := l.sw.RemoveSegment(seg); err != nil {
			l.t.Errorf("the segment still has its port: %v", err)
		}
	})
}

func TestRemovedPortIsLeftAlone(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 3)
		teach(p...)
		if err := l.sw.AddEntry(p[1].Port, switchtest.MAC(9)); err != nil {
			l.t.Fatal(err)
		}
		l.sw.RemovePort(p[1].Port)
		calls := p[1].Calls()
		p[1].Send(switchtest.Frame(p[0].mac, p[1].mac, "too late"))
		p[0].send(p[1].mac, "for nobody else")
		p[0].send(switchtest.MAC(9), "known no more")
		p[0].send(frame.Broadcast, "all")
		expect(l.t, p[0])
		expect(l.t, p[2], "known no more", "all")
		dropped(l.t, p[0].Port, drop.Unreachable, 1)
		if err := l.sw.RemoveEntry(seg, p[1].mac); !errors.Is(err, vswitch.ErrNoEntry) {
			l.t.Errorf("removing the entry of a removed port: %v, want ErrNoEntry", err)
		}
		if p[1].Calls() != calls || p[1].Waiting() != 1 {
			l.t.Error("the device of a removed port was used")
		}
		for mac, at := range l.addresses(seg) {
			if at == p[1].Port {
				l.t.Errorf("%s still stands at the removed port", mac)
			}
		}
	})
}

func TestSlotReuse(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		a, b := l.segment(), l.segment()
		p := l.ports(a, 3)
		teach(p...)
		if err := l.sw.AddEntry(p[2].Port, switchtest.MAC(9)); err != nil {
			l.t.Fatal(err)
		}
		l.sw.RemovePort(p[2].Port)
		same, other := l.port(a, 4), l.port(b, 5) // one of them takes the slot
		p[0].send(p[2].mac, "for nobody else")
		p[0].send(switchtest.MAC(9), "flooded")
		expect(l.t, p[1], "flooded")
		expect(l.t, same, "flooded")
		expect(l.t, other)
	})
}

// TestRemovePortTwice: the second call must not hit the port that has taken the
// slot meanwhile.
func TestRemovePortTwice(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		l.sw.RemovePort(p[1].Port)
		heir := l.port(seg, 3)
		teach(p[0], heir)
		l.sw.RemovePort(p[1].Port)
		if l.addresses(seg)[heir.mac] != heir.Port {
			l.t.Error("removing a port twice ended another's entry")
		}
		p[0].send(heir.mac, "you are here")
		expect(l.t, heir, "you are here")
		if c := p[0].Counters(); c.Forwarded != 1 {
			l.t.Errorf("counted %+v, want a forwarded frame", c)
		}
	})
}

func TestRemovedPortTakesNoChange(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		l.sw.RemovePort(p[1].Port)
		heir := l.port(seg, 3)
		teach(heir)
		if err := l.sw.AddEntry(p[1].Port, switchtest.MAC(9)); err == nil {
			l.t.Error("a removed port has taken a static entry")
		}
		if n := l.sw.Flush(seg, p[1].Port); n != 0 {
			l.t.Errorf("flushing a removed port ended %d entries of its heir", n)
		}
		l.sw.Announce(p[1].Port, switchtest.Frame(frame.Broadcast, p[1].mac, "ghost"))
		expect(l.t, p[0])
		expect(l.t, heir)
		if at := l.addresses(seg); len(at) != 1 {
			l.t.Errorf("entries are %v, want the heir's one", at)
		}
	})
}

// An announcement that was made before its port got another address, and comes after, would have
// the old one taken for the port's again.
func TestAnnouncementOfAnOldAddress(t *testing.T) {
	atEachLevel(t, func(t *testing.T, level policy.Security) {
		inLab(t, vswitch.Options{}, func(l *lab) {
			seg := l.segment()
			p, other := l.owner(seg, 1, level), l.port(seg, 2)
			old := switchtest.Frame(frame.Broadcast, p.mac, "I am here")
			set := policy.Policy{Security: level, MAC: switchtest.MAC(3)}
			if err := p.SetPolicy(set); err != nil {
				l.t.Fatal(err)
			}
			l.sw.Announce(p.Port, old)
			expect(l.t, other)
			if e := l.entry(seg, p.mac); e != (vswitch.Entry{}) {
				l.t.Errorf("its old address has the entry %+v", e)
			}
			l.sw.Announce(p.Port, switchtest.Frame(frame.Broadcast, switchtest.MAC(3), "I am here"))
			expect(l.t, other, "I am here")
		})
	})
}

func TestAnnounce(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 3)
		stranger := l.port(l.segment(), 1)
		l.sw.Announce(p[0].Port, switchtest.Frame(frame.Broadcast, p[0].mac, "I am here"))
		expect(l.t, p[0])
		expect(l.t, p[1], "I am here")
		expect(l.t, p[2], "I am here")
		expect(l.t, stranger)
		if c := p[0].Counters(); c.RxFrames != 0 || c.Flooded != 0 {
			l.t.Errorf("the announcement counts as read: %+v", c)
		}
		p[1].send(p[0].mac, "I know")
		expect(l.t, p[0], "I know")
		expect(l.t, p[2])
		for _, src := range []frame.MAC{{}, frame.Broadcast} {
			l.sw.Announce(p[0].Port, switchtest.Frame(frame.Broadcast, src, ""))
		}
		l.sw.Announce(p[0].Port, make([]byte, 13))
		l.sw.Announce(p[0].Port, nil)
		if n := len(l.sw.Entries(seg)); n != 2 {
			l.t.Errorf("%d entries, want those of the two stations", n)
		}
	})
}
