package report

import (
	"slices"
	"strings"
	"testing"
)

func mergeable(scenario string, peers ...string) *Result {
	r := &Result{Schema: SchemaVersion, Settings: Settings{Scenarios: []string{scenario}, Peers: peers, Rounds: 2, Duration: 1e9}}
	for _, p := range peers {
		r.Series = append(r.Series, Series{Scenario: scenario, Peer: p, Metric: "m", Unit: "u", Better: Higher, Values: []float64{1, 2}})
	}
	return r
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a, b := mergeable("ping", "bridge", "vde"), mergeable("tcp", "bridge")
	b.Settings.Duration = 5e8
	got, err := Merge(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Series) != 3 || !slices.Equal(got.Settings.Scenarios, []string{"ping", "tcp"}) || got.Settings.Duration != 5e8 {
		t.Errorf("merged into %d series, settings %+v", len(got.Series), got.Settings)
	}
	if !slices.Equal(got.Settings.Peers, []string{"bridge"}) || len(a.Settings.Peers) != 2 {
		t.Errorf("peers %v of %v, want those of both alone", got.Settings.Peers, a.Settings.Peers)
	}
	var table strings.Builder
	if err := WriteTable(&table, got); err != nil || strings.Contains(table.String(), "missing") {
		t.Errorf("error %v, table:\n%s", err, table.String())
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Result){
		"measured on":           func(r *Result) { r.Machine.CPUs = 64 },
		"measured vswitch":      func(r *Result) { r.Machine.Version = "other" },
		"has 3 rounds, want 2":  func(r *Result) { r.Settings.Rounds = 3 },
		"occurs twice, want on": func(r *Result) { r.Series[0].Scenario = "ping" },
	} {
		b := mergeable("tcp", "bridge")
		change(b)
		if _, err := Merge(mergeable("ping", "bridge"), b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := Merge(); err == nil {
		t.Error("merged nothing without an error")
	}
}
