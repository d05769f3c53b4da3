package vswitch_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// hooked is a [vswitch.Poller] that asks the test before some of its methods.
type hooked struct {
	vswitch.Poller
	add     func(slot uint32, watch bool) error // nil: not asked
	receive func(slot uint32) bool              // reports that nothing can be read now; or nil
	read    map[uint32]int                      // frames, by slot
}

func (p *hooked) Add(slot uint32, dev vswitch.Device, watch bool) error {
	if p.add != nil {
		if err := p.add(slot, watch); err != nil {
			return err
		}
	}
	return p.Poller.Add(slot, dev, watch)
}

func (p *hooked) Receive(slot uint32, bufs [][]byte) (int, frame.Status) {
	if p.receive != nil && p.receive(slot) {
		return 0, frame.OK
	}
	n, status := p.Poller.Receive(slot, bufs)
	p.read[slot] += n
	return n, status
}

// hookedBy makes pollers that h is asked for.
func hookedBy(h func(p *hooked)) func() (vswitch.Poller, error) {
	return func() (vswitch.Poller, error) {
		inner, err := switchtest.NewPoller()
		p := &hooked{Poller: inner, read: map[uint32]int{}}
		h(p)
		return p, err
	}
}

// TestAttachedPortIsReadLast: what the first frame from a new device is answered by, over
// another worker, must find the way back.
func TestAttachedPortIsReadLast(t *testing.T) {
	var lost *vswitch.Port
	add := func(slot uint32, watch bool) error {
		if !watch {
			time.Sleep(time.Millisecond) // all that is under way comes to its end meanwhile
		} else if lost != nil && lost.Slot() == slot && lost.Lost() {
			t.Error("the port is read while what is for it would be dropped as port-lost")
		}
		return nil
	}
	o := vswitch.Options{Workers: 3, NewPoller: hookedBy(func(p *hooked) { p.add = add })}
	inLab(t, o, func(l *lab) {
		seg := l.segment()
		peers := []*port{l.port(seg, 1), l.port(seg, 2)}
		p, err := l.sw.AddPort(seg, nil, limited(policy.Policy{MAC: switchtest.MAC(3)}))
		if err != nil {
			l.t.Fatal(err)
		}
		for _, q := range peers { // each at another worker, and both others than p's
			q.Relay(func(eth []byte) {
				if frame.Ethernet(eth).Src() == switchtest.MAC(3) {
					q.Send(switchtest.Frame(switchtest.MAC(3), q.mac, "answer"))
				}
			})
		}
		d := &switchtest.Device{}
		d.Send(switchtest.Frame(frame.Broadcast, switchtest.MAC(3), "question"))
		lost = p
		if err := l.sw.Attach(p, d); err != nil {
			l.t.Fatal(err)
		}
		synctest.Wait()
		expect(l.t, &port{d, p, switchtest.MAC(3)}, "answer", "answer")
		dropped(l.t, p, drop.None, 0)
	})
}

// TestAttachThatFailsLeavesThePortLost, whichever worker it fails at.
func TestAttachThatFailsLeavesThePortLost(t *testing.T) {
	for name, at := range map[string]bool{"its own worker": true, "another worker": false} {
		t.Run(name, func(t *testing.T) {
			fails := false
			o := vswitch.Options{Workers: 2, NewPoller: hookedBy(func(p *hooked) {
				p.add = func(_ uint32, watch bool) error {
					if fails && watch == at {
						return errWatch
					}
					return nil
				}
			})}
			inLab(t, o, func(l *lab) {
				seg := l.segment()
				a, mac := l.port(seg, 1), switchtest.MAC(2)
				p, err := l.sw.AddPort(seg, nil, limited(policy.Policy{MAC: mac}))
				if err != nil {
					l.t.Fatal(err)
				}
				bad, good := &switchtest.Device{}, &switchtest.Device{}
				fails = true
				if err := l.sw.Attach(p, bad); !errors.Is(err, errWatch) {
					l.t.Errorf("attach: %v, want the poller's error", err)
				}
				fails = false
				a.send(mac, "to nobody")
				if dropped(l.t, p, drop.PortLost, 1); !p.Lost() {
					l.t.Error("the port is not lost")
				}
				if err := l.sw.Attach(p, good); err != nil {
					l.t.Fatalf("another device: %v", err)
				}
				a.send(mac, "to the other")
				expect(l.t, &port{good, p, mac}, "to the other")
				if bad.Calls() != 0 {
					l.t.Error("the device that could not be attached was used")
				}
			})
		})
	}
}

