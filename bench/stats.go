package bench

import (
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Figures of the statistics, which the report states.
const (
	resamples    = 2000 // of the bootstrap
	confidence   = 0.95 // of the interval of a ratio
	significance = 0.05 // alpha of a comparison
	// minRounds is the fewest values on either side with which a Mann–Whitney U test can
	// reach significance at all (4 and 4 values: p = 0.029), and the fewest for an interval.
	minRounds = 4
)

// summary describes the values of a series: its median, and how far they spread.
type summary struct {
	n         int
	median    float64
	low, high float64 // smallest and largest
	deviation float64 // median of the absolute deviations from the median
}

// summarize leaves values as they are. Of no values, all is zero.
func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	s := summary{
		n:      len(sorted),
		median: quantileOf(sorted, 0.5),
		low:    sorted[0],
		high:   sorted[len(sorted)-1],
	}
	for i, v := range sorted {
		sorted[i] = math.Abs(v - s.median)
	}
	slices.Sort(sorted)
	s.deviation = quantileOf(sorted, 0.5)
	return s
}

func medianOf(values []float64) float64 { return summarize(values).median }

// quantileOf interpolates between the two nearest of sorted, which has one at least
// (type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996).
func quantileOf(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// ratio is that of two medians, with the interval in which it lies with [confidence].
type ratio struct {
	value     float64
	low, high float64
	bounded   bool // low and high are known
}

// ratioOf divides the median of a by that of b. It has none, false, of no values or of
// a median of zero below.
//
// The interval is that of a percentile bootstrap, for rounds are few and their values
// are anything but normal. In paired series the values of one index are of one round,
// and are drawn together: what slowed a round down slowed both, and mostly cancels.
func ratioOf(a, b []float64, paired bool) (ratio, bool) {
	if len(a) == 0 || len(b) == 0 || medianOf(b) == 0 {
		return ratio{}, false
	}
	r := ratio{value: medianOf(a) / medianOf(b)}
	if len(a) < minRounds || len(b) < minRounds {
		return r, true
	}
	// Seeded, so that redrawing a report changes nothing in it.
	random := rand.New(rand.NewPCG(uint64(len(a)), uint64(len(b))))
	ratios := make([]float64, 0, resamples)
	drawnA, drawnB := make([]float64, len(a)), make([]float64, len(b))
	for range resamples {
		for i := range a {
			k := random.IntN(len(a))
			drawnA[i] = a[k]
			if paired {
				drawnB[i] = b[k]
			}
		}
		for i := 0; !paired && i < len(b); i++ {
			drawnB[i] = b[random.IntN(len(b))]
		}
		if below := medianInPlace(drawnB); below != 0 {
			ratios = append(ratios, medianInPlace(drawnA)/below)
		}
	}
	if len(ratios) < resamples {
		return r, true // zeros among b: no bound above
	}
	slices.Sort(ratios)
	r.low, r.high, r.bounded = quantileOf(ratios, (1-confidence)/2), quantileOf(ratios, (1+confidence)/2), true
	return r, true
}

func medianInPlace(values []float64) float64 {
	slices.Sort(values)
	return quantileOf(values, 0.5)
}

// inPairs says whether the values of a and b with one index are of one round, which is
// certain only where no round failed.
func inPairs(a, b []float64, rounds int) bool { return len(a) == rounds && len(b) == rounds }

// probability is how likely values that differ as much as those of a and b come from
// one distribution: the two-sided Mann–Whitney U test, exact for so few values, as
// benchstat does it. It assumes nothing of the distribution. False: too few values.
func probability(a, b []float64) (float64, bool) {
	if len(a) < minRounds || len(b) < minRounds {
		return 1, false
	}
	limits := benchmath.DefaultThresholds
	limits.CompareAlpha = significance
	c := benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(a), &limits), // it sorts them
		benchmath.NewSample(slices.Clone(b), &limits),
	)
	return c.P, true
}
