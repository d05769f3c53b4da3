package report

import (
	"fmt"
	"math"
	"slices"

	"vswitch/bench/stat"
)

// Verdict says whether a figure changed from one run to another.
type Verdict string

// The verdicts.
const (
	Better    Verdict = "better"
	Worse     Verdict = "worse"
	Unchanged Verdict = "unchanged"      // no more than noise
	TooFew    Verdict = "too_few_rounds" // for any test to tell
	OnlyA     Verdict = "only_in_a"
	OnlyB     Verdict = "only_in_b"
)

// Comparison is what changed from run A to run B.
type Comparison struct {
	Alpha   float64  `json:"alpha"` // p below which a change is more than noise
	Notes   []string `json:"notes"` // in what the runs differ, apart from their figures
	Changes []Change `json:"changes"`
}

// Change is one figure in both runs. What is not known is nil.
type Change struct {
	Scenario string    `json:"scenario"`
	Case     string    `json:"case"`
	Peer     string    `json:"peer"`
	Metric   string    `json:"metric"`
	Unit     string    `json:"unit"`
	Better   Direction `json:"better"`
	A        *float64  `json:"a"`      // median
	B        *float64  `json:"b"`      // median
	Change   *float64  `json:"change"` // B ÷ A − 1
	P        *float64  `json:"p"`      // Mann–Whitney U, two-sided
	Verdict  Verdict   `json:"verdict"`

	// Of the ratio to the kernel bridge in the same round, from which it cancels when the
	// machine as a whole was slower in one of the runs.
	RatioChange *float64 `json:"ratio_change"`
	RatioP      *float64 `json:"ratio_p"`
}

// Compare says what changed from a to b. A change is more than noise when a
// Mann–Whitney U test over the rounds finds p < 0.05, and at least four rounds on
// either side are needed for that.
func Compare(a, b *Result) *Comparison {
	c := &Comparison{Alpha: stat.Significance, Notes: differences(a, b), Changes: []Change{}}
	inA, inB := byKey(a), byKey(b)
	for _, k := range keysOf(a, b) {
		c.Changes = append(c.Changes, change(k, comparand{a, inA}, comparand{b, inB}))
	}
	return c
}

// figureKey names a figure across runs, which may differ in its unit.
type figureKey struct {
	SeriesKey
	unit string
}

func byKey(r *Result) map[figureKey]*Series {
	m := make(map[figureKey]*Series, len(r.Series))
	for i := range r.Series {
		m[figureKey{r.Series[i].Key(), r.Series[i].Unit}] = &r.Series[i]
	}
	return m
}

// keysOf is the figures of both in the order of a's report, then what b has alone.
func keysOf(a, b *Result) []figureKey {
	var keys []figureKey
	seen := map[figureKey]bool{}
	for _, r := range []*Result{a, b} {
		for _, block := range layout(r) {
			for _, g := range block.groups {
				for _, row := range g.rows {
					k := figureKey{row.series.Key(), row.series.Unit}
					if !seen[k] {
						seen[k] = true
						keys = append(keys, k)
					}
				}
			}
		}
	}
	return keys
}

// comparand is one side of a comparison.
type comparand struct {
	result *Result
	series map[figureKey]*Series
}

// ratios are those of the figure to the bridge's in each round.
func (c comparand) ratios(k figureKey) []float64 {
	s := c.series[k]
	k.peer = BridgePeer
	bridge := c.series[k]
	if bridge == nil || s == bridge || slices.Contains(bridge.Values, 0) ||
		!stat.InPairs(s.Values, bridge.Values, c.result.Settings.Rounds) {
		return nil
	}
	ratios := make([]float64, len(s.Values))
	for i := range ratios {
		ratios[i] = s.Values[i] / bridge.Values[i]
	}
	return ratios
}

func change(k figureKey, a, b comparand) Change {
	c := Change{Scenario: k.scenario, Case: k.variant, Peer: k.peer, Metric: k.metric, Unit: k.unit}
	inA, inB := a.series[k], b.series[k]
	switch {
	case inB == nil:
		c.Better, c.A, c.Verdict = inA.Better, known(inA.Values), OnlyA
		return c
	case inA == nil:
		c.Better, c.B, c.Verdict = inB.Better, known(inB.Values), OnlyB
		return c
	}
	c.Better, c.A, c.B = inB.Better, known(inA.Values), known(inB.Values)
	c.Change = relative(c.A, c.B)
	p, ok := stat.Probability(inA.Values, inB.Values)
	switch {
	case !ok:
		c.Verdict = TooFew
	case p >= stat.Significance || *c.A == *c.B:
		c.P, c.Verdict = &p, Unchanged
	case (*c.B > *c.A) == (c.Better == Higher):
		c.P, c.Verdict = &p, Better
	default:
		c.P, c.Verdict = &p, Worse
	}
	ratiosA, ratiosB := a.ratios(k), b.ratios(k)
	if p, ok := stat.Probability(ratiosA, ratiosB); ok {
		c.RatioChange, c.RatioP = relative(known(ratiosA), known(ratiosB)), &p
	}
	return c
}

// known is the median of values, nil of none.
func known(values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	m := stat.Median(values)
	return &m
}

func relative(a, b *float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	change := (*b - *a) / math.Abs(*a)
	if math.IsNaN(change) || math.IsInf(change, 0) {
		return nil
	}
	return &change
}

// differences are those between the runs that may explain a change without the switch.
func differences(a, b *Result) []string {
	notes := []string{}
	for _, d := range []struct {
		what string
		a, b any
	}{
		{"processor", a.Machine.CPU, b.Machine.CPU},
		{"number of processors", a.Machine.CPUs, b.Machine.CPUs},
		{"memory in MiB", a.Machine.MemoryMiB, b.Machine.MemoryMiB},
		{"kernel", a.Machine.Kernel, b.Machine.Kernel},
		{"system", a.Machine.OS, b.Machine.OS},
		{"Go", a.Machine.Go, b.Machine.Go},
		{"vswitch", a.Machine.Version, b.Machine.Version},
		{"number of rounds", a.Settings.Rounds, b.Settings.Rounds},
		{"duration", a.Settings.Duration, b.Settings.Duration},
	} {
		if d.a != d.b {
			notes = append(notes, oneLine(fmt.Sprintf("other %s: %v in A, %v in B", d.what, d.a, d.b)))
		}
	}
	return notes
}
