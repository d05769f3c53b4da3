package vswitch

import (
	"context"
	"time"
)

// progressInterval is how often a worker that does not answer is asked how far it is.
const progressInterval = 50 * time.Millisecond

// Alive returns nil once every worker has shown since the call that it lives: it has come
// between two bursts, or it has counted a frame. One burst of floods to thousands of ports may
// take longer than anybody waits. Of a switch that is closed it returns at once; otherwise the
// error is that of ctx. It waits for no change under way.
func (s *Switch) Alive(ctx context.Context) error {
	for _, w := range s.workers {
		if err := w.alive(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) alive(ctx context.Context) error {
	before := w.progress()
	answered := make(chan struct{})
	w.post(func() { close(answered) })
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-answered:
			return nil
		case <-w.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if w.progress() != before {
				return nil
			}
		}
	}
}

// progress sums what the worker has counted. Each frame that it reads, writes or drops changes
// the sum, also in the middle of a burst. Ports that come and go may change it too, which they
// cannot do more than once without the worker.
func (w *worker) progress() uint64 {
	var c Counters
	for _, p := range *w.ports.Load() {
		if p != nil {
			w.stripe(p).addTo(&c)
		}
	}
	sum := c.RxFrames + c.TxFrames
	for _, n := range c.Drops {
		sum += n
	}
	return sum
}
