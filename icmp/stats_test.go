package icmp

import (
	"math"
	"testing"
	"time"
)

func TestStats(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		stats               Stats
		loss                float64
		min, avg, max, mdev time.Duration
	}{
		"nothing sent":  {Stats{}, 0, 0, 0, 0, 0},
		"nothing back":  {Stats{Sent: 3}, 1, 0, 0, 0, 0},
		"one":           {Stats{1, 1, []time.Duration{2 * ms}}, 0, 2 * ms, 2 * ms, 2 * ms, 0},
		"one of four":   {Stats{4, 1, []time.Duration{ms}}, 0.75, ms, ms, ms, 0},
		"all the same":  {Stats{3, 3, []time.Duration{ms, ms, ms}}, 0, ms, ms, ms, 0},
		"out of order":  {Stats{4, 2, []time.Duration{3 * ms, ms}}, 0.5, ms, 2 * ms, 3 * ms, ms},
		"wider":         {Stats{8, 8, []time.Duration{2 * ms, 4 * ms, 4 * ms, 4 * ms, 5 * ms, 5 * ms, 7 * ms, 9 * ms}}, 0, 2 * ms, 5 * ms, 9 * ms, 2 * ms},
		"long and even": {Stats{2, 2, []time.Duration{time.Hour, time.Hour}}, 0, time.Hour, time.Hour, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test.stats
			if got := s.Loss(); got != test.loss {
				t.Errorf("loss: got %v, want %v", got, test.loss)
			}
			got, want := [4]time.Duration{s.Min(), s.Avg(), s.Max(), s.Mdev()}, [4]time.Duration{test.min, test.avg, test.max, test.mdev}
			if got != want {
				t.Errorf("min, avg, max, mdev: got %v, want %v", got, want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	// descending(n) is n down to 1, so that the answer is the rank itself.
	descending := func(n int) Stats {
		var s Stats
		for i := n; i > 0; i-- {
			s.RTTs = append(s.RTTs, time.Duration(i))
		}
		return s
	}
	for _, test := range []struct {
		count int
		p     float64
		want  time.Duration
	}{
		{0, 50, 0},
		{1, 0, 1},
		{1, 50, 1},
		{1, 100, 1},
		{5, 30, 2},
		{5, 40, 2},
		{5, 41, 3},
		{5, 50, 3},
		{4, 50, 2},
		{100, 1, 1},
		{100, 99, 99},
		{100, 99.5, 100},
		{1000, 99.9, 999},
		{1000, 0.01, 1},
		{10, -5, 1},
		{10, 0, 1},
		{10, 100, 10},
		{10, 300, 10},
		{10, math.NaN(), 1},
		{10, math.Inf(1), 10},
		{10, math.Inf(-1), 1},
	} {
		s := descending(test.count)
		if got := s.Percentile(test.p); got != test.want {
			t.Errorf("percentile %v of 1 to %d: got %d, want %d", test.p, test.count, got, test.want)
		}
		if test.count > 0 && s.RTTs[0] != time.Duration(test.count) {
			t.Errorf("percentile %v reordered the times", test.p)
		}
	}
}
