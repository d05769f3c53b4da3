package policy

import (
	"fmt"
	"time"
)

// Rate bounds what a port sends or is sent. The zero Rate is no bound.
type Rate struct {
	BitsPerSecond int64 // of Ethernet frames, without FCS and preamble; 0: no bound
	// BurstBytes may pass at once after a pause. 0: what the rate brings in 10 ms,
	// and two super-frames at least.
	BurstBytes int64
}

// Bounds of a [Rate], and its default burst, which is of the size that tc-tbf(8) wants for a
// timer of 100 Hz: more than a worker oversleeps, and no more than that.
const (
	MinRate   = 1000              // bits per second
	MaxRate   = 1_000_000_000_000 // bits per second
	MaxBurst  = 1 << 30           // bytes
	minBurst  = 2 << 16           // bytes: two super-frames
	burstTime = 10 * time.Millisecond
)

// Frames wait for their rate no longer than the first, or, where that is longer, than the
// second takes at the rate, so that the first window of a TCP connection fits at a low one
// (RFC 6928: ten segments).
const (
	queueTime = 50 * time.Millisecond
	queueLow  = 16 << 10 // bytes
)

// Shaper says when frames may pass a [Rate]. Any number of workers may ask it at once.
type Shaper struct {
	bucket Bucket
	most   int64 // ticks that a frame may have to wait
}

// Reserve takes the place of a frame of n bytes at time now, as for [Bucket.Take], and returns
// how many ticks from now on its turn comes, 0 or more. It takes nothing, and is false, if that
// is later than a frame may wait.
func (s *Shaper) Reserve(now int64, n int) (wait int64, ok bool) {
	return s.bucket.reserve(now, n, s.most)
}

// Fits reports whether n bytes are no more than the burst.
func (s *Shaper) Fits(n int) bool { return s.bucket.cost(n) <= s.bucket.depth }

// shaper makes the rate's shaper, nil where there is no bound.
func (r Rate) shaper() (*Shaper, error) {
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
	s := &Shaper{}
	s.bucket.set(perSecond, burst)
	s.most = max(int64(queueTime)*TicksPerNanosecond, s.bucket.cost(queueLow))
	return s, nil
}
