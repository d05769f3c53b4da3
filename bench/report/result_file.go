package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"unicode"
)

// Bounds of a result file. They are far above what a run writes and keep a file from
// elsewhere from using up memory or the disk.
const (
	maxResultBytes = 64 << 20
	maxSeries      = 20_000
	maxPeers       = 64
	maxNameBytes   = 128
	maxQuantiles   = 10_001
	maxMagnitude   = 1e18  // of a measured value, in any unit
	minMagnitude   = 1e-18 // of one that is not zero
)

// ReadResult reads the result that [Result.Write] wrote to path. The error for a file
// that isn't one names the place in the file and what would be right there.
func ReadResult(path string) (*Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxResultBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	r, err := parseResult(data)
	if err != nil {
		return nil, fmt.Errorf("read result %s: %w", path, err)
	}
	return r, nil
}

func parseResult(data []byte) (*Result, error) {
	if len(data) > maxResultBytes {
		return nil, fmt.Errorf("more than %d MiB, want a result of vsbench", maxResultBytes>>20)
	}
	// The version first: another version's fields may have other types.
	var version struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, jsonError(data, err)
	}
	if version.Schema == nil {
		return nil, fmt.Errorf(`no "schema", want a result of vsbench, which has "schema": %d`, SchemaVersion)
	}
	if *version.Schema != SchemaVersion {
		return nil, fmt.Errorf("schema %d, want %d: use the vsbench that wrote it", *version.Schema, SchemaVersion)
	}
	r := new(Result)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, jsonError(data, err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// jsonError says where in data decoding failed.
func jsonError(data []byte, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("line %d: not JSON: %w", lineAt(data, syntax.Offset), err)
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("line %d: %q is a %s, want %s",
			lineAt(data, mismatch.Offset), mismatch.Field, mismatch.Value, mismatch.Type)
	}
	return fmt.Errorf("not a result: %w", err)
}

func lineAt(data []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(data)))
	return 1 + bytes.Count(data[:offset], []byte{'\n'})
}

// Write writes r to path as JSON, all of it or nothing, and replaces a file that is
// there. It refuses a result that [ReadResult] would refuse.
func (r *Result) Write(path string) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("write result %s: %w", path, err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write result %s: %w", path, err)
	}
	if err := replaceFile(path, joinNumbers(b.Bytes())); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// numbers is an indented array of numbers. No string can look like it, for in a string
// a newline is escaped.
var numbers = regexp.MustCompile(`\[\n\s+-?\d[-+.eE\d,\s]*\]`)

// joinNumbers puts every array of numbers on one line, so that a committed result has a
// line for each figure rather than for each quantile.
func joinNumbers(data []byte) []byte {
	return numbers.ReplaceAllFunc(data, func(array []byte) []byte {
		return bytes.ReplaceAll(bytes.Join(bytes.Fields(array), nil), []byte(","), []byte(", "))
	})
}

// replaceFile writes a file beside path and renames it, so that a reader finds the old
// content or the new.
func replaceFile(path string, data []byte) error {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// check says what makes r no result.
func (r *Result) check() error {
	if r.Schema != SchemaVersion {
		return fmt.Errorf("schema %d, want %d", r.Schema, SchemaVersion)
	}
	if r.Settings.Rounds < 0 || r.Settings.Duration < 0 {
		return fmt.Errorf("settings: %d rounds of %v, want none of them negative", r.Settings.Rounds, r.Settings.Duration)
	}
	if len(r.Series) > maxSeries {
		return fmt.Errorf("%d series, want at most %d", len(r.Series), maxSeries)
	}
	if err := r.checkNames(); err != nil {
		return err
	}
	seen := make(map[SeriesKey]bool, len(r.Series))
	for i := range r.Series {
		s := &r.Series[i]
		if seen[s.Key()] {
			return fmt.Errorf("series %d: %s occurs twice, want one series of each figure", i, s.Key())
		}
		seen[s.Key()] = true
		if err := s.check(r.Settings.Rounds); err != nil {
			return fmt.Errorf("series %d: %s: %w", i, s.Key(), err)
		}
	}
	return nil
}

// checkNames checks all names that tables, plots and file names are made of.
func (r *Result) checkNames() error {
	for i, s := range r.Series {
		for _, name := range []struct{ field, value string }{
			{"scenario", s.Scenario}, {"peer", s.Peer}, {"metric", s.Metric}, {"unit", s.Unit},
		} {
			if name.value == "" {
				return fmt.Errorf("series %d: no %s, want its name", i, name.field)
			}
		}
		if err := checkPrintable(s.Scenario, s.Case, s.Peer, s.Metric, s.Unit); err != nil {
			return fmt.Errorf("series %d: %w", i, err)
		}
	}
	for i, f := range r.Failures {
		if err := checkPrintable(f.Scenario, f.Case, f.Peer); err != nil {
			return fmt.Errorf("failure %d: %w", i, err)
		}
	}
	if err := checkPrintable(slices.Concat(r.Settings.Scenarios, r.Settings.Peers)...); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if n := len(peersOf(r)); n > maxPeers {
		return fmt.Errorf("%d peers, want at most %d", n, maxPeers)
	}
	return nil
}

func checkPrintable(names ...string) error {
	for _, name := range names {
		if len(name) > maxNameBytes {
			return fmt.Errorf("name %.20q… has %d bytes, want at most %d", name, len(name), maxNameBytes)
		}
		for _, c := range name {
			if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
				return fmt.Errorf("name %q: want printable characters only", name)
			}
		}
	}
	return nil
}

// check says what is wrong with the numbers of s, which is of a run of so many rounds.
func (s *Series) check(rounds int) error {
	if s.Better != Higher && s.Better != Lower {
		return fmt.Errorf("better is %q, want %q or %q", s.Better, Higher, Lower)
	}
	if len(s.Values) > rounds {
		return fmt.Errorf("%d values in %d rounds, want one a round", len(s.Values), rounds)
	}
	if n := len(s.Sample); n == 1 || n > maxQuantiles {
		return fmt.Errorf("sample of %d quantiles, want 2 to %d, evenly spaced from 0 to 1", n, maxQuantiles)
	}
	if !slices.IsSorted(s.Sample) {
		return errors.New("sample falls, want quantiles in rising order")
	}
	for _, values := range [][]float64{s.Values, s.Sample, {s.X}} {
		for _, v := range values {
			if a := math.Abs(v); math.IsNaN(v) || a > maxMagnitude || v != 0 && a < minMagnitude {
				return fmt.Errorf("value %v, want zero or a number of size %.0e to %.0e", v, minMagnitude, maxMagnitude)
			}
		}
	}
	return nil
}

// SeriesKey identifies a series within a result: scenario, case, peer and metric. It can be
// compared and used as the key of a map.
type SeriesKey struct{ scenario, variant, peer, metric string }

// Key returns the key of s, which no other series of the same result has.
func (s *Series) Key() SeriesKey { return SeriesKey{s.Scenario, s.Case, s.Peer, s.Metric} }

// String returns the key as a phrase: "rtt_p50 of bridge in ping, interval=0".
func (k SeriesKey) String() string {
	return fmt.Sprintf("%s of %s in %s", k.metric, k.peer, heading(k.scenario, k.variant))
}

// heading names a case of a scenario for people.
func heading(scenario, variant string) string {
	if scenario == "" {
		scenario = "run"
	}
	if variant == "" {
		return scenario
	}
	return scenario + ", " + variant
}
