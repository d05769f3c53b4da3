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

// TestPortOfRefusedFramesRests: beyond a bound the frames wait in the device, and
// are looked at by and by. Neighbours and what else the port sends suffer no loss.
func TestPortOfRefusedFramesRests(t *testing.T) {
	const (
		atOnce    = 20000 // and as many in a second
		flood     = 60000
		tolerance = 100 // a burst, and what time has passed
	)
	inLab(t, vswitch.Options{Workers: 1}, func(l *lab) {
		seg := l.segment()
		evil := l.portWith(seg, 1, vswitch.PortConfig{Policy: policy.Policy{Security: policy.SecurityMACOnly, MAC: switchtest.MAC(1)}})
		a, b := l.port(seg, 2), l.port(seg, 3)
		teach(evil, a, b)
		for range flood {
			evil.Send(switchtest.Frame(a.mac, switchtest.MAC(9), "spoofed"))
		}
		evil.Send(switchtest.Frame(a.mac, evil.mac, "honest"))
		synctest.Wait()
		within := func(want uint64) {
			t.Helper()
			synctest.Wait()
			if got := evil.Counters().Drops[drop.SpoofedMAC]; got < want-tolerance || got > want+tolerance {
				t.Errorf("%d frames were looked at, want about %d", got, want)
			}
		}
		within(atOnce)
		a.send(b.mac, "beside it")
		expect(t, b, "beside it")
		time.Sleep(time.Second)
		within(2 * atOnce)
		time.Sleep(time.Second + 10*time.Millisecond)
		expect(t, a, "honest")
		dropped(t, evil.Port, drop.SpoofedMAC, flood)
		balanced(t, evil.Port)
		// It has rested, and what it may send is carried at once.
		evil.send(b.mac, "later")
		expect(t, b, "later")
	})
}

// TestSenderToABusyPortDoesNotRest: that its frames find no room is not its fault.
func TestSenderToABusyPortDoesNotRest(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 1}, func(l *lab) {
		p := l.ports(l.segment(), 3)
		teach(p...)
		p[1].Refuse(frame.Again)
		const frames = 60000 // three times what may be refused at once
		for range frames {
			p[0].Send(switchtest.Frame(p[1].mac, p[0].mac, "no room"))
		}
		p[0].send(p[2].mac, "for another")
		expect(l.t, p[2], "for another")
		dropped(l.t, p[1].Port, drop.QueueFull, frames)
		balanced(l.t, p[0].Port)
	})
}

// TestRestingPortMayEnd: a port that rests can be removed, and its device can end.
func TestRestingPortMayEnd(t *testing.T) {
	for name, end := range map[string]func(*lab, *port){
		"removed": func(l *lab, p *port) { l.sw.RemovePort(p.Port) },
		"broken":  func(_ *lab, p *port) { p.Break() },
	} {
		t.Run(name, func(t *testing.T) {
			gone := 0
			inLab(t, vswitch.Options{Workers: 1, OnGone: func(*vswitch.Port) { gone++ }}, func(l *lab) {
				seg := l.segment()
				evil, a, b := l.port(seg, 1), l.port(seg, 2), l.port(seg, 3)
				teach(a, b)
				for i := range 40000 {
					evil.Send(switchtest.Frame(evil.mac, evil.mac, fmt.Sprint(i))) // comes back to where it was
				}
				synctest.Wait()
				end(l, evil)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if want := map[string]int{"removed": 0, "broken": 1}[name]; gone != want {
					t.Errorf("the end of %d devices was told, want %d", gone, want)
				}
				a.send(b.mac, "goes on")
				expect(t, b, "goes on")
			})
		})
	}
}

// TestHostDoesNotRest: what it sends in vain keeps nobody else's traffic waiting.
func TestHostDoesNotRest(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 1}, func(l *lab) {
		host, p := l.withHost(&responder{}, &hostFilter{from: drop.None}, 1)
		teach(p...)
		for range 40000 {
			host.Send(switchtest.Frame(p[0].mac, switchtest.MAC(9), "bridged"))
		}
		host.send(p[0].mac, "honest")
		expect(t, p[0], "honest")
		dropped(t, host.Port, drop.SpoofedMAC, 40000)
	})
}

// TestPortWhoseDeviceFailsRests: a device of which every read fails for ever does not have the
// worker read it in a circle. What it loses is counted, and it is read again when it works.
func TestPortWhoseDeviceFailsRests(t *testing.T) {
	const perSecond, atOnce, burst = 20000, 20000, 32
	for name, ports := range map[string]func(l *lab) (bad, a, b *port){
		"a container's": func(l *lab) (bad, a, b *port) {
			p := l.ports(l.segment(), 3)
			return p[0], p[1], p[2]
		},
		"the host's": func(l *lab) (bad, a, b *port) {
			r := &responder{response: vswitch.Response{Action: vswitch.Pass}}
			host, p := l.withHost(r, &hostFilter{from: drop.None}, 2)
			return host, p[0], p[1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, vswitch.Options{Workers: 1}, func(l *lab) {
				bad, a, b := ports(l)
				teach(a, b)
				bad.FailReads(true)
				synctest.Wait()
				a.send(b.mac, "beside it")
				expect(t, b, "beside it")
				time.Sleep(10 * time.Second)
				synctest.Wait()
				lost := bad.Counters().Drops[drop.BadVirtioHeader]
				if most := uint64(atOnce + 10*perSecond + burst); lost < burst || lost > most {
					t.Errorf("%d frames were lost in 10 s, want %d to %d", lost, burst, most)
				}
				bad.FailReads(false)
				time.Sleep(time.Second)
				bad.send(a.mac, "again")
				expect(t, a, "again")
				balanced(t, bad.Port)
			})
		})
	}
}
