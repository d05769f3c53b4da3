package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"vswitch/bench/report"
)

// smallResult is a result file with one figure in five rounds.
func smallResult(t *testing.T, dir string, center float64) string {
	t.Helper()
	r := &report.Result{
		Schema:   report.SchemaVersion,
		Settings: report.Settings{Scenarios: []string{"tcp"}, Peers: []string{"bridge"}, Rounds: 5},
		Series: []report.Series{{
			Scenario: "tcp", Case: "streams=1", X: 1, Peer: "bridge",
			Metric: "throughput", Unit: "Gb/s", Better: report.Higher,
			Values: []float64{center, center + 0.1, center + 0.2, center + 0.3, center + 0.4},
		}},
	}
	path := filepath.Join(dir, "result.json")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// execute runs cmd and returns what it prints.
func execute(t *testing.T, cmd *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	return out.String(), err
}

func TestReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	result := smallResult(t, filepath.Join(dir, "out"), 10)
	text, err := execute(t, newReportCommand(), result)
	if err != nil || !strings.Contains(text, "throughput (Gb/s, higher is better)") || !strings.Contains(text, "10.2") {
		t.Errorf("%v, printed\n%s", err, text)
	}
	page := filepath.Join(dir, "docs", "page.md")
	if err := os.Mkdir(filepath.Dir(page), 0o755); err != nil {
		t.Fatal(err)
	}
	plots := filepath.Join(dir, "docs", "plots")
	if _, err := execute(t, newReportCommand(), result, "--out", plots, "--markdown", page); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{filepath.Dir(result), plots} {
		for _, name := range []string{"tcp-throughput.svg", "tcp-throughput.png"} {
			if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
				t.Error(err)
			}
		}
	}
	markdown, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(markdown), "(plots/tcp-throughput.svg)") {
		t.Errorf("%v, no link to the plot as seen from the page in\n%s", err, markdown)
	}
}

func TestReportRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"a.json", "b.json"}, {filepath.Join(t.TempDir(), "none.json")}} {
		if text, err := execute(t, newReportCommand(), args...); err == nil || text != "" {
			t.Errorf("report %q: error %v, printed %q", args, err, text)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := smallResult(t, filepath.Join(dir, "a"), 10), smallResult(t, filepath.Join(dir, "b"), 8)
	text, err := execute(t, newCompareCommand(), a, b)
	if err != nil || !strings.Contains(text, "worse") || !strings.Contains(text, "-19.6%") {
		t.Errorf("%v, printed\n%s", err, text)
	}
	text, err = execute(t, newCompareCommand(), "--format", "json", b, a)
	if err != nil {
		t.Fatal(err)
	}
	var c report.Comparison
	err = json.Unmarshal([]byte(text), &c)
	if err != nil || len(c.Changes) != 1 || c.Changes[0].Verdict != report.Better {
		t.Errorf("%v, printed\n%s", err, text)
	}
	for _, args := range [][]string{{a}, {a, b, a}, {a, filepath.Join(dir, "none")}, {a, b, "--format", "xml"}} {
		if text, err := execute(t, newCompareCommand(), args...); err == nil || text != "" {
			t.Errorf("compare %q: error %v, printed %q", args, err, text)
		}
	}
}
