package vswitch_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// TestStaticEntryStaysWhenAnInterfaceTakesItsAddress: an entry set by hand does not move,
// whatever address an interface elsewhere has.
func TestStaticEntryStaysWhenAnInterfaceTakesItsAddress(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		a, p, q := l.port(seg, 1), l.owner(seg, 2, policy.SecurityOff), l.owner(seg, 3, policy.SecurityOff)
		static := frame.MAC{2, 0, 0, 0, 0x55, 1}
		if err := l.sw.AddEntry(q.Port, static); err != nil {
			l.t.Fatal(err)
		}
		if err := l.sw.SetMAC(p.Port, static); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("SetMAC to an address with a static entry elsewhere: %v, want ErrInUse", err)
		}
		a.send(static, "by hand")
		expect(l.t, q, "by hand")
		expect(l.t, p)
		if e := l.entry(seg, static); e.Kind != fdb.Static || e.Port != q.Port {
			l.t.Errorf("its entry is %+v, want the static one", e)
		}
		if err := l.sw.RemoveEntry(seg, static); err != nil {
			l.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if e := l.entry(seg, static); e.Kind != fdb.Own || e.Port != p.Port {
			l.t.Errorf("once the static entry is gone it is %+v, want the interface's own", e)
		}
	})
}

// TestOwnAddressComesBackWhenTheOtherPortIsGone: the address of a port without security
// that has moved to another port is the port's own again when that one ends, and not
// unreachable for the ageing time.
func TestOwnAddressComesBackWhenTheOtherPortIsGone(t *testing.T) {
	for name, end := range map[string]func(*vswitch.Switch, *vswitch.Port){
		"removed": (*vswitch.Switch).RemovePort, "lost": (*vswitch.Switch).Detach,
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, vswitch.Options{}, func(l *lab) {
				seg := l.segment()
				p, other, c := l.owner(seg, 1, policy.SecurityOff), l.port(seg, 2), l.port(seg, 3)
				other.sendFrom(p.mac, frame.Broadcast, "")
				p.Frames()
				c.Frames()
				end(l.sw, other.Port)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				c.send(p.mac, "after its end")
				expect(l.t, p, "after its end")
				if e := l.entry(seg, p.mac); e.Kind != fdb.Own || e.Port != p.Port {
					l.t.Errorf("its entry is %+v, want its own", e)
				}
			})
		})
	}
}

// TestPortsExchangeTheirAddresses: each address is then the own one of the port whose
// interface has it, however long that is silent.
func TestPortsExchangeTheirAddresses(t *testing.T) {
	inLab(t, vswitch.Options{Ageing: time.Second}, func(l *lab) {
		seg := l.segment()
		a, p, q := l.port(seg, 1), l.owner(seg, 2, policy.SecurityOff), l.owner(seg, 3, policy.SecurityOff)
		if err := l.sw.SetMAC(p.Port, q.mac); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("an address that is still another's own: %v, want ErrInUse", err)
		}
		if err := l.sw.SetMAC(q.Port, p.mac); err != nil {
			l.t.Errorf("an address that its port no longer has: %v", err)
		}
		for range 3 {
			time.Sleep(5 * time.Second)
			a.send(q.mac, "to p")
			a.send(p.mac, "to q")
			expect(l.t, p, "to p")
			expect(l.t, q, "to q")
		}
		// Another policy of such a port is no reason to refuse.
		if err := p.SetPolicy(policy.Policy{MAC: p.mac, Isolated: true}); err != nil {
			l.t.Error(err)
		}
		if e := l.entry(seg, q.mac); e.Kind != fdb.Own || e.Port != p.Port {
			l.t.Errorf("after another policy the entry is %+v, want the first port's own", e)
		}
	})
}
