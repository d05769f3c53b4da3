package bench

import (
	"math"
	"slices"
	"time"
)

// Numbers of quantiles: of one measurement, and of the Sample of a series.
const (
	roundQuantiles  = 1001
	sampleQuantiles = 201
)

// latencies sums up round-trip times, in µs.
type latencies struct {
	Count     int       `json:"count"`
	Lost      int       `json:"lost"`
	P50       float64   `json:"p50"`
	P90       float64   `json:"p90"`
	P99       float64   `json:"p99"`
	P999      float64   `json:"p99_9"`
	Min       float64   `json:"min"`
	Avg       float64   `json:"avg"`
	Max       float64   `json:"max"`
	Quantiles []float64 `json:"quantiles"` // evenly spaced from 0 to 1
}

// newLatencies sorts times.
func newLatencies(times []time.Duration, lost int) latencies {
	l := latencies{Count: len(times), Lost: lost}
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

// readings are the metrics of round-trip times.
func (l latencies) readings() []reading {
	us := func(metric string, v float64) reading {
		return reading{metric: metric, unit: "us", better: Lower, value: v}
	}
	p50 := us("rtt_p50", l.P50)
	p50.quantiles = l.Quantiles
	return []reading{
		p50, us("rtt_p90", l.P90), us("rtt_p99", l.P99), us("rtt_p99_9", l.P999),
		us("rtt_min", l.Min), us("rtt_avg", l.Avg), us("rtt_max", l.Max),
	}
}

// loss is in percent.
func (l latencies) loss() float64 {
	if l.Count+l.Lost == 0 {
		return 0
	}
	return 100 * float64(l.Lost) / float64(l.Count+l.Lost)
}

// pooled is the Sample of a series: quantiles of the quantiles of its rounds, each
// of which counts alike.
func pooled(rounds [][]float64) []float64 {
	all := slices.Concat(rounds...)
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	sample := make([]float64, sampleQuantiles)
	for i := range sample {
		sample[i] = quantileOf(all, float64(i)/(sampleQuantiles-1))
	}
	return sample
}
