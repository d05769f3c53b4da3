package vswitch

import "time"

// patience says how long a worker may wait for frames.
type patience struct {
	mode   PollMode
	spin   time.Duration
	idle   time.Time // since when no frame came; zero while frames come
	rhythm rhythm
}

// busy notes that frames came.
func (p *patience) busy() {
	if p.idle.IsZero() {
		return
	}
	if now := time.Now(); now.Sub(p.idle) > p.spin {
		p.rhythm.beat(now)
	}
	p.idle = time.Time{}
}

// wait is how long to wait for frames: 0 is not at all, below 0 until they come.
// A worker that polls adaptively looks again for the spin after the last frame,
// and around the time when the rhythm of the frames before has the next one come,
// because to be woken from sleep costs a frame more than to be carried.
func (p *patience) wait() time.Duration {
	switch p.mode {
	case PollBusy:
		return 0
	case PollSleep:
		return -1
	}
	if p.spin <= 0 {
		return -1
	}
	now := time.Now()
	if p.idle.IsZero() {
		p.idle = now
		return 0
	}
	if now.Sub(p.idle) < p.spin {
		return 0
	}
	return p.rhythm.wait(now)
}

// rhythm recognises frames that come after equal pauses, as those of calls, games
// and probes do.
type rhythm struct {
	last    time.Time     // of the last beat
	gap     time.Duration // between two, on average
	regular int           // rises with each gap like those before, and is halved by others
}

// Bounds of a rhythm.
const (
	steady     = 4                      // regular gaps after which the next is expected
	minGap     = 500 * time.Microsecond // a shorter one is not worth the sleep
	maxGap     = 25 * time.Millisecond  // a longer one would have the worker spin for long
	leadShare  = 16                     // of the gap to be awake early: 1/16
	smoothing  = 4                      // the gap follows by 1/4 of what a new one differs
	likeness   = 8                      // gaps are alike that differ by less than 1/8
	maxLead    = 200 * time.Microsecond // how long waking up may take
	minTimeout = 50 * time.Microsecond  // a shorter sleep is none
)

// beat notes frames after a pause.
func (r *rhythm) beat(now time.Time) {
	gap := now.Sub(r.last)
	r.last = now
	diff := gap - r.gap
	if gap < minGap || gap > maxGap || diff.Abs() > gap/likeness {
		r.gap, r.regular = gap, r.regular/2
		return
	}
	r.gap += diff / smoothing
	r.regular = min(r.regular+1, 2*steady)
}

// wait is how long to sleep before the next beat: 0 around its time, and below 0
// when none is expected.
func (r *rhythm) wait(now time.Time) time.Duration {
	if r.regular < steady {
		return -1
	}
	lead := min(r.gap/leadShare, maxLead)
	left := r.gap - now.Sub(r.last) // until the beat
	switch {
	case left-lead > minTimeout:
		return left - lead
	case left > -lead:
		return 0
	}
	r.regular /= 2 // it did not come
	return -1
}
