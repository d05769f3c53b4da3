package vswitch

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"vswitch/switch/policy"
)

// Defaults of [Options].
const (
	DefaultAgeing   = 300 * time.Second // as IEEE 802.1Q-2022 §8.8.3 and the kernel bridge
	DefaultSpin     = 50 * time.Microsecond
	DefaultCapacity = 65536
)

// Options configure a switch.
type Options struct {
	// Held has the switch read no port until Release, so that ports which are added
	// one after another begin together: what the first sends finds the last.
	Held      bool
	NewPoller func() (Poller, error) // called once for each worker, in its thread
	Workers   int                    // threads that carry frames; 0: 1
	Poll      PollMode
	Spin      time.Duration    // of PollAdaptive; 0: DefaultSpin
	Ageing    time.Duration    // of a learned entry, in whole seconds; 0: DefaultAgeing
	Capacity  int              // learned entries; 0: DefaultCapacity
	OnGone    func(port *Port) // called, in a goroutine of its own, when a port's device is gone

	// LoopMoves is how often in a second an address may move between two ports of a
	// segment before the one where it was not first is err-disabled, for LoopHold.
	// 0: DefaultLoopMoves, below 0: no loops are looked for, by probes neither.
	LoopMoves int
	LoopHold  time.Duration // 0: DefaultLoopHold
	// OnLoop is called, in a goroutine of its own, when a loop was found at a port, so
	// that it is err-disabled, and again when it no longer is.
	OnLoop func(port *Port, disabled bool)

	// OnViolation is called, in a goroutine of its own, for the first violation of
	// each kind ([drop.Reason.Violation]) at a port in a minute.
	OnViolation func(Violation)
}

// errNoPoller refuses options without a way to read and write devices.
var errNoPoller = errors.New("Options.NewPoller is nil: give a function that makes a poller, such as poller.New of vswitch/tap/poller")

// withDefaults fills in what was left to the switch, or says what is wrong.
func (o Options) withDefaults() (Options, error) {
	if o.NewPoller == nil {
		return o, errNoPoller
	}
	if o.Workers < 0 || o.Capacity < 0 || o.Ageing < 0 {
		return o, fmt.Errorf("a switch with %d workers, capacity %d and ageing %v: give no number below 0", o.Workers, o.Capacity, o.Ageing)
	}
	if o.LoopMoves > policy.MaxFlapLimit || o.LoopHold < 0 {
		return o, fmt.Errorf("loop detection with %d moves per second and hold %v: give up to %d moves, or below 0 for none, and no time below 0", o.LoopMoves, o.LoopHold, policy.MaxFlapLimit)
	}
	o.Workers = cmp.Or(o.Workers, 1)
	o.Spin = cmp.Or(o.Spin, DefaultSpin)
	o.Ageing = cmp.Or(o.Ageing, DefaultAgeing)
	o.Capacity = cmp.Or(o.Capacity, DefaultCapacity)
	o.LoopMoves = cmp.Or(o.LoopMoves, DefaultLoopMoves)
	o.LoopHold = cmp.Or(o.LoopHold, DefaultLoopHold)
	if o.OnGone == nil {
		o.OnGone = func(*Port) {}
	}
	if o.OnLoop == nil {
		o.OnLoop = func(*Port, bool) {}
	}
	return o, nil
}
