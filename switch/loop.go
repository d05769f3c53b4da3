package vswitch

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"vswitch/switch/fdb"
)

// Defaults and bounds of the loop guard.
const (
	DefaultLoopMoves = 100 // moves of one address per second that are still no loop
	DefaultLoopHold  = 10 * time.Second
	maxLoopMoves     = 2000
)

// loopGuard is what a worker does about addresses that come and go.
//
// A container that bridges two of its ports sends what is flooded to the one into
// the other: the same source address comes from both in turn, thousands of times
// per second. Then one of the two is held down: it sends and receives nothing for
// a while, which cuts the circle.
type loopGuard struct {
	moves  uint32 // per second
	hold   time.Duration
	onLoop func(*Port)
}

// flaps counts a segment's addresses that have moved of late, each in one word.
// Two that share a slot forget each other, no more. It is a segment's own, so that
// no other one's addresses hide a loop.
//
//	tag (16 bits) | home (17 bits) | moves (11 bits) | since (20 bits)
type flaps struct {
	seed  [2]uint64
	words [1 << flapSlotBits]atomic.Uint64
}

// flap is one address that moves.
type flap struct {
	tag   uint64 // of the key's hash
	home  uint32 // the slot of the port where it stood before it began to move
	moves uint32 // in the second that began at since
	since uint32 // in flap ticks
}

const (
	flapSlotBits = 6
	tagBits      = 16
	homeBits     = 17 // a place in the forwarding table
	movesBits    = 11 // maxLoopMoves
	sinceBits    = 20
	maxMoves     = 1<<movesBits - 1

	flapsPerSecond = 64 // flap ticks: 20 bits of them are four hours
)

func newFlaps() *flaps { return &flaps{seed: [2]uint64{rand.Uint64(), rand.Uint64() | 1}} }

// move notes that the address behind key came from the port in slot to, while it
// stood at the port in slot from. It says whether the address has moved more than
// limit times within a second and the port is to be held down.
//
// That is never the port where the address stood first: when a station's address
// is used by another, or comes back through a loop, the station itself goes on.
func (f *flaps) move(key uint64, from, to, now, limit uint32) bool {
	hi, lo := bits.Mul64(key^f.seed[0], f.seed[1])
	hash := hi ^ lo
	word, tag := &f.words[hash%(1<<flapSlotBits)], hash>>(64-tagBits)
	now %= 1 << sinceBits
	for {
		old := word.Load()
		a := unpackFlap(old)
		switch age := (now - a.since) % (1 << sinceBits); {
		case a.tag != tag || a.moves == 0 || age >= 2*flapsPerSecond:
			a = flap{tag: tag, home: from, moves: 1, since: now}
		case age >= flapsPerSecond:
			a.moves, a.since = 1, now
		default:
			a.moves = min(a.moves+1, maxMoves)
		}
		loop := a.moves > limit && to != a.home
		if loop {
			a.moves = 1 // one port is enough: the other one has to move as often again
		}
		if word.CompareAndSwap(old, a.pack()) {
			return loop
		}
	}
}

func (a flap) pack() uint64 {
	return a.tag<<(64-tagBits) | uint64(a.home)<<(movesBits+sinceBits) | uint64(a.moves)<<sinceBits | uint64(a.since)
}

func unpackFlap(word uint64) flap {
	return flap{
		tag:   word >> (64 - tagBits),
		home:  uint32(word >> (movesBits + sinceBits) % (1 << homeBits)),
		moves: uint32(word >> sinceBits % (1 << movesBits)),
		since: uint32(word % (1 << sinceBits)),
	}
}

// moved notes that the source address of a frame from p stood at the port in slot
// from, and says whether p is held down for it. A port with security is not: it
// sends nobody's address but its own.
func (w *worker) moved(p *Port, g *guard, key uint64, from uint32) bool {
	if w.loop.moves == 0 || g.security != SecurityOff {
		return false
	}
	now := uint32(w.clock() / (ticksPerSecond / flapsPerSecond))
	if !p.segment.flaps.move(key, from, p.slot, now, w.loop.moves) {
		return false
	}
	if p.state.Or(stateHeld)&stateHeld == 0 {
		go w.held(p)
	}
	return true
}

// held does what is left to do when a port is held down: its addresses are
// forgotten, so that stations are found where else they are, and it goes up again
// after its time.
func (w *worker) held(p *Port) {
	w.table.Remove(func(_ uint64, v fdb.Value) bool { return v.Kind() == fdb.Learned && v.Place() == fdb.Place(p.slot) })
	time.AfterFunc(w.loop.hold, func() { p.state.And(^stateHeld) })
	w.loop.onLoop(p)
}
