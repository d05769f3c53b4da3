package vswitch_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

var multicast = frame.MAC{0x01, 0x00, 0x5e, 0, 0, 1}

func TestUnknownUnicastIsFlooded(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 4)
		p[0].send(p[1].mac, "anyone?")
		expect(l.t, p[0])
		for _, other := range p[1:] {
			expect(l.t, other, "anyone?")
		}
		if c := p[0].Counters(); c.Flooded != 1 || c.Forwarded != 0 {
			l.t.Errorf("counted %+v, want one flooded frame", c)
		}
	})
}

func TestLearnedUnicastGoesToOnePort(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 3)
		teach(p[1])
		p[0].send(p[1].mac, "to you")
		expect(l.t, p[1], "to you")
		expect(l.t, p[2])
		c, rx := p[0].Counters(), p[1].Counters()
		if c.Forwarded != 1 || c.Flooded != 0 || c.RxBytes != 60 || rx.TxFrames != 1 || rx.TxBytes != 60 {
			l.t.Errorf("sender counted %+v and receiver %+v, want one frame of 60 bytes forwarded", c, rx)
		}
	})
}

func TestGroupFramesAreFlooded(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 3)
		teach(p...)
		p[0].send(frame.Broadcast, "broadcast")
		p[0].send(multicast, "multicast")
		p[0].send(frame.MAC{1, 0x80, 0xc2, 0, 0, 0x10}, "not reserved")
		expect(l.t, p[0])
		for _, other := range p[1:] {
			expect(l.t, other, "broadcast", "multicast", "not reserved")
		}
	})
}

func TestReservedGroupIsDropped(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		for i := range byte(15) {
			p[0].send(frame.MAC{1, 0x80, 0xc2, 0, 0, i + 1}, fmt.Sprint(i))
			expect(l.t, p[1])
			dropped(l.t, p[0].Port, drop.ReservedGroup, uint64(i)+1)
		}
	})
}

func TestHairpinIsDropped(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 2)
		behind := switchtest.MAC(9)
		p[0].sendFrom(behind, frame.Broadcast, "I stand behind the first port")
		p[0].send(behind, "neighbour")
		expect(l.t, p[0])
		expect(l.t, p[1], "I stand behind the first port")
		dropped(l.t, p[0].Port, drop.Hairpin, 1)
	})
}

func TestMalformedFramesAreDropped(t *testing.T) {
	plain := switchtest.Frame(switchtest.MAC(2), switchtest.MAC(1), "x")
	with := func(flags, gso byte, b []byte) []byte {
		raw := append(make([]byte, frame.VNetHeaderLen), b...)
		raw[0], raw[1] = flags, gso
		return raw
	}
	sized := func(payload int) []byte { return with(0, 0, make([]byte, frame.EthernetHeaderLen+payload)) }
	giant := sized(1505)
	copy(giant[frame.VNetHeaderLen:], plain)
	tests := []struct {
		name   string
		raw    []byte
		reason drop.Reason
	}{
		{"empty", nil, drop.Runt},
		{"half a virtio-net header", make([]byte, 5), drop.Runt},
		{"no Ethernet header", make([]byte, frame.VNetHeaderLen), drop.Runt},
		{"Ethernet header short of a byte", make([]byte, frame.VNetHeaderLen+13), drop.Runt},
		{"source zero", with(0, 0, switchtest.Frame(switchtest.MAC(2), frame.MAC{}, "")), drop.BadSource},
		{"source broadcast", with(0, 0, switchtest.Frame(switchtest.MAC(2), frame.Broadcast, "")), drop.BadSource},
		{"source multicast", with(0, 0, switchtest.Frame(switchtest.MAC(2), multicast, "")), drop.BadSource},
		{"longer than the MTU and a tag", giant, drop.Giant},
		{"longer than any buffer", make([]byte, 1<<17), drop.Giant},
		{"unknown flag", with(0x40, 0, plain), drop.BadVirtioHeader},
		{"unknown segmentation", with(1, 77, plain), drop.BadVirtioHeader},
		{"segmentation of what is no IP", with(1, frame.VNetGSOTCPv4, plain), drop.BadVirtioHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, vswitch.Options{}, func(l *lab) {
				seg := l.segment()
				p := l.ports(seg, 2)
				p[0].SendRaw(test.raw)
				synctest.Wait()
				expect(l.t, p[1])
				dropped(l.t, p[0].Port, test.reason, 1)
				balanced(l.t, p[0].Port)
				if learned := l.sw.Entries(seg); len(learned) != 0 {
					l.t.Errorf("learned %v from a malformed frame", learned)
				}
			})
		})
	}
}

