package report

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Merge makes one result of several runs on the same machine, of the same program,
// that measured different things. A figure that two of them have is an error, and
// so is another machine or number of rounds: ratios hold within one run only. The
// duration of a measurement is the shortest of theirs.
func Merge(runs ...*Result) (*Result, error) {
	if len(runs) == 0 {
		return nil, errors.New("no results to merge")
	}
	first := runs[0]
	merged := *first
	merged.Series, merged.Failures = nil, nil
	merged.Machine.Tools = maps.Clone(first.Machine.Tools)
	merged.Settings.Scenarios, merged.Settings.Peers = nil, slices.Clone(first.Settings.Peers)
	for i, r := range runs {
		if err := sameGround(first, r); err != nil {
			return nil, fmt.Errorf("result %d of %d: %w", i+1, len(runs), err)
		}
		if r.Started.Before(merged.Started) {
			merged.Started = r.Started
		}
		if r.Finished.After(merged.Finished) {
			merged.Finished = r.Finished
		}
		merged.Series = append(merged.Series, r.Series...)
		merged.Failures = append(merged.Failures, r.Failures...)
		merged.Settings.Duration = min(merged.Settings.Duration, r.Settings.Duration)
		for _, name := range r.Settings.Scenarios {
			if !slices.Contains(merged.Settings.Scenarios, name) {
				merged.Settings.Scenarios = append(merged.Settings.Scenarios, name)
			}
		}
		// Only who was asked for every time is missing where it was not measured.
		merged.Settings.Peers = slices.DeleteFunc(merged.Settings.Peers, func(name string) bool {
			return !slices.Contains(r.Settings.Peers, name)
		})
	}
	if err := merged.check(); err != nil {
		return nil, fmt.Errorf("merged results: %w", err)
	}
	return &merged, nil
}

// sameGround says what keeps the figures of two runs from standing in one report.
func sameGround(a, b *Result) error {
	m, n := a.Machine, b.Machine
	switch {
	case m.CPU != n.CPU || m.CPUs != n.CPUs || m.Kernel != n.Kernel:
		return fmt.Errorf("measured on %d × %s, Linux %s, want %d × %s, Linux %s as the first", n.CPUs, n.CPU, n.Kernel, m.CPUs, m.CPU, m.Kernel)
	case m.Version != n.Version:
		return fmt.Errorf("measured vswitch %s, want %s as the first", n.Version, m.Version)
	case a.Settings.Rounds != b.Settings.Rounds:
		return fmt.Errorf("has %d rounds, want %d as the first", b.Settings.Rounds, a.Settings.Rounds)
	}
	return nil
}
