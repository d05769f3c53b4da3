package vswitch_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// loopLab is a segment whose ports 1 and 2 a container bridges, beside station 0.
type loopLab struct {
	*lab
	seg *vswitch.Segment
	p   []*port
	mu  sync.Mutex
	all []*vswitch.Port
}

// held is which ports were held down, in this order.
func (l *loopLab) held() []*vswitch.Port {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func inLoop(t *testing.T, o vswitch.Options, f func(l *loopLab)) {
	t.Helper()
	var l loopLab
	o.OnLoop = func(p *vswitch.Port, disabled bool) {
		if !disabled {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, p)
	}
	inLab(t, o, func(inner *lab) {
		l.lab, l.seg = inner, inner.segment()
		for n := range 3 {
			l.p = append(l.p, l.portWith(l.seg, n+1, limited(policy.Policy{FloodLimit: -1})))
		}
		f(&l)
	})
}

func TestLoopIsCut(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			inLoop(t, vswitch.Options{Workers: workers}, func(l *loopLab) {
				// With more workers it depends on how they are scheduled how often the
				// address moves for how many copies.
				cutLoop(l, workers == 1)
			})
		})
	}
}

func cutLoop(l *loopLab, counted bool) {
	p := l.p
	other := l.ports(l.segment(), 2)
	p[1].Bridge(p[2].Device)
	p[0].send(frame.Broadcast, "storm") // returns when the storm has ended
	if len(l.held()) != 1 || l.held()[0] == p[0].Port || !l.held()[0].ErrDisabled() {
		l.t.Fatalf("held down %v, want one of the two ports that are bridged", l.held())
	}
	if n := len(p[0].Frames()); counted && n > 3*vswitch.DefaultLoopMoves {
		l.t.Errorf("%d copies came back to the sender before the loop was cut", n)
	}
	p[0].send(frame.Broadcast, "again")
	if n := len(p[0].Frames()); n != 0 {
		l.t.Errorf("%d copies came back to the sender after the loop was cut", n)
	}
	other[0].send(frame.Broadcast, "elsewhere")
	expect(l.t, other[1], "elsewhere")

	held, up := p[1], p[2]
	if l.held()[0] == p[2].Port {
		held, up = p[2], p[1]
	}
	held.Frames()
	up.Frames()
	before := held.Counters()
	held.Send(switchtest.Frame(frame.Broadcast, held.mac, "from it"))
	p[0].send(held.mac, "to the container")
	expect(l.t, up, "to the container")
	expect(l.t, held)
	// The container has sent back through it what came to the other port.
	c := held.Counters()
	if c.Drops[drop.Loop] != before.Drops[drop.Loop]+2 || c.Drops[drop.HeldDown] != before.Drops[drop.HeldDown]+1 {
		l.t.Errorf("the port that is held down counted %+v", c)
	}
	for _, e := range l.sw.Entries(l.seg) {
		if e.Port == held.Port {
			l.t.Errorf("%s is still known at the port that is held down", e.MAC)
		}
	}
	time.Sleep(vswitch.DefaultLoopHold - time.Millisecond)
	if !held.ErrDisabled() {
		l.t.Error("the port is up before its time")
	}
	time.Sleep(2 * time.Millisecond)
	if held.ErrDisabled() {
		l.t.Error("the port is not up again after its time")
	}
	p[0].send(frame.Broadcast, "storm again")
	if len(l.held()) != 2 {
		l.t.Errorf("held down %d times, want once more", len(l.held()))
	}
	for _, q := range p {
		balanced(l.t, q.Port)
	}
}

// TestFloodLimitBoundsALoop that goes round in one direction, in which no address
// moves.
func TestFloodLimitBoundsALoop(t *testing.T) {
	inLoop(t, vswitch.Options{LoopMoves: -1}, func(l *loopLab) {
		for _, q := range l.p {
			if err := q.SetPolicy(policy.Policy{FloodLimit: 50}); err != nil {
				l.t.Fatal(err)
			}
		}
		l.p[1].Bridge(l.p[2].Device)
		l.p[0].send(frame.Broadcast, "storm")
		if n := len(l.p[0].Frames()); n != 2*50 {
			l.t.Errorf("%d copies came back to the sender, want the 50 that each of the bridged ports may flood", n)
		}
		for _, q := range l.p {
			balanced(l.t, q.Port)
		}
	})
}

// TestStationThatIsCopiedGoesOn while the port that sends with its address is held
// down, however the second is cut.
func TestStationThatIsCopiedGoesOn(t *testing.T) {
	for _, moves := range []int{10, 11} { // the one too many is the copyist's, or the station's
		t.Run(fmt.Sprint(moves, " moves"), func(t *testing.T) { testCopied(t, moves) })
	}
}

