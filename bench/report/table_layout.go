package report

import (
	"fmt"
	"slices"
	"strings"

	"vswitch/bench/stat"
)

// BridgePeer is the name of the peer that reports compare all others with: the kernel bridge.
const BridgePeer = "bridge"

// block is what a report shows of one case of a scenario, in the order it shows it.
type block struct {
	scenario, variant string
	groups            []group
	transcripts       []string // as ping prints its last line
	failures          []string
	missing           []string // peers that neither have a value nor have failed
}

// group is one metric in a block.
type group struct {
	metric, unit string
	better       Direction
	scale        scale
	bridge       []float64 // values of the kernel bridge
	rounds       int       // of the run
	rows         []row
}

// row is one peer in a group.
type row struct {
	series  *Series
	summary stat.Summary
}

// ratio is that of a row to the bridge, false if unknown. It is worked out when it is
// shown, for the order of a report is needed without it too.
func (g *group) ratio(r row) (stat.Ratio, bool) {
	return stat.RatioOf(r.series.Values, g.bridge, stat.InPairs(r.series.Values, g.bridge, g.rounds))
}

// layout orders r for people: scenarios and peers as they were asked for, then cases and
// metrics as they were measured. Failures stand with their case.
func layout(r *Result) []block {
	type place struct{ scenario, variant string }
	var order []place
	byPlace := map[place][]*Series{}
	failed := map[place][]Failure{}
	note := func(p place) {
		if byPlace[p] == nil && failed[p] == nil {
			order = append(order, p)
		}
	}
	for i := range r.Series {
		p := place{r.Series[i].Scenario, r.Series[i].Case}
		note(p)
		byPlace[p] = append(byPlace[p], &r.Series[i])
	}
	for _, f := range r.Failures {
		p := place{f.Scenario, f.Case}
		note(p)
		failed[p] = append(failed[p], f)
	}
	// What failed for the whole run, in no scenario, sorts before all with index -1.
	scenarios := inOrder(r.Settings.Scenarios, order, func(p place) string { return p.scenario })
	slices.SortStableFunc(order, func(a, b place) int {
		return slices.Index(scenarios, a.scenario) - slices.Index(scenarios, b.scenario)
	})
	peers := peersOf(r)
	blocks := make([]block, 0, len(order))
	for _, p := range order {
		b := block{scenario: p.scenario, variant: p.variant}
		b.groups = groupsOf(byPlace[p], peers, r.Settings.Rounds)
		b.transcripts = transcriptsOf(byPlace[p], peers)
		b.failures = failureLines(failed[p])
		if len(byPlace[p]) > 0 {
			excused := slices.Concat(failed[p], failed[place{p.scenario, ""}], failed[place{}])
			b.missing = missingPeers(byPlace[p], excused, r.Settings.Peers)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// inOrder is the names asked for and then all others in the order they come.
func inOrder[T any](asked []string, items []T, name func(T) string) []string {
	names := slices.Clone(asked)
	for _, item := range items {
		if n := name(item); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// peersOf is every peer of r in the order of tables, legends and colours.
func peersOf(r *Result) []string {
	peers := inOrder(r.Settings.Peers, r.Series, func(s Series) string { return s.Peer })
	return inOrder(peers, r.Failures, func(f Failure) string { return f.Peer })
}

func groupsOf(series []*Series, peers []string, rounds int) []group {
	var groups []group
	for _, s := range series {
		i := slices.IndexFunc(groups, func(g group) bool { return g.metric == s.Metric && g.unit == s.Unit })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{metric: s.Metric, unit: s.Unit, better: s.Better, rounds: rounds})
		}
		groups[i].rows = append(groups[i].rows, row{series: s, summary: stat.Summarize(s.Values)})
		if s.Peer == BridgePeer {
			groups[i].bridge = s.Values
		}
	}
	for i := range groups {
		g := &groups[i]
		var medians []float64
		for _, row := range g.rows {
			if row.summary.N > 0 {
				medians = append(medians, row.summary.Median)
			}
		}
		g.scale = scaleOf(g.unit, medians)
		slices.SortStableFunc(g.rows, func(a, b row) int {
			return slices.Index(peers, a.series.Peer) - slices.Index(peers, b.series.Peer)
		})
	}
	return groups
}

// Metrics of the ping scenario that hold what ping(8) prints in its last line: the shortest,
// the mean and the longest round-trip time.
const (
	MetricPingMin = "ping_min"
	MetricPingAvg = "ping_avg"
	MetricPingMax = "ping_max"
)

// transcriptsOf is the last line of ping for each peer that has its three figures, as
// one ping over all rounds would print it.
func transcriptsOf(series []*Series, peers []string) []string {
	var lines []string
	for _, peer := range peers {
		figures := map[string]stat.Summary{}
		mean := 0.0
		for _, s := range series {
			toMillis, known := map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[s.Unit]
			if s.Peer != peer || !known || len(s.Values) == 0 {
				continue
			}
			values := make([]float64, len(s.Values))
			sum := 0.0
			for i, v := range s.Values {
				values[i] = v * toMillis
				sum += values[i]
			}
			figures[s.Metric] = stat.Summarize(values)
			if s.Metric == MetricPingAvg {
				mean = sum / float64(len(values))
			}
		}
		low, avg, high := figures[MetricPingMin], figures[MetricPingAvg], figures[MetricPingMax]
		if low.N > 0 && avg.N > 0 && high.N > 0 {
			lines = append(lines, fmt.Sprintf("%s: rtt min/avg/max = %.3f/%.3f/%.3f ms",
				peer, low.Low, mean, high.High))
		}
	}
	return lines
}

// failureLines tells of each failure once, with all rounds in which it came.
func failureLines(failures []Failure) []string {
	type kind struct{ peer, text string }
	var order []kind
	rounds := map[kind][]string{}
	for _, f := range failures {
		k := kind{f.Peer, oneLine(f.Error)}
		if _, known := rounds[k]; !known {
			order = append(order, k)
			rounds[k] = []string{}
		}
		if f.Round > 0 {
			rounds[k] = append(rounds[k], fmt.Sprint(f.Round))
		}
	}
	lines := make([]string, 0, len(order))
	for _, k := range order {
		who := k.peer
		if who == "" {
			who = "all peers"
		}
		switch n := rounds[k]; len(n) {
		case 0:
		case 1:
			who += ", round " + n[0]
		default:
			who += ", rounds " + strings.Join(n, ", ")
		}
		lines = append(lines, fmt.Sprintf("failed: %s: %s", who, k.text))
	}
	return lines
}

// missingPeers are those asked for of which series and failures know nothing.
func missingPeers(series []*Series, failures []Failure, asked []string) []string {
	var missing []string
	for _, peer := range asked {
		measured := slices.ContainsFunc(series, func(s *Series) bool { return s.Peer == peer && len(s.Values) > 0 })
		failed := slices.ContainsFunc(failures, func(f Failure) bool { return f.Peer == peer || f.Peer == "" })
		if !measured && !failed {
			missing = append(missing, peer)
		}
	}
	return missing
}

// oneLine makes one line of an error, which may be a program's whole output, and keeps
// it from steering the terminal.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return "no reason given"
	}
	return s
}
