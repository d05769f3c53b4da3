package policy

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

// Flaps detects addresses that move to and fro. It counts a segment's addresses
// that have moved of late, each in one word; any number of workers may do so at
// once. Two that share a word forget each other, no more. It is a segment's own, so
// that no other one's addresses hide a loop.
//
// A container that bridges two of its ports sends what is flooded to the one into
// the other: the same source address comes from both in turn, thousands of times
// per second. Then one of the two has to be err-disabled, which cuts the circle.
//
//	tag (16 bits) | home (17 bits) | moves (11 bits) | since (20 bits)
type Flaps struct {
	seed  [2]uint64
	words [1 << flapWordBits]atomic.Uint64
}

// flap is one address that moves.
type flap struct {
	tag   uint64 // of the key's hash
	home  uint32 // the place where the address was before it began to move
	moves uint32 // in the second that began at since
	since uint32 // in flap ticks
}

const (
	flapWordBits = 6
	tagBits      = 16
	homeBits     = 17
	movesBits    = 11
	sinceBits    = 20
	maxMoves     = 1<<movesBits - 1
)

// Units and limits of [Flaps.Move].
const (
	FlapsPerSecond = 64              // ticks of its clock, which wraps after 4.5 hours
	MaxFlapLimit   = 2000            // moves per second
	MaxPlace       = 1<<homeBits - 1 // the highest place of an address
)

// NewFlaps returns a detector that has seen no move.
func NewFlaps() *Flaps { return &Flaps{seed: [2]uint64{rand.Uint64(), rand.Uint64() | 1}} }

// Move notes that the address behind key came from the place to, while it was at
// the place from, at time now in ticks, see FlapsPerSecond. It reports whether the
// address has moved more than limit times within a second, so that the port at the
// place to is to be err-disabled. A place is a port or a remote host, up to
// MaxPlace; a limit is at most MaxFlapLimit.
//
// That is never the place where the address was first: when a host's address is
// used by another, or comes back through a loop, the host itself goes on.
func (f *Flaps) Move(key uint64, from, to, now, limit uint32) bool {
	hi, lo := bits.Mul64(key^f.seed[0], f.seed[1])
	hash := hi ^ lo
	word, tag := &f.words[hash%(1<<flapWordBits)], hash>>(64-tagBits)
	now %= 1 << sinceBits
	for {
		old := word.Load()
		a := unpackFlap(old)
		switch age := (now - a.since) % (1 << sinceBits); {
		case a.tag != tag || a.moves == 0 || age >= 2*FlapsPerSecond:
			a = flap{tag: tag, home: from, moves: 1, since: now}
		case age >= FlapsPerSecond:
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
	return a.tag<<(64-tagBits) | uint64(a.home%(1<<homeBits))<<(movesBits+sinceBits) |
		uint64(a.moves)<<sinceBits | uint64(a.since)
}

func unpackFlap(word uint64) flap {
	return flap{
		tag:   word >> (64 - tagBits),
		home:  uint32(word >> (movesBits + sinceBits) % (1 << homeBits)),
		moves: uint32(word >> sinceBits % (1 << movesBits)),
		since: uint32(word % (1 << sinceBits)),
	}
}