func testCopied(t *testing.T, moves int) {
	inLoop(t, vswitch.Options{LoopMoves: moves, LoopHold: time.Minute}, func(l *loopLab) {
		teach(l.p...)
		station, copyist := l.p[0], l.p[1]
		for range 100 {
			copyist.sendFrom(station.mac, frame.Broadcast, "I am you")
			time.Sleep(10 * time.Millisecond)
			station.send(frame.Broadcast, "no")
			time.Sleep(10 * time.Millisecond)
		}
		if len(l.held()) != 1 || l.held()[0] != copyist.Port || station.ErrDisabled() {
			l.t.Errorf("held down %v, want the copyist", l.held())
		}
		if l.addresses(l.seg)[station.mac] != station.Port {
			l.t.Error("the station is not found where it is")
		}
		if l.addresses(l.seg)[copyist.mac] != nil {
			l.t.Error("the copyist's own address still stands at the port that is held down, where it cannot be reached")
		}
		time.Sleep(time.Minute)
		if copyist.ErrDisabled() {
			l.t.Error("the copyist is held for longer than a minute")
		}
	})
}

// TestReflectedStaticAddress does not move, but comes back all the same.
func TestReflectedStaticAddress(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		p := l.p
		if err := l.sw.AddEntry(p[0].Port, p[0].mac); err != nil {
			l.t.Fatal(err)
		}
		p[1].Bridge(p[2].Device)
		p[0].send(frame.Broadcast, "storm")
		if len(l.held()) == 0 || p[0].ErrDisabled() {
			l.t.Errorf("held down %v, want one of the bridged ports", l.held())
		}
	})
}

func TestFewMovesAreNoLoop(t *testing.T) {
	for name, test := range map[string]struct {
		o     vswitch.Options
		moves int
		pause time.Duration
		held  int
	}{
		"as many as may be":    {vswitch.Options{LoopMoves: 20}, 20, 0, 0},
		"one more":             {vswitch.Options{LoopMoves: 20}, 21, 0, 1},
		"many, but slow":       {vswitch.Options{LoopMoves: 20}, 500, 51 * time.Millisecond, 0},
		"guard is off":         {vswitch.Options{LoopMoves: -1}, 5000, 0, 0},
		"as many as the limit": {vswitch.Options{LoopMoves: 2000}, 2000, 0, 0},
		"one more than that":   {vswitch.Options{LoopMoves: 2000}, 2001, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inLoop(t, test.o, func(l *loopLab) {
				teach(l.p[0])
				for i := range test.moves {
					l.p[1+i%2].sendFrom(l.p[0].mac, frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, "")
					time.Sleep(test.pause)
				}
				if len(l.held()) != test.held {
					l.t.Errorf("%d ports were held down, want %d", len(l.held()), test.held)
				}
			})
		})
	}
}

// TestStaticEntryIsNoMove: a host whose address has a static entry at another port, and
// that talks to two others fast, is no loop.
func TestStaticEntryIsNoMove(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		teach(l.p[1:]...)
		host := l.p[0]
		if err := l.sw.AddEntry(l.p[1].Port, host.mac); err != nil {
			l.t.Fatal(err)
		}
		for i := range 1000 {
			host.send(l.p[1+i%2].mac, "to two in turn")
		}
		if n := len(l.held()); n != 0 || host.ErrDisabled() {
			l.t.Errorf("%d ports are err-disabled, want none", n)
		}
		if c := host.Counters(); c.Forwarded != 1000 {
			l.t.Errorf("counted %+v, want all frames forwarded", c)
		}
	})
}

// TestSecurePortIsNotHeldDown for what another sends with its address.
func TestSecurePortIsNotHeldDown(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		teach(l.p[1]) // the copyist has come first
		secure := l.p[0]
		if err := secure.SetPolicy(policy.Policy{Security: policy.SecurityMACOnly, MAC: secure.mac}); err != nil {
			l.t.Fatal(err)
		}
		for range 1000 {
			l.p[1].sendFrom(secure.mac, frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, "")
			secure.send(frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, "")
		}
		if secure.ErrDisabled() {
			l.t.Error("a port that sends its own address only is held down")
		}
	})
}

func TestLoopOptionErrors(t *testing.T) {
	t.Parallel()
	for _, o := range []vswitch.Options{{LoopMoves: 2001}, {LoopHold: -1}} {
		o.NewPoller = switchtest.NewPoller
		if sw, err := vswitch.New(o); err == nil {
			sw.Close()
			t.Errorf("a switch with %d moves and hold %v, want an error", o.LoopMoves, o.LoopHold)
		}
	}
}

// TestRemovedPortMayBeHeld until its time is over, without harm to its heir.
func TestRemovedPortMayBeHeld(t *testing.T) {
	inLoop(t, vswitch.Options{}, func(l *loopLab) {
		l.p[1].Bridge(l.p[2].Device)
		l.p[0].send(frame.Broadcast, "storm")
		for _, q := range l.p[1:] {
			l.sw.RemovePort(q.Port)
		}
		heirs := []*port{l.port(l.seg, 5), l.port(l.seg, 6)}
		l.p[0].send(frame.Broadcast, "all")
		for _, heir := range heirs {
			expect(l.t, heir, "all")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}
