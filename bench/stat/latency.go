package stat

import (
	"math"
	"slices"
	"time"
)

// SampleQuantiles is how many quantiles [Pool] returns.
const SampleQuantiles = 201

// roundQuantiles is the number of quantiles of one measurement.
const roundQuantiles = 1001

// Latencies sums up round-trip times, or other durations. All but the counts are in µs.
type Latencies struct {
	Count     int       `json:"count"` // of times
	Lost      int       `json:"lost"`  // requests without an answer
	P50       float64   `json:"p50"`
	P90       float64   `json:"p90"`
	P99       float64   `json:"p99"`
	P999      float64   `json:"p99_9"`
	Min       float64   `json:"min"`
	Avg       float64   `json:"avg"`
	Max       float64   `json:"max"`
	Quantiles []float64 `json:"quantiles"` // evenly spaced from 0 to 1
}

// NewLatencies sums up times, which it sorts, of a measurement in which so many requests
// were lost. Of no times, all but Lost is zero.
func NewLatencies(times []time.Duration, lost int) Latencies {
	l := Latencies{Count: len(times), Lost: lost}
	if len(times) == 0 {
		return l
	}
	slices.Sort(times)
	sum := 0.0
	for _, t := range times {
		sum += micros(t)
	}
	l.Min, l.Avg, l.Max = micros(times[0]), sum/float64(len(times)), micros(times[len(times)-1])
	l.P50, l.P90, l.P99, l.P999 = rank(times, 0.5), rank(times, 0.9), rank(times, 0.99), rank(times, 0.999)
	l.Quantiles = make([]float64, roundQuantiles)
	for i := range l.Quantiles {
		l.Quantiles[i] = rank(times, float64(i)/(roundQuantiles-1))
	}
	return l
}

// rank is the shortest time that the share q of all do not exceed (nearest rank).
func rank(sorted []time.Duration, q float64) float64 {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return micros(sorted[min(max(i, 0), len(sorted)-1)])
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

// Loss returns the share of requests that were lost, in percent.
func (l Latencies) Loss() float64 {
	if l.Count+l.Lost == 0 {
		return 0
	}
	return 100 * float64(l.Lost) / float64(l.Count+l.Lost)
}

// Pool returns [SampleQuantiles] evenly spaced quantiles from 0 to 1 of the quantiles of
// all rounds. Each round counts alike, whatever the number of its measurements. Of no
// quantiles it returns nil.
func Pool(rounds [][]float64) []float64 {
	all := slices.Concat(rounds...)
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	sample := make([]float64, SampleQuantiles)
	for i := range sample {
		sample[i] = Quantile(all, float64(i)/(SampleQuantiles-1))
	}
	return sample
}
