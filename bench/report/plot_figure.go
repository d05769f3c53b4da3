package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is what a figure looks like.
type kind int

const (
	cdfKind  kind = iota // cumulative distribution of a sample, a line per peer
	barKind              // a group of bars per case, a bar per peer
	lineKind             // a line per peer over the varied number
)

// figure is one plot before it is drawn.
type figure struct {
	Plot
	kind   kind
	unit   string
	yTitle string
	xTitle string
	cases  []string // in order
	series []*Series
	failed []string // peers that failed in all cases of the figure
}

// figuresOf is all plots of r in the order of the report.
func figuresOf(r *Result) []figure {
	blocks := layout(r)
	var figures []figure
	for i := 0; i < len(blocks); {
		end := i + 1
		for end < len(blocks) && blocks[end].scenario == blocks[i].scenario {
			end++
		}
		figures = append(figures, scenarioFigures(blocks[i:end])...)
		i = end
	}
	names := map[string]int{}
	for i := range figures {
		f := &figures[i]
		names[f.Name]++
		if n := names[f.Name]; n > 1 {
			f.Name += "-" + strconv.Itoa(n)
			names[f.Name]++
		}
		f.failed = failedPeers(r, f)
	}
	return figures
}

// scenarioFigures is the plots of one scenario, whose cases are in blocks.
func scenarioFigures(blocks []block) []figure {
	var figures []figure
	sampled := map[string]bool{} // units of which the distribution is drawn
	for _, b := range blocks {
		for _, g := range b.groups {
			if f, ok := cdfFigure(b, g); ok {
				figures = append(figures, f)
				sampled[g.unit] = true
			}
		}
	}
	for _, m := range metricsOf(blocks) {
		families := familiesOf(m.series)
		for _, family := range families {
			switch {
			case family.scales():
				figures = append(figures, lineFigure(m, family, len(families) > 1))
			case sampled[m.unit]: // its percentiles can be read from the distribution
			default:
				figures = append(figures, barFigure(m, family.series))
			}
		}
	}
	return figures
}

func cdfFigure(b block, g group) (figure, bool) {
	f := figure{kind: cdfKind, unit: g.unit, cases: []string{b.variant}}
	for _, row := range g.rows {
		if len(row.series.Sample) > 0 {
			f.series = append(f.series, row.series)
		}
	}
	what := g.metric // of rtt_p50, the sample is of all rtt
	if i := strings.LastIndex(what, "_p"); i > 0 {
		if _, err := strconv.ParseFloat(what[i+2:], 64); err == nil {
			what = what[:i]
		}
	}
	f.Plot = newPlotName(b.scenario, what, b.variant)
	f.xTitle, f.yTitle = what, "share of measurements"
	return f, len(f.series) > 0
}

// metric is one metric over all cases of a scenario.
type metric struct {
	scenario, name, unit string
	series               []*Series
}

func metricsOf(blocks []block) []metric {
	var metrics []metric
	for _, b := range blocks {
		for _, g := range b.groups {
			i := slices.IndexFunc(metrics, func(m metric) bool { return m.name == g.metric && m.unit == g.unit })
			if i < 0 {
				i = len(metrics)
				metrics = append(metrics, metric{scenario: b.scenario, name: g.metric, unit: g.unit})
			}
			for _, row := range g.rows {
				metrics[i].series = append(metrics[i].series, row.series)
			}
		}
	}
	return metrics
}

// family is the cases that differ in the varied number only.
type family struct {
	varied string // what the number counts: ports
	rest   string // what stays: pairs=1
	series []*Series
}

// familiesOf parts series by what stays. What does not scale is one family.
func familiesOf(series []*Series) []family {
	var scaling []family
	var others family
	for _, s := range series {
		varied, rests := variedIn(s)
		if len(rests) == 0 {
			others.series = append(others.series, s)
		}
		for _, rest := range rests {
			i := slices.IndexFunc(scaling, func(f family) bool { return f.varied == varied && f.rest == rest })
			if i < 0 {
				i = len(scaling)
				scaling = append(scaling, family{varied: varied, rest: rest})
			}
			scaling[i].series = append(scaling[i].series, s)
		}
	}
	families := slices.DeleteFunc(slices.Clone(scaling), func(f family) bool { return !f.scales() })
	drawn := slices.Clone(families)
	for _, f := range scaling {
		for _, s := range f.series {
			if !slices.Contains(others.series, s) && !slices.ContainsFunc(drawn, func(f family) bool { return slices.Contains(f.series, s) }) {
				others.series = append(others.series, s)
			}
		}
	}
	if len(others.series) > 0 {
		families = append(families, others)
	}
	return families
}

