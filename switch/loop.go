package vswitch

import (
	"time"

	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// Defaults of loop detection.
const (
	DefaultLoopMoves = 100 // moves of one address per second that are still no loop
	DefaultLoopHold  = 10 * time.Second
)

// loopGuard is what a worker does about loops: it counts addresses that come and go
// ([policy.Flaps]) and sends probes (loop_probe.go). A port at which one is found is
// err-disabled: it sends and receives nothing for a while, which cuts the circle.
type loopGuard struct {
	moves  uint32 // per second; 0: no loop is looked for
	hold   time.Duration
	onLoop func(p *Port, disabled bool)
}

// moved notes that the source address of a frame from p was at another port before, and
// says whether p is err-disabled for it. A port with security is not: it sends nobody's
// address but its own.
func (w *worker) moved(p *Port, g *policy.Guard, key uint64, before fdb.Value) bool {
	if w.loop.moves == 0 || g.Security != policy.SecurityOff {
		return false
	}
	now := uint32(w.clock() / (policy.TicksPerSecond / policy.FlapsPerSecond))
	if !p.segment.flaps.Move(key, uint32(before.Place()), p.slot, now, w.loop.moves) {
		return false
	}
	w.errDisable(p)
	return true
}

// errDisable stops p for a while.
func (w *worker) errDisable(p *Port) {
	if p.state.Or(stateErrDisabled)&stateErrDisabled == 0 {
		go w.errDisabled(p)
	}
}

// errDisabled does what is left to do when a port is err-disabled: the addresses learned
// there are forgotten, so that hosts are found where else they are, and it goes up again
// after its time.
func (w *worker) errDisabled(p *Port) {
	w.table.Remove(func(_ uint64, v fdb.Value) bool { return v.Kind() == fdb.Learned && v.Place() == p.place() })
	time.AfterFunc(w.loop.hold, func() {
		p.setState(stateErrDisabled, false)
		w.loop.onLoop(p, false)
	})
	w.loop.onLoop(p, true)
}
