package e2e

import (
	"testing"
	"time"

	"vswitch/api"
)

// TestTCPFillsItsRate: a connection gets the rate that its port is bounded by, in each
// direction, all that it carries arrives intact, and what had to be dropped is counted.
func TestTCPFillsItsRate(t *testing.T) {
	t.Parallel()
	const (
		rate = 100_000_000    // bits per second
		size = rate / 8 * 3   // bytes
		low  = rate * 7 / 10  // TCP gets 0.95 of the rate, and 0.3 where frames are not kept waiting
		high = rate * 21 / 20 // the burst, and what is in buffers
	)
	for direction, bound := range map[string]func(from, to *api.PortSpec){
		"in":  func(from, _ *api.PortSpec) { from.RateIn.BitsPerSecond = rate },
		"out": func(_, to *api.PortSpec) { to.RateOut.BitsPerSecond = rate },
	} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			var from, to api.PortSpec
			bound(&from, &to)
			rated := func(spec api.PortSpec) func(*api.PortSpec) {
				return func(s *api.PortSpec) { s.RateIn, s.RateOut = spec.RateIn, spec.RateOut }
			}
			c1, c2 := h.Attach("c1", rated(from)), h.Attach("c2", rated(to))
			h.Eventually("the first port hears of the second one", func() bool {
				return h.Counters("c1").TxFrames > 0
			})
			before1, before2 := h.Counters("c1"), h.Counters("c2")
			start := time.Now()
			transfer(t, c1, c2, size)
			if got := size * 8 / time.Since(start).Seconds(); got < low || got > high {
				t.Errorf("TCP gets %.0f bit/s of %d", got, rate)
			}
			var counts1, counts2 api.Counters
			h.Eventually("what left one port came to the other or was dropped", func() bool {
				counts1 = since(before1, h.Counters("c1"))
				counts2 = since(before2, h.Counters("c2"))
				return sentTo(counts1, counts2) == meantFor(counts2) &&
					sentTo(counts2, counts1) == meantFor(counts1)
			})
			if sum := counts1.Forwarded + counts1.Flooded + counts1.Local + drops(counts1, true); counts1.RxFrames != sum {
				t.Errorf("%d frames received and %d accounted for: %+v", counts1.RxFrames, sum, counts1)
			}
		})
	}
}
