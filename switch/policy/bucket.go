package policy

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Rate bounds what a port sends or is sent. The zero Rate is no bound.
type Rate struct {
	BitsPerSecond int64 // of Ethernet frames, without FCS and preamble; 0: no bound
	// BurstBytes may pass at once after a pause. 0: what the rate brings in 50 ms,
	// and two super-frames at least.
	BurstBytes int64
}

// Bounds of a [Rate], and its default burst.
const (
	MinRate   = 1000              // bits per second
	MaxRate   = 1_000_000_000_000 // bits per second
	MaxBurst  = 1 << 30           // bytes
	minBurst  = 2 << 16           // bytes: two super-frames
	burstTime = 50 * time.Millisecond
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
	unit := float64(TicksPerSecond) / perSecond
	return &Bucket{unit: uint64(unit * (1 << unitShift)), depth: int64(burst * unit)}
}

// Take takes n units at time now, in ticks of any clock that does not go back, and
// reports whether they may pass. It takes nothing if they may not.
func (b *Bucket) Take(now int64, n int) bool {
	cost := int64(uint64(n) * b.unit >> unitShift)
	for {
		full := b.full.Load()
		if full-now >= b.depth {
			return false
		}
		if b.full.CompareAndSwap(full, max(full, now)+cost) {
			return true
		}
	}
}

// bucket makes the rate's bucket, nil where there is no bound.
func (r Rate) bucket() (*Bucket, error) {
	if r == (Rate{}) {
		return nil, nil
	}
	if r.BitsPerSecond < MinRate || r.BitsPerSecond > MaxRate {
		return nil, fmt.Errorf(
			"a rate of %d bit/s is out of range: give %d to %d, or 0 for no bound", r.BitsPerSecond,
			MinRate, int64(MaxRate),
		)
	}
	if r.BurstBytes < 0 || r.BurstBytes > MaxBurst {
		return nil, fmt.Errorf(
			"a burst of %d bytes is out of range: give 1 to %d, or 0 for the default", r.BurstBytes,
			MaxBurst,
		)
	}
	perSecond, burst := float64(r.BitsPerSecond)/8, float64(r.BurstBytes)
	if burst == 0 {
		burst = min(max(perSecond*burstTime.Seconds(), minBurst), MaxBurst)
	}
	return NewBucket(perSecond, burst), nil
}
