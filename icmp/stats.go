package icmp

import (
	"math"
	"slices"
	"time"
)

// Stats is what a [Ping] saw.
type Stats struct {
	Sent     int             // requests sent
	Received int             // requests answered in time; duplicates do not count
	RTTs     []time.Duration // round-trip times, in the order in which the replies came
}

// Loss is the share of requests without an answer, from 0 (none was lost) to 1
// (all were); 0 if none was sent.
func (s Stats) Loss() float64 {
	if s.Sent == 0 {
		return 0
	}
	return float64(s.Sent-s.Received) / float64(s.Sent)
}

// Min is the shortest round-trip time, 0 without any.
func (s Stats) Min() time.Duration {
	if len(s.RTTs) == 0 {
		return 0
	}
	return slices.Min(s.RTTs)
}

// Max is the longest round-trip time, 0 without any.
func (s Stats) Max() time.Duration {
	if len(s.RTTs) == 0 {
		return 0
	}
	return slices.Max(s.RTTs)
}

// Avg is the mean round-trip time, 0 without any.
func (s Stats) Avg() time.Duration {
	if len(s.RTTs) == 0 {
		return 0
	}
	var sum time.Duration
	for _, rtt := range s.RTTs {
		sum += rtt
	}
	return sum / time.Duration(len(s.RTTs))
}

// Mdev is what iputils' ping prints under this name: the standard deviation of
// the round-trip times, taken as the whole population (iputils,
// ping/ping_common.c, finish). It is 0 without any.
func (s Stats) Mdev() time.Duration {
	if len(s.RTTs) == 0 {
		return 0
	}
	n := float64(len(s.RTTs))
	var mean, squares float64
	for _, rtt := range s.RTTs {
		mean += float64(rtt) / n
	}
	for _, rtt := range s.RTTs {
		squares += (float64(rtt) - mean) * (float64(rtt) - mean)
	}
	return time.Duration(math.Round(math.Sqrt(squares / n)))
}

// Percentile is the shortest round-trip time that at least p percent of all do
// not exceed (nearest rank): 50 gives the median, 0 or less the shortest, 100 or
// more the longest. It is 0 without any.
func (s Stats) Percentile(p float64) time.Duration {
	n := len(s.RTTs)
	switch {
	case n == 0:
		return 0
	case !(p > 0): // NaN, too
		return s.Min()
	case p >= 100:
		return s.Max()
	}
	sorted := slices.Sorted(slices.Values(s.RTTs))
	rank := int(math.Ceil(p * float64(n) / 100))
	return sorted[min(max(rank, 1), n)-1]
}
