package vswitch_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// atEachLevel runs a test at each level of security.
func atEachLevel(t *testing.T, f func(t *testing.T, level policy.Security)) {
	for name, level := range map[string]policy.Security{
		"off": policy.SecurityOff, "mac": policy.SecurityMACOnly, "strict": policy.SecurityStrict,
	} {
		t.Run(name, func(t *testing.T) { f(t, level) })
	}
}

// owner adds a port that owns the n-th test address, at that level of security.
func (l *lab) owner(seg *vswitch.Segment, n int, level policy.Security) *port {
	l.t.Helper()
	return l.portWith(seg, n, vswitch.PortConfig{Policy: policy.Policy{Security: level, MAC: switchtest.MAC(n)}})
}

// entry is the entry of a segment's table for mac.
func (l *lab) entry(seg *vswitch.Segment, mac frame.MAC) (entry vswitch.Entry) {
	for _, e := range l.sw.Entries(seg) {
		if e.MAC == mac {
			return e
		}
	}
	return vswitch.Entry{}
}

// A port that never sends is known all the same: what is for it goes to nobody else.
func TestSilentPortIsNeverUnknown(t *testing.T) {
	atEachLevel(t, func(t *testing.T, level policy.Security) {
		inLab(t, vswitch.Options{Ageing: time.Second}, func(l *lab) {
			seg := l.segment()
			a, silent, c := l.port(seg, 1), l.owner(seg, 2, level), l.port(seg, 3)
			for range 5 {
				a.send(silent.mac, "for one")
				expect(l.t, silent, "for one")
				expect(l.t, c)
				time.Sleep(time.Minute)
				l.sw.Flush(seg, nil)
			}
			if e := l.entry(seg, silent.mac); e.Kind != fdb.Own || e.Port != silent.Port || e.Age != 0 {
				l.t.Errorf("its entry is %+v, want its own, without age", e)
			}
			if err := l.sw.RemoveEntry(seg, silent.mac); !errors.Is(err, vswitch.ErrInUse) {
				l.t.Errorf("removing its entry: %v, want ErrInUse", err)
			}
			if err := l.sw.AddEntry(c.Port, silent.mac); !errors.Is(err, vswitch.ErrInUse) {
				l.t.Errorf("a static entry elsewhere: %v, want ErrInUse", err)
			}
		})
	})
}

// Nobody may use the address of a port that has security, not even one that has none.
func TestOwnAddressOfASecurePortIsNobodyElses(t *testing.T) {
	atEachLevel(t, func(t *testing.T, level policy.Security) {
		inLab(t, vswitch.Options{}, func(l *lab) {
			seg := l.segment()
			victim, evil, c := l.owner(seg, 1, level), l.port(seg, 2), l.port(seg, 3)
			evil.sendFrom(victim.mac, frame.Broadcast, "I am it")
			c.send(victim.mac, "for the victim")
			if level == policy.SecurityOff { // as over a bridge
				expect(l.t, c, "I am it")
				expect(l.t, evil, "for the victim")
				return
			}
			dropped(l.t, evil.Port, drop.SpoofedMAC, 1)
			expect(l.t, c)
			expect(l.t, victim, "for the victim")
		})
	})
}

// The address of a port without security moves as over a bridge, and is the port's own
// again when nobody else has used it for the ageing time.
func TestOwnAddressWithoutSecurityComesBack(t *testing.T) {
	inLab(t, vswitch.Options{Ageing: 10 * time.Second}, func(l *lab) {
		seg := l.segment()
		p, other, c := l.owner(seg, 1, policy.SecurityOff), l.port(seg, 2), l.port(seg, 3)
		other.sendFrom(p.mac, frame.Broadcast, "")
		p.Frames()
		time.Sleep(5 * time.Second)
		c.send(p.mac, "within the time")
		expect(l.t, other, "within the time")
		expect(l.t, p)
		time.Sleep(10 * time.Second)
		c.Frames()
		other.Frames()
		c.send(p.mac, "after its time")
		expect(l.t, p, "after its time")
		expect(l.t, other)
		if e := l.entry(seg, p.mac); e.Kind != fdb.Own {
			l.t.Errorf("its entry is %+v, want its own", e)
		}
		other.sendFrom(p.mac, c.mac, "moved again")
		expect(l.t, c, "moved again")
		dropped(l.t, other.Port, drop.SpoofedMAC, 0)
	})
}