// variedIn splits a case such as "ports=256,pairs=1", in which X is 256, into what
// varies and what stays. Of two ports, one pair is all pairs too. The scenarios tcp and
// frames vary nothing here: their few streams and sizes are read one by one, in bars.
func variedIn(s *Series) (varied string, rests []string) {
	if s.X <= 0 || s.Scenario == "tcp" || s.Scenario == "frames" {
		return "", nil
	}
	parts := strings.Split(s.Case, ",")
	at := max(0, slices.IndexFunc(parts, func(part string) bool { return numberIn(part) == s.X }))
	varied, _, ok := strings.Cut(parts[at], "=")
	if !ok {
		return "", nil
	}
	parts = slices.Delete(parts, at, at+1)
	all := slices.IndexFunc(parts, func(part string) bool {
		return strings.HasPrefix(part, "pairs=") && numberIn(part) == s.X/2
	})
	if all < 0 || s.X == 2 {
		rests = append(rests, strings.Join(parts, ","))
	}
	if all >= 0 {
		parts[all] = "pairs=all"
		rests = append(rests, strings.Join(parts, ","))
	}
	return varied, rests
}

// numberIn is the number of a part such as "ports=256", 0 if it has none.
func numberIn(part string) float64 {
	_, text, _ := strings.Cut(part, "=")
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return v
}

// scales is true of at least two values of the varied number.
func (f *family) scales() bool {
	return f.varied != "" && slices.ContainsFunc(f.series, func(s *Series) bool { return s.X != f.series[0].X })
}

func lineFigure(m metric, f family, several bool) figure {
	rest := ""
	if several {
		rest = f.rest
	}
	return figure{
		Plot: newPlotName(m.scenario, m.name, rest), kind: lineKind, unit: m.unit,
		xTitle: f.varied, yTitle: m.name, cases: casesOf(f.series), series: f.series,
	}
}

func barFigure(m metric, series []*Series) figure {
	return figure{
		Plot: newPlotName(m.scenario, m.name, ""), kind: barKind, unit: m.unit,
		yTitle: m.name, cases: casesOf(series), series: series,
	}
}

func casesOf(series []*Series) []string {
	return inOrder(nil, series, func(s *Series) string { return s.Case })
}

// failedPeers are those of which the figure has nothing, though they were to be in it.
func failedPeers(r *Result, f *figure) []string {
	var failed []string
	for _, peer := range peersOf(r) {
		shown := slices.ContainsFunc(f.series, func(s *Series) bool {
			return s.Peer == peer && (len(s.Values) > 0 || len(s.Sample) > 0)
		})
		if !shown && slices.ContainsFunc(r.Failures, func(x Failure) bool {
			return x.Peer == peer && (x.Scenario == f.Scenario || x.Scenario == "") && (x.Case == "" || slices.Contains(f.cases, x.Case))
		}) {
			failed = append(failed, peer)
		}
	}
	return failed
}

// Plot names one plot of a report.
type Plot struct {
	Scenario string
	Title    string
	Name     string // of its files, without .svg and .png
}

func newPlotName(scenario, metric, variant string) Plot {
	p := Plot{Scenario: scenario, Title: fmt.Sprintf("%s: %s", scenario, words(metric)), Name: scenario + "-" + metric}
	if variant != "" {
		p.Title += ", " + variant
		p.Name += "-" + variant
	}
	p.Name = fileName(p.Name)
	return p
}

// words is a metric's name for people.
func words(metric string) string { return strings.ReplaceAll(metric, "_", " ") }

// fileName keeps what is plain in a file name and in a link.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, s)
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.TrimLeft(s, ".")
}