func TestFramesOfFullSizePass(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		for _, mtu := range []int{vswitch.MinMTU, 1500, 9000, vswitch.MaxMTU} {
			p := l.ports(l.segmentWith(vswitch.SegmentConfig{MTU: mtu}), 2)
			untagged := switchtest.Frame(p[1].mac, p[0].mac, string(make([]byte, mtu)))
			tagged := switchtest.Tagged(untagged, switchtest.Dot1Q)
			p[0].Send(untagged)
			p[0].Send(tagged)
			p[0].Send(append(tagged, 0))
			synctest.Wait()
			if got := p[1].Frames(); len(got) != 2 || len(got[0]) != len(untagged) || len(got[1]) != len(tagged) {
				l.t.Errorf("MTU %d: %d frames arrived, want the full ones of %d and, tagged, %d bytes", mtu, len(got), len(untagged), len(tagged))
			}
			dropped(l.t, p[0].Port, drop.Giant, 1)
		}
	})
}

func TestStationMoveIsFollowedAtOnce(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		p := l.ports(l.segment(), 3)
		teach(p...)
		roaming := switchtest.MAC(9)
		for i := range 10 {
			at, before := p[1+i%2], p[2-i%2]
			at.sendFrom(roaming, p[0].mac, "I moved")
			p[0].send(roaming, "where?")
			expect(l.t, at, "where?")
			expect(l.t, before)
		}
	})
}

func TestSegmentsAreApart(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		a, b := l.segment(), l.segment()
		// The same stations, in the other order.
		pa := []*port{l.port(a, 1), l.port(a, 2), l.port(a, 3)}
		pb := []*port{l.port(b, 3), l.port(b, 2), l.port(b, 1)}
		onlyB := l.port(b, 7)
		teach(pa...)
		teach(pb...)
		teach(onlyB)
		pb = append(pb, onlyB)
		nothingAt := func(ports []*port) {
			for _, p := range ports {
				expect(l.t, p)
			}
		}
		for _, dst := range []frame.MAC{switchtest.MAC(2), switchtest.MAC(7), switchtest.MAC(99), frame.Broadcast, multicast} {
			pa[0].send(dst, "in a")
			expect(l.t, pa[1], "in a")
			nothingAt(pb)
			pa[2].Frames()
			pb[0].send(dst, "in b")
			nothingAt(pa)
			for _, p := range pb {
				p.Frames()
			}
		}
		for _, seg := range []*vswitch.Segment{a, b} {
			for _, e := range l.sw.Entries(seg) {
				if e.Port.Segment() != seg {
					l.t.Errorf("entry %s of one segment is at a port of another", e.MAC)
				}
			}
		}
	})
}

// TestLongQueuesAreCarriedWhole and in order, turn by turn.
func TestLongQueuesAreCarriedWhole(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		p := l.ports(l.segment(), 3)
		teach(p[2])
		const n = 1000 // many times what is read in one turn
		for i := range n {
			p[0].Send(switchtest.Frame(p[2].mac, p[0].mac, fmt.Sprint(i)))
			p[1].Send(switchtest.Frame(p[2].mac, p[1].mac, fmt.Sprint(i)))
		}
		synctest.Wait()
		next := map[frame.MAC]int{}
		for _, f := range p[2].Frames() {
			src := frame.Ethernet(f).Src()
			if want := fmt.Sprint(next[src]); switchtest.Text(f) != want {
				l.t.Fatalf("frame %s of %s came where %s was due", switchtest.Text(f), src, want)
			}
			next[src]++
		}
		if next[p[0].mac] != n || next[p[1].mac] != n {
			l.t.Errorf("%d and %d frames arrived, want %d of each", next[p[0].mac], next[p[1].mac], n)
		}
	})
}
