package vswitch_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
	"vswitch/test/lab/seed"
)

// stress is traffic and changes at the same time. Ports 0 and 1 of each segment
// stay; others come and go.
type stress struct {
	*lab
	segments []*vswitch.Segment
	stay     []*port
	stop     atomic.Bool
	running  sync.WaitGroup

	mu      sync.Mutex
	removed []*removedPort
}

type removedPort struct {
	*port
	calls int // of its device, when RemovePort had returned
}

const stressStations = 5

func (s *stress) traffic(rng *rand.Rand, p *port) {
	for range 1500 {
		p.Send(randomFrame(rng, 1+rng.IntN(stressStations), stressStations))
	}
}

// comeAndGo adds a port, sends from it, and removes it in the middle of that.
func (s *stress) comeAndGo(rng *rand.Rand) {
	for !s.stop.Load() {
		d := &switchtest.Device{}
		p, err := s.sw.AddPort(s.segments[rng.IntN(len(s.segments))], d, vswitch.PortConfig{Name: "guest"})
		if err != nil {
			s.t.Error(err)
			return
		}
		guest := &removedPort{port: &port{d, p, switchtest.MAC(3)}}
		for range 100 {
			d.Send(randomFrame(rng, 3, stressStations))
		}
		_ = s.sw.AddEntry(p, switchtest.MAC(20+rng.IntN(3)))
		if rng.IntN(3) == 0 {
			d.Break()
		}
		s.sw.RemovePort(p)
		guest.calls = d.Calls()
		d.Send(switchtest.Frame(frame.Broadcast, guest.mac, "too late"))
		s.mu.Lock()
		s.removed = append(s.removed, guest)
		s.mu.Unlock()
	}
}

func (s *stress) control(rng *rand.Rand) {
	for !s.stop.Load() {
		seg, p := s.segments[rng.IntN(len(s.segments))], s.stay[rng.IntN(len(s.stay))]
		switch rng.IntN(9) {
		case 0:
			s.sw.Flush(seg, nil)
		case 1:
			s.sw.Flush(p.Segment(), p.Port)
		case 2:
			if err := s.sw.AddEntry(p.Port, switchtest.MAC(30+rng.IntN(5))); err != nil {
				s.t.Error(err)
			}
		case 3:
			_ = s.sw.RemoveEntry(seg, switchtest.MAC(30+rng.IntN(5)))
		case 4:
			for _, e := range s.sw.Entries(seg) {
				if e.Port.Segment() != seg {
					s.t.Errorf("%s of one segment stands at a port of another", e.MAC)
				}
			}
		case 5:
			s.sw.Announce(p.Port, switchtest.Frame(frame.Broadcast, p.mac, ""))
		case 7:
			if err := p.SetPolicy(randomPolicy(rng, p)); err != nil {
				s.t.Error(err)
			}
		case 8:
			rules := make([]vswitch.Rule, rng.IntN(3))
			for i := range rules {
				rules[i].Action = policy.Action(rng.IntN(2))
				if p.Segment() == seg {
					rules[i].From = ports(p)
				}
			}
			if err := seg.SetRules(rules); err != nil {
				s.t.Error(err)
			}
			seg.RuleHits()
		case 6:
			p.SetDown(!p.Gateway() && rng.IntN(2) == 0)
			p.Counters()
		}
	}
}

// randomPolicy is any of those that make a difference to p's frames.
func randomPolicy(rng *rand.Rand, p *port) policy.Policy {
	c := policy.Policy{
		Security: policy.Security(rng.IntN(3)), MAC: p.mac, Isolated: rng.IntN(2) == 0,
		MACLimit: rng.IntN(4) - 1, FloodLimit: rng.IntN(3) - 1,
	}
	if rng.IntN(4) == 0 {
		c.RateIn, c.RateOut = testRate, testRate
	}
	return c
}

// TestStress: whatever happens at the same time, at rest each port's frames are
// all accounted for, and a removed port's device was not touched.
func TestStress(t *testing.T) {
	o := vswitch.Options{Workers: 3, Capacity: 50, Ageing: time.Second, OnViolation: func(vswitch.Violation) {}}
	inLab(t, o, func(l *lab) {
		s := &stress{lab: l}
		r := &responder{response: vswitch.Response{Action: vswitch.Answered}}
		var gateways []*vswitch.Port
		for range 3 {
			gw, p := l.withGateway(r, 2)
			s.segments, s.stay, gateways = append(s.segments, gw.Segment()), append(s.stay, p...), append(gateways, gw)
		}
		for range 2 {
			guests, changes := seed.New(l.t), seed.New(l.t)
			s.running.Go(func() { s.comeAndGo(guests) })
			s.running.Go(func() { s.control(changes) })
		}
		var senders sync.WaitGroup
		for _, p := range s.stay {
			mix := seed.New(l.t)
			senders.Go(func() { s.traffic(mix, p) })
		}
		senders.Wait()
		s.stop.Store(true)
		s.running.Wait()
		time.Sleep(time.Minute) // in which all have their turn that wait for a rate
		synctest.Wait()
		for _, p := range s.stay {
			balanced(l.t, p.Port)
			if c := p.Counters(); c.RxFrames != 1500 || c.TxFrames != uint64(len(p.Frames())) {
				l.t.Errorf("%d frames were read, want all of 1500: %+v", c.RxFrames, c)
			}
		}
		for _, gw := range gateways {
			balanced(l.t, gw)
		}
		for _, p := range s.removed {
			balanced(l.t, p.Port)
			if p.Calls() != p.calls {
				l.t.Errorf("the device of a removed port was called %d times after it was removed", p.Calls()-p.calls)
			}
			if c := p.Counters(); c.TxFrames != uint64(len(p.Frames())) {
				l.t.Errorf("a removed port has counted %d frames to it, but its device did not take as many", c.TxFrames)
			}
		}
	})
}
