package report

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// noisyRun is a run whose figures are shift times those of another such run, with the
// given noise from round to round.
func noisyRun(seed uint64, rounds int, noise, shift float64) *Result {
	random := rand.New(rand.NewPCG(seed, 7))
	r := &Result{Schema: SchemaVersion, Settings: Settings{Rounds: rounds}}
	for _, peer := range []string{"bridge", "vswitch-adaptive"} {
		for _, s := range []Series{
			{Scenario: "tcp", Case: "streams=1", Peer: peer, Metric: "throughput", Unit: "Gb/s", Better: Higher, Values: []float64{10}},
			{Scenario: "ping", Case: "interval=0", Peer: peer, Metric: "rtt_p50", Unit: "us", Better: Lower, Values: []float64{4}},
		} {
			center := s.Values[0]
			if peer != "bridge" {
				center *= shift
			}
			s.Peer, s.Values = peer, nil
			for range rounds {
				s.Values = append(s.Values, center*(1+noise*random.NormFloat64()))
			}
			r.Series = append(r.Series, s)
		}
	}
	return r
}

func find(t *testing.T, c *Comparison, peer, metric string) Change {
	t.Helper()
	for _, change := range c.Changes {
		if change.Peer == peer && change.Metric == metric {
			return change
		}
	}
	t.Fatalf("no %s of %s in %+v", metric, peer, c.Changes)
	return Change{}
}

func TestCompareFindsAShift(t *testing.T) {
	t.Parallel()
	c := Compare(noisyRun(1, 7, 0.01, 1), noisyRun(2, 7, 0.01, 1.1))
	for metric, want := range map[string]Verdict{"throughput": Better, "rtt_p50": Worse} {
		got := find(t, c, "vswitch-adaptive", metric)
		if got.Verdict != want || *got.Change < 0.08 || *got.Change > 0.12 || *got.P >= 0.05 {
			t.Errorf("%s: %s by %v, p %v, want %s by 0.1", metric, got.Verdict, *got.Change, *got.P, want)
		}
		if got.RatioChange == nil || *got.RatioChange < 0.07 || *got.RatioP >= 0.05 {
			t.Errorf("%s: ratio to the bridge changed by %v, want 0.1", metric, got.RatioChange)
		}
		if got := find(t, c, "bridge", metric); got.Verdict != Unchanged {
			t.Errorf("%s of bridge: %s, want no change", metric, got.Verdict)
		}
	}
}

// Of runs that do not differ, no more may seem to than alpha allows.
func TestCompareTakesNoiseForNoise(t *testing.T) {
	t.Parallel()
	changed, all := 0, 0
	for seed := range uint64(100) {
		for _, change := range Compare(noisyRun(2*seed, 7, 0.1, 1), noisyRun(2*seed+1, 7, 0.1, 1)).Changes {
			all++
			if change.Verdict != Unchanged {
				changed++
			}
		}
	}
	if float64(changed) > 0.08*float64(all) {
		t.Errorf("%d of %d figures changed, want about 5%%", changed, all)
	}
	if c := Compare(synthetic(), synthetic()); strings.Contains(table(t, c), "better ") {
		t.Error("a run differs from itself")
	}
}

// A slow day is not the switch's doing, and the ratio to the bridge shows it.
func TestCompareShowsDriftOfTheMachine(t *testing.T) {
	t.Parallel()
	a, b := noisyRun(1, 9, 0.01, 1), noisyRun(2, 9, 0.01, 1)
	for i := range b.Series {
		for k := range b.Series[i].Values {
			b.Series[i].Values[k] *= 0.7
		}
	}
	got := find(t, Compare(a, b), "vswitch-adaptive", "throughput")
	if got.Verdict != Worse || got.RatioP == nil || *got.RatioP < 0.05 {
		t.Errorf("%+v, want it worse, yet not in its ratio to the bridge", got)
	}
}

func TestCompareTooFewRounds(t *testing.T) {
	t.Parallel()
	got := find(t, Compare(noisyRun(1, 3, 0, 1), noisyRun(2, 3, 0, 2)), "vswitch-adaptive", "throughput")
	if got.Verdict != TooFew || got.P != nil || *got.Change != 1 {
		t.Errorf("%+v, want too few rounds to tell, and the change all the same", got)
	}
}

func TestCompareOfDifferentSets(t *testing.T) {
	t.Parallel()
	a, b := noisyRun(1, 5, 0.01, 1), noisyRun(2, 5, 0.01, 1)
	a.Machine.Kernel, b.Machine.Kernel = "6.17.0", "6.18.0"
	a.Series = a.Series[1:]                       // no bridge throughput
	b.Series = b.Series[:3]                       // no vswitch rtt
	b.Series[2].Values = b.Series[2].Values[:0]   // vswitch throughput failed in all rounds
	a.Series[0].Values = []float64{0, 0, 0, 0, 0} // no change can be computed from it
	c := Compare(a, b)
	if got := find(t, c, "bridge", "throughput"); got.Verdict != OnlyB || got.A != nil || got.B == nil {
		t.Errorf("%+v, want it in B only", got)
	}
	if got := find(t, c, "vswitch-adaptive", "rtt_p50"); got.Verdict != OnlyA || got.A == nil || got.B != nil {
		t.Errorf("%+v, want it in A only", got)
	}
	if got := find(t, c, "vswitch-adaptive", "throughput"); got.Verdict != TooFew || got.B != nil {
		t.Errorf("%+v, want too few rounds", got)
	}
	if got := find(t, c, "bridge", "rtt_p50"); got.Verdict != Worse || got.Change != nil {
		t.Errorf("%+v, want it worse by no known factor", got)
	}
	if text := table(t, c); !strings.Contains(text, "note: other kernel: 6.17.0 in A, 6.18.0 in B\n") {
		t.Errorf("no note of the kernels in\n%s", text)
	}
}

func table(t *testing.T, c *Comparison) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompareOutput(t *testing.T) {
	t.Parallel()
	a, b := noisyRun(1, 5, 0.01, 1), noisyRun(2, 5, 0.01, 1.1)
	b.Series = append(b.Series, Series{
		Scenario: "attach", Peer: "bridge", Metric: "add_port_p50", Unit: "us", Better: Lower, Values: []float64{4000},
	})
	c := Compare(a, b)
	golden(t, "compare.txt", []byte(table(t, c)))
	var out bytes.Buffer
	if err := c.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.json", out.Bytes())
	var back Comparison
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back.Changes) != len(c.Changes) {
		t.Errorf("read back: %v, %d changes, want %d", err, len(back.Changes), len(c.Changes))
	}
	golden(t, "compare-empty.txt", []byte(table(t, Compare(&Result{}, &Result{}))))
}
