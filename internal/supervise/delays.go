package supervise

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// steady is how long a child must have been ready for its death to count as
	// the first one.
	steady = 500 * time.Millisecond
	// firstDelay and maxDelay bound the pauses before the second restart and later
	// ones; each is twice the one before.
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
)

// delays says how long to wait before a dead child is started again: not at all
// at first, and longer and longer when it keeps dying.
type delays struct {
	backoff *backoff.ExponentialBackOff
	died    bool // and no child has been steady since
}

func newDelays() *delays {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = firstDelay, maxDelay, 2
	b.RandomizationFactor = 0 // there is no crowd to spread
	return &delays{backoff: b}
}

// next is the pause before the next start, after a child that has been ready for
// that long.
func (d *delays) next(ready time.Duration) time.Duration {
	if ready >= steady {
		d.died = false
	}
	if !d.died {
		d.died = true
		d.backoff.Reset()
		return 0
	}
	return d.backoff.NextBackOff()
}