func TestTwoPortsCannotOwnOneAddress(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg, other := l.segment(), l.segment()
		first := l.owner(seg, 1, policy.SecurityStrict)
		c := vswitch.PortConfig{Policy: policy.Policy{Security: policy.SecurityStrict, MAC: first.mac}}
		if _, err := l.sw.AddPort(seg, &switchtest.Device{}, c); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("a second port of the address: %v, want ErrInUse", err)
		}
		if _, err := l.sw.AddPort(other, &switchtest.Device{}, c); err != nil {
			l.t.Errorf("on another segment: %v", err)
		}
		second := l.owner(seg, 2, policy.SecurityStrict)
		if err := second.SetPolicy(c.Policy); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("by SetPolicy: %v, want ErrInUse", err)
		}
		if got := second.Policy().MAC; got != second.mac {
			l.t.Errorf("a refused policy left the address %s", got)
		}
		l.sw.RemovePort(first.Port)
		if err := second.SetPolicy(c.Policy); err != nil {
			l.t.Errorf("once the first is gone: %v", err)
		}
		if e := l.entry(seg, first.mac); e.Port != second.Port || e.Kind != fdb.Own {
			l.t.Errorf("the entry is %+v, want the second port's own", e)
		}
		if e := l.entry(seg, second.mac); e.Port != nil {
			l.t.Errorf("its address before has the entry %+v, want none", e)
		}
	})
}

// A container cannot keep a port from being added by giving its own interface that port's
// address.
func TestTakenAddressKeepsNobodyOut(t *testing.T) {
	for name, level := range map[string]policy.Security{"off": policy.SecurityOff, "strict": policy.SecurityMACOnly} {
		t.Run(name, func(t *testing.T) {
			inLab(t, vswitch.Options{Ageing: time.Second}, func(l *lab) {
				seg := l.segment()
				evil, c := l.owner(seg, 1, policy.SecurityOff), l.port(seg, 3)
				next := switchtest.MAC(2)
				if err := l.sw.SetMAC(evil.Port, next); err != nil {
					l.t.Fatal(err)
				}
				p := l.owner(seg, 2, level)
				if level != policy.SecurityOff {
					evil.sendFrom(next, frame.Broadcast, "mine")
					dropped(l.t, evil.Port, drop.SpoofedMAC, 1)
				} else if err := l.sw.SetMAC(evil.Port, evil.mac); err != nil {
					l.t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				c.Frames()
				c.send(next, "for the new port")
				expect(l.t, p, "for the new port")
				expect(l.t, evil)
			})
		})
	}
}

// A running interface may change its address at a port without security.
func TestSetMACFollowsTheInterface(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		a, p, c := l.port(seg, 1), l.owner(seg, 2, policy.SecurityOff), l.port(seg, 3)
		now := switchtest.MAC(20)
		a.send(p.mac, "before")
		if err := l.sw.SetMAC(p.Port, now); err != nil {
			l.t.Fatal(err)
		}
		a.send(now, "after")
		a.send(p.mac, "to the old one")
		expect(l.t, p, "before", "after")
		expect(l.t, c)
		dropped(l.t, a.Port, drop.Unreachable, 1)

		if err := l.sw.SetMAC(p.Port, frame.Broadcast); !errors.Is(err, vswitch.ErrGroupMAC) {
			l.t.Errorf("a group address: %v, want ErrGroupMAC", err)
		}
		if err := l.sw.SetMAC(p.Port, l.owner(seg, 4, policy.SecurityStrict).mac); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("another's address: %v, want ErrInUse", err)
		}
		if err := l.sw.SetMAC(p.Port, now); err != nil { // the interface has it again
			l.t.Fatal(err)
		}
		// What limits have counted is not begun anew by it, and another policy leaves it.
		if err := p.SetPolicy(policy.Policy{MAC: p.mac, Isolated: true}); err != nil {
			l.t.Fatal(err)
		}
		if e := l.entry(seg, now); e.Port != p.Port {
			l.t.Errorf("after another policy its entry is %+v", e)
		}
		// With security the address is that of the policy, whatever the interface has.
		if err := p.SetPolicy(policy.Policy{MAC: p.mac, Security: policy.SecurityStrict}); err != nil {
			l.t.Fatal(err)
		}
		if err := l.sw.SetMAC(p.Port, switchtest.MAC(21)); err != nil {
			l.t.Fatal(err)
		}
		if e := l.entry(seg, p.mac); e.Port != p.Port || e.Kind != fdb.Own || l.entry(seg, switchtest.MAC(21)).Port != nil {
			l.t.Errorf("with security its entries are %+v", l.sw.Entries(seg))
		}
	})
}

// Whether others may use the address of a port follows its security, also where the policy
// names no address.
func TestPolicyLocksTheOwnAddress(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p, other, c := l.owner(seg, 1, policy.SecurityMACOnly), l.port(seg, 2), l.port(seg, 3)
		for round, test := range []struct {
			policy policy.Policy
			drops  uint64 // of other's frames, so far
		}{
			{policy.Policy{}, 0},
			{policy.Policy{Security: policy.SecurityMACOnly, MAC: p.mac}, 1},
			{policy.Policy{MAC: p.mac}, 1},
			{policy.Policy{Security: policy.SecurityStrict, MAC: p.mac}, 2},
		} {
			if err := p.SetPolicy(test.policy); err != nil {
				l.t.Fatal(err)
			}
			if e := l.entry(seg, p.mac); e.Port != p.Port || e.Kind != fdb.Own {
				l.t.Errorf("round %d: its entry is %+v, want its own", round, e)
			}
			other.sendFrom(p.mac, c.mac, "I am it")
			dropped(l.t, other.Port, drop.SpoofedMAC, test.drops)
		}
	})
}

