package stat

import (
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Figures of the statistics, which the report states.
const (
	resamples    = 2000 // of the bootstrap
	Confidence   = 0.95 // of the interval of a ratio
	Significance = 0.05 // alpha of a comparison
	// MinRounds is the fewest values on either side with which a Mann–Whitney U test can
	// reach significance at all (4 and 4 values: p = 0.029), and the fewest for an interval.
	MinRounds = 4
)

// Summary describes the values of a series: its median, and how far they spread.
type Summary struct {
	N         int
	Median    float64
	Low, High float64 // smallest and largest
	Deviation float64 // median of the absolute deviations from the median
}

// Summarize leaves values as they are. Of no values, all is zero.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	s := Summary{
		N:      len(sorted),
		Median: Quantile(sorted, 0.5),
		Low:    sorted[0],
		High:   sorted[len(sorted)-1],
	}
	for i, v := range sorted {
		sorted[i] = math.Abs(v - s.Median)
	}
	slices.Sort(sorted)
	s.Deviation = Quantile(sorted, 0.5)
	return s
}

// Median is that of values, which stay as they are.
func Median(values []float64) float64 { return Summarize(values).Median }

// Quantile interpolates between the two nearest of sorted, which has one at least
// (type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996).
func Quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Ratio is that of two medians, with the interval in which it lies with [Confidence].
type Ratio struct {
	Value     float64
	Low, High float64
	Bounded   bool // Low and High are known
}

// RatioOf divides the median of a by that of b. It has none, false, of no values or of
// a median of zero below.
//
// The interval is that of a percentile bootstrap, for rounds are few and their values
// are anything but normal. In paired series the values of one index are of one round,
// and are drawn together: what slowed a round down slowed both, and mostly cancels.
func RatioOf(a, b []float64, paired bool) (Ratio, bool) {
	if len(a) == 0 || len(b) == 0 || Median(b) == 0 {
		return Ratio{}, false
	}
	r := Ratio{Value: Median(a) / Median(b)}
	if len(a) < MinRounds || len(b) < MinRounds {
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
	r.Low, r.High = Quantile(ratios, (1-Confidence)/2), Quantile(ratios, (1+Confidence)/2)
	r.Bounded = true
	return r, true
}

func medianInPlace(values []float64) float64 {
	slices.Sort(values)
	return Quantile(values, 0.5)
}

// InPairs says whether the values of a and b with one index are of one round, which is
// certain only where no round failed.
func InPairs(a, b []float64, rounds int) bool { return len(a) == rounds && len(b) == rounds }

// Probability is how likely values that differ as much as those of a and b come from
// one distribution: the two-sided Mann–Whitney U test, exact for so few values, as
// benchstat does it. It assumes nothing of the distribution. False: too few values.
func Probability(a, b []float64) (float64, bool) {
	if len(a) < MinRounds || len(b) < MinRounds {
		return 1, false
	}
	limits := benchmath.DefaultThresholds
	limits.CompareAlpha = Significance
	c := benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(a), &limits), // it sorts them
		benchmath.NewSample(slices.Clone(b), &limits),
	)
	return c.P, true
}
