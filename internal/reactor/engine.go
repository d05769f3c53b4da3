package reactor

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Engine is how a [Reactor] reads and writes frames.
type Engine uint8

// The engines.
const (
	// Auto is RingFixed, or Ring where a system call is dear, see [dearCall]; and what comes next
	// of Ring and Plain where the kernel does not permit that.
	Auto Engine = iota
	// Plain takes one system call for each frame.
	Plain
	// Ring carries several frames in one system call, by an io_uring(7).
	Ring
	// RingFixed is Ring, and the kernel has the frame buffers' pages mapped once and for all
	// (IORING_REGISTER_BUFFERS) instead of going through the page tables for each frame.
	RingFixed
)

// dearCall is the price of a system call from which on Auto is Ring. Registered buffers save what
// access to user memory costs and cost a look-up for each request. Measured with 60-byte frames,
// frames a second against Ring:
//
//	processor                 a call   Plain   RingFixed
//	Intel Xeon (2 cores)      cheap    0.98    1.11 to 1.17
//	AMD EPYC (2 cores)        166 ns   0.73    1.06
//	AMD EPYC (another host)   dear     0.17    0.96
//
// On the last one the difference between Plain and Ring makes a call about 1,400 ns. The bound is
// the geometric mean of what lies on either side of it.
const dearCall = 480 * time.Nanosecond

// engineNames are the engines' names, in their order.
var engineNames = []string{"auto", "plain", "ring", "ring-fixed"}

// String returns the engine's name, as [ParseEngine] takes it.
func (e Engine) String() string { return engineNames[e] }

// ParseEngine returns the engine with that name: auto, plain, ring or ring-fixed.
func ParseEngine(name string) (Engine, error) {
	i := slices.Index(engineNames, name)
	if i < 0 {
		return 0, fmt.Errorf("%q is unknown: give auto, plain, ring or ring-fixed", name)
	}
	return Engine(i), nil
}

// State is what a [Reactor] does its I/O by.
type State struct {
	Engine Engine // never Auto
	// Features are what of the kernel's io_uring it uses: any of single-issuer,
	// deferred-task-work, cooperative-task-work, no-index-array, registered-ring,
	// registered-files and registered-buffers, in this order.
	Features []string
	Why      error         // why the engine is not RingFixed; nil if it is
	Call     time.Duration // the price of a system call
}

// Why an engine is not a better one.
var (
	errBatchOfOne = errors.New("the batch size is 1")
	errAsked      = errors.New("it was asked for")
	errNoBuffers  = errors.New("no frame buffers are registered")
)

// choose returns the engine for what was asked for where a system call has that price, and why it
// is not RingFixed.
func choose(asked Engine, call time.Duration) (Engine, error) {
	switch {
	case asked == RingFixed, asked == Auto && call < dearCall:
		return RingFixed, nil
	case asked == Auto:
		return Ring, fmt.Errorf("a system call costs %v here: from %v on, registered buffers "+
			"do not pay", call, dearCall)
	}
	return asked, errAsked
}

const (
	callRounds = 32 // of which the cheapest counts: the others were interrupted
	callsRound = 16
)

// callPrice returns what a system call costs that does nothing, measured once in some 100 µs.
var callPrice = sync.OnceValue(func() time.Duration {
	best := time.Duration(1<<63 - 1)
	for range callRounds {
		start := time.Now()
		for range callsRound {
			_, _, _ = syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
		best = min(best, time.Since(start)/callsRound)
	}
	return best
})

// State returns what the Reactor does its I/O by. Any goroutine may call it.
func (r *Reactor) State() State { return *r.state.Load() }

// setState publishes what the Reactor uses from now on.
func (r *Reactor) setState(e Engine, why error) {
	s := &State{Engine: e, Why: why, Call: r.call}
	if r.ring != nil {
		s.Features = r.ring.features()
	}
	r.state.Store(s)
}

// fallBack ends the use of the ring for good.
func (r *Reactor) fallBack(why error) {
	if r.ring != nil {
		_ = r.ring.close() // every request in it has completed
		r.ring = nil
	}
	r.degrade(Plain, why)
}

// degrade is setState, for what was not to be expected.
func (r *Reactor) degrade(e Engine, why error) {
	r.setState(e, why)
	if r.onFallback != nil {
		r.onFallback(r.State())
	}
}
