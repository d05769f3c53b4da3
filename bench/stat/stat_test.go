package stat

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"vswitch/test/lab/seed"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestSummarize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   Summary
	}{
		{nil, Summary{}},
		{[]float64{3}, Summary{N: 1, Median: 3, Low: 3, High: 3}},
		{[]float64{4, 1}, Summary{N: 2, Median: 2.5, Low: 1, High: 4, Deviation: 1.5}},
		{[]float64{9, 1, 2, 6, 1, 4, 2}, Summary{N: 7, Median: 2, Low: 1, High: 9, Deviation: 1}},
	} {
		values := slices.Clone(test.values)
		if got := Summarize(values); got != test.want {
			t.Errorf("Summarize(%v) = %+v, want %+v", test.values, got, test.want)
		}
		if !slices.Equal(values, test.values) {
			t.Errorf("Summarize sorted its argument %v", test.values)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.25: 3.25, 0.5: 5.5, 0.95: 9.55, 1: 10} { // as R's quantile
		if got := Quantile(ten, q); !near(got, want) {
			t.Errorf("quantile %v of 1 to 10 is %v, want %v", q, got, want)
		}
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	bridge := []float64{10, 14, 9, 12, 11}
	doubled := []float64{20, 28, 18, 24, 22} // twice the bridge in each round
	paired, ok := RatioOf(doubled, bridge, true)
	if !ok || paired != (Ratio{Value: 2, Low: 2, High: 2, Bounded: true}) {
		t.Errorf("paired: %+v, %v, want exactly 2, for the rounds' noise cancels", paired, ok)
	}
	unpaired, _ := RatioOf(doubled, bridge, false)
	if unpaired.Value != 2 || !unpaired.Bounded || unpaired.Low >= 2 || unpaired.High <= 2 {
		t.Errorf("unpaired: %+v, want 2 within an interval", unpaired)
	}
	if again, _ := RatioOf(doubled, bridge, false); again != unpaired {
		t.Errorf("the same values gave %+v and %+v", unpaired, again)
	}
	few, ok := RatioOf([]float64{6, 6, 6}, []float64{3, 3, 3}, true)
	if !ok || few != (Ratio{Value: 2}) {
		t.Errorf("three rounds: %+v, %v, want 2 without an interval", few, ok)
	}
	if r, ok := RatioOf(bridge, []float64{0, 0, 1, 1, 1}, false); !ok || r.Bounded {
		t.Errorf("zeros among the values below: %+v, %v, want no interval", r, ok)
	}
	for name, below := range map[string][]float64{"zero": {0, 0, 0, 1}, "nothing": nil} {
		if r, ok := RatioOf(bridge, below, false); ok {
			t.Errorf("over %s: %+v, want none", name, r)
		}
	}
}

// The interval must cover the truth about as often as it says.
func TestRatioIntervalCovers(t *testing.T) {
	t.Parallel()
	// Chance would have it fail once in a while: a check of a frequency has a fixed seed.
	random := rand.New(rand.NewPCG(3, 4))
	const runs, truth = 200, 1.5
	covered := 0
	for range runs {
		a, b := make([]float64, 15), make([]float64, 15)
		for i := range a {
			a[i], b[i] = truth*(10+random.NormFloat64()), 10+random.NormFloat64()
		}
		if r, _ := RatioOf(a, b, false); r.Low <= truth && truth <= r.High {
			covered++
		}
	}
	if covered < runs*88/100 {
		t.Errorf("%d of %d intervals hold the true ratio, want about 95%%", covered, runs)
	}
}

func TestProbabilityAgainstEnumeration(t *testing.T) {
	t.Parallel()
	random := seed.New(t)
	for range 40 {
		a, b := make([]float64, 4+random.IntN(3)), make([]float64, 4+random.IntN(3))
		for i := range a {
			a[i] = random.Float64()
		}
		for i := range b {
			b[i] = random.Float64() + 0.3
		}
		want := enumerated(a, b)
		if got, ok := Probability(a, b); !ok || !near(got, want) {
			t.Errorf("p of %v and %v = %v, want %v", a, b, got, want)
		}
	}
}

// enumerated is the two-sided p of the U test by counting all ways to part the values.
func enumerated(a, b []float64) float64 {
	all := slices.Concat(a, b)
	u := func(mask uint) int {
		wins := 0
		for i := range all {
			for j := range all {
				if mask>>i&1 == 1 && mask>>j&1 == 0 && all[i] > all[j] {
					wins++
				}
			}
		}
		return wins
	}
	seen := u(1<<len(a) - 1)
	below, above, ways := 0, 0, 0
	for mask := range uint(1) << len(all) {
		if bits.OnesCount(mask) != len(a) {
			continue
		}
		ways++
		if w := u(mask); w <= seen {
			below++
		}
		if w := u(mask); w >= seen {
			above++
		}
	}
	return min(1, 2*float64(min(below, above))/float64(ways))
}

func TestProbability(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		a, b []float64
		p    float64
		ok   bool
	}{
		{"four apart from four", []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70, true},
		{"five apart from five", []float64{9, 8, 7, 6, 5}, []float64{4, 3, 2, 1, 0}, 2.0 / 252, true},
		{"all equal", []float64{0, 0, 0, 0}, []float64{0, 0, 0, 0}, 1, true},
		{"three", []float64{1, 2, 3}, []float64{5, 6, 7, 8}, 1, false},
		{"none", nil, nil, 1, false},
	} {
		if p, ok := Probability(test.a, test.b); !near(p, test.p) || ok != test.ok {
			t.Errorf("%s: p = %v, %v, want %v, %v", test.name, p, ok, test.p, test.ok)
		}
	}
}