// What is for a lost port is shown to nobody, and comes again once it has a device.
func TestLostPort(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2, Ageing: time.Second}, func(l *lab) {
		seg := l.segment()
		a, c := l.port(seg, 1), l.port(seg, 3)
		mac := switchtest.MAC(2)
		config := vswitch.PortConfig{Policy: policy.Policy{MAC: mac, Security: policy.SecurityMACOnly}}
		p, err := l.sw.AddPort(seg, nil, config)
		if err != nil {
			l.t.Fatal(err)
		}
		a.send(frame.Broadcast, "before its first device")
		expect(l.t, c, "before its first device")
		dropped(l.t, p, drop.PortLost, 0) // which is no loss of its
		if err := l.sw.RemoveSegment(seg); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("removing the segment of a lost port: %v, want ErrInUse", err)
		}
		for round := range uint64(3) {
			if !p.Lost() {
				l.t.Fatal("a port without a device is not lost")
			}
			a.send(mac, "to nobody")
			time.Sleep(time.Minute)
			a.send(mac, "to nobody")
			expect(l.t, c)
			dropped(l.t, p, drop.PortLost, 2*round+2)
			d := &switchtest.Device{}
			d.Send(switchtest.Frame(c.mac, mac, "waited")) // before anybody reads
			if err := l.sw.Attach(p, d); err != nil {
				l.t.Fatal(err)
			}
			synctest.Wait()
			a.send(mac, "back")
			expect(l.t, &port{d, p, mac}, "back")
			expect(l.t, c, "waited")
			if err := l.sw.Attach(p, &switchtest.Device{}); !errors.Is(err, vswitch.ErrInUse) {
				l.t.Errorf("a second device: %v, want ErrInUse", err)
			}
			if round == 0 {
				d.Break()
				synctest.Wait()
				a.send(mac, "to a device that is gone")
				dropped(l.t, p, drop.PortLost, 3)
				l.sw.Detach(p)
				p.SetDown(true)
				p.SetDown(false)
				if _, err := l.sw.AddPort(seg, nil, config); err == nil {
					l.t.Error("another port took a lost port's address")
				}
				l.sw.RemovePort(p)
				if p, err = l.sw.AddPort(seg, nil, config); err != nil {
					l.t.Fatal(err)
				}
				l.sw.Detach(p)
				a.send(mac, "to nobody")
				a.send(mac, "to nobody")
				continue
			}
			l.sw.Detach(p)
			calls := d.Calls()
			d.Send(switchtest.Frame(c.mac, mac, "too late"))
			synctest.Wait()
			if d.Calls() != calls {
				l.t.Error("a device that was detached is used")
			}
		}
		if c := p.Counters(); c.TxFrames != 2 || c.RxFrames != 2 {
			l.t.Errorf("counted %+v over two devices, want 2 frames each way", c)
		}
	})
}

// A frame that a receiver takes for untagged is judged as one.
func TestPriorityTags(t *testing.T) {
	gateway := host1.Gateway
	claim := host1.ARP(frame.ARPReply, host1.MAC, gateway, host1.Other)
	packet := host1.IPv4(host1.IP, frame.ProtoTCP, switchtest.Ports(1, 80)...)
	const vlan, service = switchtest.Dot1Q, switchtest.Dot1AD
	for name, tags := range map[string][]uint32{
		"none": nil, "one": {vlan}, "service": {service}, "with priority": {vlan | 0xe000},
		"two": {vlan, vlan}, "mixed": {vlan, service, service, vlan},
	} {
		t.Run(name, func(t *testing.T) {
			atEachLevel(t, func(t *testing.T, level policy.Security) {
				inLab(t, vswitch.Options{}, func(l *lab) {
					seg := l.segmentWith(vswitch.SegmentConfig{Gateway: gateway})
					other := l.port(seg, 2)
					p := l.portWith(seg, 1, vswitch.PortConfig{Policy: policy1(level)})
					p.Send(switchtest.Tagged(claim, tags...))
					p.Send(switchtest.Tagged(packet, tags...))
					synctest.Wait()
					if n := len(other.Frames()); n != 1 {
						l.t.Errorf("level %d: %d frames came through, want the packet and not the claim", level, n)
					}
					dropped(l.t, p.Port, drop.SpoofedGateway, 1)
				})
			})
		})
	}
}
