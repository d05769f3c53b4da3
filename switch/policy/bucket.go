package policy

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets count time in ticks, sixteenths of a nanosecond, so that a small frame
// at a high rate costs more than a few of them, and 18 years fit.
const (
	TicksPerNanosecond = 16
	TicksPerSecond     = TicksPerNanosecond * int64(time.Second)
)

// unitShift is how many bits of a bucket's unit stand behind the point.
const unitShift = 16

// Bucket is a token bucket kept as one number, the time when it will be full
// again (the virtual scheduling algorithm of ITU-T I.371): no one needs to fill
// it, and several workers may take from it. A frame may pass while anything is
// left, and what it takes beyond that is owed by the next: so a frame larger than
// the burst passes too, and the rate holds over time.
type Bucket struct {
	unit  uint64 // ticks that bring back one frame or byte, times 2^unitShift
	depth int64  // ticks from empty to full
	full  atomic.Int64
}

// NewBucket returns a full bucket that lets perSecond units pass, and burst of
// them at once.
func NewBucket(perSecond, burst float64) *Bucket {
	b := &Bucket{}
	b.set(perSecond, burst)
	return b
}

func (b *Bucket) set(perSecond, burst float64) {
	unit := float64(TicksPerSecond) / perSecond
	b.unit, b.depth = uint64(unit*(1<<unitShift)), int64(burst*unit)
}

// cost is the ticks that bring back n units.
func (b *Bucket) cost(n int) int64 {
	high, low := bits.Mul64(uint64(n), b.unit)
	return int64(high<<(64-unitShift) | low>>unitShift)
}

// Take takes n units at time now, in ticks of any clock that does not go back, and
// reports whether they may pass. It takes nothing if they may not.
func (b *Bucket) Take(now int64, n int) bool {
	_, ok := b.reserve(now, n, -1)
	return ok
}

// reserve is Take of units that may pass up to most ticks later: anything is left in the
// bucket again wait ticks from now on. It takes nothing, and is false, where most is less.
func (b *Bucket) reserve(now int64, n int, most int64) (wait int64, ok bool) {
	cost := b.cost(n)
	for {
		full := b.full.Load()
		wait = full - now - b.depth
		if wait > most {
			return wait, false
		}
		if b.full.CompareAndSwap(full, max(full, now)+cost) {
			return max(wait, 0), true
		}
	}
}
