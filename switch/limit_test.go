package vswitch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

func limited(c policy.Policy) vswitch.PortConfig { return vswitch.PortConfig{Policy: c} }

func TestMACLimit(t *testing.T) {
	for name, test := range map[string]struct{ limit, learned int }{
		"default": {0, policy.DefaultMACLimit},
		"one":     {1, 1},
		"five":    {5, 5},
		"none":    {-1, 40},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, vswitch.Options{Ageing: time.Minute}, func(l *lab) {
				seg := l.segment()
				p, q := l.portWith(seg, 1, limited(policy.Policy{MACLimit: test.limit})), l.port(seg, 2)
				sendAll := func(from int) {
					for i := range 40 {
						p.sendFrom(switchtest.MAC(from+i), frame.Broadcast, "")
					}
				}
				sendAll(100)
				sendAll(100)
				want := uint64(2 * (40 - test.learned))
				dropped(l.t, p.Port, drop.MACLimit, want)
				if n := len(l.sw.Entries(seg)); n != test.learned {
					l.t.Errorf("%d addresses learned, want %d", n, test.learned)
				}
				if n := len(q.Frames()); n != 2*test.learned {
					l.t.Errorf("%d frames arrived, want the two of each address that was learned", n)
				}
				time.Sleep(2 * time.Minute)
				sendAll(200) // in the place of those that were forgotten
				dropped(l.t, p.Port, drop.MACLimit, want*3/2)
				balanced(l.t, p.Port)
			})
		})
	}
}

func TestMACLimitRefusesMoves(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p, q := l.portWith(seg, 1, limited(policy.Policy{MACLimit: 1})), l.port(seg, 2)
		teach(p, q)
		p.sendFrom(q.mac, frame.Broadcast, "as another")
		expect(l.t, q)
		if l.addresses(seg)[q.mac] != q.Port {
			l.t.Error("a port at its limit has taken another's address")
		}
		dropped(l.t, p.Port, drop.MACLimit, 1)
	})
}

// TestMillionAddressesHarmNobody: what one port sends costs no other port an
// entry, learned before or after.
func TestMillionAddressesHarmNobody(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg, other := l.segment(), l.segment()
		flooder := l.portWith(seg, 1, limited(policy.Policy{MACLimit: 1 << 30, FloodLimit: 1}))
		before, after, elsewhere := l.port(seg, 2), l.port(seg, 3), l.port(other, 2)
		teach(before, elsewhere)
		addresses := uint64(1_000_000)
		if vswitch.RaceEnabled {
			addresses = 2 * vswitch.DefaultCapacity // enough, and it takes its time
		}
		raw := make([]byte, frame.VNetHeaderLen+60)
		copy(raw[frame.VNetHeaderLen:], switchtest.Frame(frame.Broadcast, flooder.mac, ""))
		for i := range addresses {
			frame.Ethernet(raw[frame.VNetHeaderLen:]).SetSrc(frame.MACFromUint64(0x06<<40 | i*0x9e3779b1&0xffffffffff))
			flooder.SendRaw(raw)
			if i%10000 == 0 { // so that they do not all wait in memory, nor the port rest
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Second)
		teach(after)
		at := l.addresses(seg)
		if at[before.mac] != before.Port || at[after.mac] != after.Port || l.addresses(other)[elsewhere.mac] != elsewhere.Port {
			l.t.Error("the flood of one port has cost another its address")
		}
		if n := len(at); n > vswitch.DefaultCapacity+1 {
			l.t.Errorf("%d entries, more than the capacity", n)
		}
		if c := flooder.Counters(); c.RxFrames != addresses || c.Drops[drop.MACLimit] != 0 {
			l.t.Errorf("counted %+v, want %d frames and none beyond the limit", c, addresses)
		}
		balanced(l.t, flooder.Port)
	})
}

func TestFloodLimit(t *testing.T) {
	for name, test := range map[string]struct {
		limit        int
		sent, passed uint64
	}{
		"default": {0, 30000, policy.DefaultFloodLimit},
		"ten":     {10, 100, 10},
		"none":    {-1, 30000, 30000},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, vswitch.Options{}, func(l *lab) {
				seg := l.segment()
				p, q := l.portWith(seg, 1, limited(policy.Policy{FloodLimit: test.limit})), l.port(seg, 2)
				teach(q)
				kinds := []frame.MAC{frame.Broadcast, multicast, switchtest.MAC(9)}
				sendAll := func() {
					for i := range test.sent {
						p.Send(switchtest.Frame(kinds[i%3], p.mac, ""))
					}
					synctest.Wait()
				}
				sendAll()
				if c := p.Counters(); c.Flooded != test.passed {
					l.t.Errorf("of %d frames at once %d were flooded, want %d", test.sent, c.Flooded, test.passed)
				}
				q.Frames()
				p.send(q.mac, "to one")
				expect(l.t, q, "to one")
				time.Sleep(time.Second / 2)
				sendAll()
				want := min(test.passed+test.passed/2, 2*test.sent)
				if test.limit < 0 {
					want = 2 * test.sent
				}
				if c := p.Counters(); c.Flooded != want {
					l.t.Errorf("half a second later %d were flooded in all, want %d", c.Flooded, want)
				}
				dropped(l.t, p.Port, drop.FloodLimit, 2*test.sent-want)
				balanced(l.t, p.Port)
			})
		})
	}
}
