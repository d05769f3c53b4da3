package vswitch_test

import (
	"errors"
	"testing"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// addresses lists a segment's table as address → port.
func (l *lab) addresses(seg *vswitch.Segment) map[frame.MAC]*vswitch.Port {
	all := map[frame.MAC]*vswitch.Port{}
	for _, e := range l.sw.Entries(seg) {
		all[e.MAC] = e.Port
	}
	return all
}

func TestEntriesAge(t *testing.T) {
	for name, test := range map[string]struct {
		option, set, want time.Duration
	}{
		"default":  {0, 0, 300 * time.Second},
		"option":   {20 * time.Second, 0, 20 * time.Second},
		"set":      {0, 45 * time.Second, 45 * time.Second},
		"shortest": {0, time.Nanosecond, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, vswitch.Options{Ageing: test.option}, func(l *lab) {
				seg := l.segment()
				p := l.ports(seg, 2)
				if test.set != 0 {
					l.sw.SetAgeing(test.set)
				}
				time.Sleep(10*time.Second + 300*time.Millisecond)
				for range 3 { // each frame begins the time anew
					teach(p[0])
					time.Sleep(test.want)
					if l.addresses(seg)[p[0].mac] != p[0].Port {
						l.t.Fatalf("forgotten after less than %v", test.want)
					}
				}
				teach(p[0])
				time.Sleep(test.want / 2 / time.Second * time.Second)
				if e := l.sw.Entries(seg)[0]; e.Age != uint32(test.want/2/time.Second) || e.Kind != fdb.Learned {
					l.t.Errorf("after half of its time the entry is %+v", e)
				}
				time.Sleep(test.want - test.want/2/time.Second*time.Second + time.Second)
				if left := l.sw.Entries(seg); len(left) != 0 {
					l.t.Errorf("%v is still known after %v and a second", left, test.want)
				}
				p[1].send(p[0].mac, "flooded again")
				expect(l.t, p[0], "flooded again")
				if c := p[1].Counters(); c.Flooded != 1 {
					l.t.Errorf("counted %+v, want a flooded frame", c)
				}
			})
		})
	}
}

func TestStaticEntryStays(t *testing.T) {
	inLab(t, vswitch.Options{Ageing: time.Second}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 3)
		fixed := switchtest.MAC(9)
		p[2].sendFrom(fixed, frame.Broadcast, "")
		if err := l.sw.AddEntry(p[1].Port, fixed); err != nil {
			l.t.Fatal(err)
		}
		p[2].sendFrom(fixed, frame.Broadcast, "")
		time.Sleep(time.Hour)
		if n := l.sw.Flush(seg, nil); n != 0 {
			l.t.Errorf("a flush ended %d entries, want none but learned ones", n)
		}
		p[0].Frames()
		p[1].Frames()
		p[0].send(fixed, "to the fixed one")
		expect(l.t, p[1], "to the fixed one")
		expect(l.t, p[2])
		if list := l.sw.Entries(seg); len(list) != 2 || list[1].Kind != fdb.Static || list[1].MAC != fixed || list[1].Age != 0 {
			l.t.Errorf("entries are %+v, want the sender and the fixed one, sorted", list)
		}
		if err := l.sw.RemoveEntry(seg, fixed); err != nil {
			l.t.Fatal(err)
		}
		p[0].send(fixed, "gone")
		expect(l.t, p[2], "gone")
		p[2].sendFrom(fixed, frame.Broadcast, "")
		if l.addresses(seg)[fixed] != p[2].Port {
			l.t.Error("after the static entry was removed, the address is not learned")
		}
	})
}

func TestEntryErrors(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg, other := l.segment(), l.segment()
		p := l.port(seg, 1)
		teach(p)
		for _, mac := range []frame.MAC{{}, frame.Broadcast, multicast} {
			if err := l.sw.AddEntry(p.Port, mac); !errors.Is(err, vswitch.ErrGroupMAC) {
				l.t.Errorf("adding %s: %v, want ErrGroupMAC", mac, err)
			}
		}
		for _, seg := range []*vswitch.Segment{seg, other} {
			if err := l.sw.RemoveEntry(seg, switchtest.MAC(2)); !errors.Is(err, vswitch.ErrNoEntry) {
				l.t.Errorf("removing an unknown address: %v, want ErrNoEntry", err)
			}
		}
		if err := l.sw.RemoveEntry(other, p.mac); !errors.Is(err, vswitch.ErrNoEntry) {
			l.t.Errorf("removing another segment's address: %v, want ErrNoEntry", err)
		}
		if err := l.sw.RemoveEntry(seg, p.mac); err != nil {
			l.t.Errorf("removing a learned address: %v", err)
		}
	})
}

func TestFlush(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg, other := l.segment(), l.segment()
		p, q := l.ports(seg, 3), l.ports(other, 3)
		teach(p...)
		teach(q...)
		p[0].sendFrom(switchtest.MAC(9), frame.Broadcast, "")
		if n := l.sw.Flush(seg, q[0].Port); n != 0 {
			l.t.Errorf("flushing a port of another segment ended %d entries", n)
		}
		if n := l.sw.Flush(seg, p[0].Port); n != 2 {
			l.t.Errorf("flushing one port ended %d entries, want its 2", n)
		}
		if n := l.sw.Flush(seg, nil); n != 2 {
			l.t.Errorf("flushing the segment ended %d entries, want the other 2", n)
		}
		if n := len(l.sw.Entries(other)); n != 3 {
			l.t.Errorf("the other segment has %d entries, want 3", n)
		}
	})
}

// A flush forgets what is listed as learned, and no more: the address of a port that is gone is
// kept, unlisted, so that what is still sent to it is shown to nobody.
func TestFlushKeepsTheAddressesOfPortsThatAreGone(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		a, gone, c := l.port(seg, 1), l.owner(seg, 2, policy.SecurityStrict), l.port(seg, 3)
		l.sw.RemovePort(gone.Port)
		if list := l.sw.Entries(seg); len(list) != 0 {
			l.t.Errorf("listed are %+v, want nothing", list)
		}
		if n := l.sw.Flush(seg, nil); n != 0 {
			l.t.Errorf("a flush ended %d entries, of which none was listed", n)
		}
		a.send(gone.mac, "for the one that is gone")
		expect(l.t, c)
	})
}

// TestFloodOfAddressesHarmsNobody is the switch's own view of fair eviction.
func TestFloodOfAddressesHarmsNobody(t *testing.T) {
	inLab(t, vswitch.Options{Capacity: 100}, func(l *lab) {
		seg, other := l.segment(), l.segment()
		p, q := []*port{l.portWith(seg, 1, vswitch.PortConfig{Policy: policy.Policy{MACLimit: -1}}), l.port(seg, 2), l.port(seg, 3)}, l.ports(other, 2)
		teach(p[1])
		teach(q...)
		for i := range 10000 {
			p[0].Send(switchtest.Frame(frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, switchtest.MAC(1000+i), ""))
		}
		p[0].send(frame.Broadcast, "")
		teach(p[2])
		if known := l.addresses(seg); known[p[1].mac] != p[1].Port || known[p[2].mac] != p[2].Port {
			l.t.Error("the flood of one port has cost another its address")
		}
		if n := len(l.sw.Entries(other)); n != 2 {
			l.t.Errorf("the other segment has %d entries left, want 2", n)
		}
		if n := len(l.sw.Entries(seg)) + len(l.sw.Entries(other)); n > 101 {
			l.t.Errorf("%d entries, want a capacity of 100 kept, and one more for the worker", n)
		}
	})
}
