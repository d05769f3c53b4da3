package stat

import (
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Parameters of the statistics, which reports state.
const (
	resamples = 2000 // of the bootstrap
	// Confidence is the confidence level of the interval of a [Ratio].
	Confidence = 0.95
	// Significance is the p value below which two sets of values count as different.
	Significance = 0.05
	// MinRounds is the fewest values on either side with which a Mann–Whitney U test can
	// reach Significance at all (4 and 4 values: p = 0.029), and the fewest for an interval.
	MinRounds = 4
)

// Summary describes the values of a series: its median, and how far they spread. All
// but N have the unit of the values.
type Summary struct {
	N         int // number of values
	Median    float64
	Low, High float64 // smallest and largest
	Deviation float64 // median of the absolute deviations from the median
}

// Summarize returns the summary of values, which it does not change. The summary of no
// values is the zero Summary.
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

// Median returns the median of values, which it does not change; 0 of no values.
func Median(values []float64) float64 { return Summarize(values).Median }

// Quantile returns the quantile q, from 0 to 1, of sorted, which must hold at least one
// value in rising order. It interpolates between the two nearest values (type 7 of
// Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996).
func Quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Ratio is the ratio of two medians, with the interval in which it lies with [Confidence].
type Ratio struct {
	Value     float64
	Low, High float64
	Bounded   bool // Low and High are known
}

// RatioOf divides the median of a by that of b. It returns false if a or b has no values
// or the median of b is zero.
//
// The interval is that of a percentile bootstrap, for rounds are few and their values
// are not normally distributed. If paired is set, the values of one index are of one
// round and are drawn together: what slowed a round down slowed both, and mostly cancels.
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

// InPairs reports whether the values of a and b with one index are of one round of a run
// of so many rounds. That is certain only where no round failed.
func InPairs(a, b []float64, rounds int) bool { return len(a) == rounds && len(b) == rounds }

// Probability returns the p value of a and b: how likely values that differ as much come
// from one distribution. It is that of the two-sided Mann–Whitney U test, exact for so few
// values, as benchstat does it, and assumes nothing of the distribution. It returns false
// if a or b has fewer than [MinRounds] values.
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