// TestDeviceThatGivesNothingLetsOthersGoOn: a poller that could read nothing just now, and
// may soon, does not end its port's turn for good, nor keep others from theirs.
func TestDeviceThatGivesNothingLetsOthersGoOn(t *testing.T) {
	const slot, patience = 1, 1000
	asked := 0
	o := vswitch.Options{Workers: 1, Held: true, NewPoller: hookedBy(func(p *hooked) {
		p.receive = func(s uint32) bool {
			if s != slot || p.read[slot+1] > 0 || asked == patience {
				return false
			}
			asked++
			return true
		}
	})}
	inLab(t, o, func(l *lab) {
		p := l.ports(l.segment(), 3)
		if p[0].Slot() != slot || p[1].Slot() != slot+1 {
			l.t.Fatalf("the ports have the slots %d and %d", p[0].Slot(), p[1].Slot())
		}
		p[0].send(frame.Broadcast, "first") // whose turn it is, which is in vain
		p[1].send(frame.Broadcast, "second")
		l.sw.Release()
		synctest.Wait()
		expect(l.t, p[2], "second", "first")
		if asked != 1 {
			l.t.Errorf("the device was asked %d times in vain, want once", asked)
		}
	})
}

// TestPortRemovedWhileItIsReadLeavesNothing: no frame of its own comes in when its entries
// have ended, or the next port with its slot would get what is for its addresses.
func TestPortRemovedWhileItIsReadLeavesNothing(t *testing.T) {
	const slot, frames = 2, 1000
	o := vswitch.Options{Workers: 2, NewPoller: hookedBy(func(p *hooked) {
		p.receive = func(s uint32) bool {
			if s == slot {
				time.Sleep(time.Millisecond) // for the test to go on in the middle
			}
			return false
		}
	})}
	inLab(t, o, func(l *lab) {
		seg := l.segment()
		a, p := l.port(seg, 1), l.portWith(seg, 2, limited(policy.Policy{MACLimit: -1}))
		for i := range frames {
			p.Send(switchtest.Frame(a.mac, switchtest.MAC(100+i), ""))
		}
		time.Sleep(4500 * time.Microsecond)
		synctest.Wait() // a worker is about to read more
		read := p.Counters().RxFrames
		l.sw.RemovePort(p.Port)
		if c := p.Counters(); c.RxFrames == read || c.RxFrames == frames {
			l.t.Fatalf("%d frames were read before the port was removed and %d after; want more, not all",
				read, c.RxFrames)
		}
		heir := l.port(seg, 3)
		if heir.Slot() != p.Slot() {
			l.t.Fatalf("the next port has the slot %d, want %d", heir.Slot(), p.Slot())
		}
		for _, e := range l.sw.Entries(seg) {
			if e.Port == heir.Port {
				l.t.Fatalf("%s is at the next port, which has sent nothing", e.MAC)
			}
		}
	})
}

// TestAttachAllGivesEachItsDeviceOrItsError: what fails for one port leaves the others alone.
func TestAttachAllGivesEachItsDeviceOrItsError(t *testing.T) {
	var broken uint32
	o := vswitch.Options{Workers: 2, NewPoller: hookedBy(func(p *hooked) {
		p.add = func(slot uint32, _ bool) error {
			if slot == broken {
				return errWatch
			}
			return nil
		}
	})}
	inLab(t, o, func(l *lab) {
		seg := l.segment()
		list := make([]vswitch.Attachment, 40)
		for i := range list {
			p, err := l.sw.AddPort(seg, nil, limited(policy.Policy{MAC: switchtest.MAC(i + 1)}))
			if err != nil {
				l.t.Fatal(err)
			}
			list[i] = vswitch.Attachment{Port: p, Device: &switchtest.Device{}}
		}
		broken = list[3].Port.Slot()
		l.sw.RemovePort(list[5].Port)
		twice := vswitch.Attachment{Port: list[7].Port, Device: &switchtest.Device{}}
		list = append(list, twice)
		l.sw.AttachAll(list)
		wanted := map[int]error{3: errWatch, 40: vswitch.ErrInUse}
		for i, a := range list {
			if failed := a.Err != nil; failed != (wanted[i] != nil || i == 5) {
				l.t.Errorf("attachment %d: %v", i, a.Err)
			} else if wanted[i] != nil && !errors.Is(a.Err, wanted[i]) {
				l.t.Errorf("attachment %d: %v, want %v", i, a.Err, wanted[i])
			}
		}
		from := list[0].Device.(*switchtest.Device)
		from.Send(switchtest.Frame(frame.Broadcast, switchtest.MAC(1), "all"))
		synctest.Wait()
		for i, a := range list[1:40] {
			q := &port{a.Device.(*switchtest.Device), a.Port, switchtest.MAC(i + 2)}
			if i+1 == 3 || i+1 == 5 {
				expect(l.t, q)
			} else {
				expect(l.t, q, "all")
			}
		}
	})
}
