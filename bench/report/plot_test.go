package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

func TestWritePlotsDrawsValidFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "plots")
	r := synthetic()
	if err := WritePlots(dir, r); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ping-rtt-interval-3ms", "ping-rtt-interval-0", "tcp-throughput", "tcp-cpu_seconds_per_gb",
		"frames-delivered_rate", "ports-delivered_rate-pairs-1", "ports-delivered_rate-pairs-all",
	}
	var got []string
	for _, p := range Plots(r) {
		got = append(got, p.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("plots %q, want %q", got, want)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2*len(want) {
		t.Errorf("%d files %v, want %d and nothing else", len(files), files, 2*len(want))
	}
	styles := stylesOf(peersOf(r))
	for _, name := range want {
		text := svgText(t, filepath.Join(dir, name+".svg"))
		colors := pngColors(t, filepath.Join(dir, name+".png"))
		for _, peer := range []string{"bridge", "vswitch-adaptive", "vswitch-sleep", "ovs"} {
			if !slices.Contains(text, peer) {
				t.Errorf("%s: legend %q lacks %s", name, text, peer)
			}
			if !colors[styles[peer].color] {
				t.Errorf("%s: nothing drawn in the colour of %s", name, peer)
			}
		}
	}
	for name, want := range map[string]string{
		"frames-delivered_rate":        "vde: failed",
		"ports-delivered_rate-pairs-1": "ovs-tso: failed",
		"tcp-throughput":               "no value",
		"ping-rtt-interval-0":          "rtt (µs)",
		"tcp-cpu_seconds_per_gb":       "cpu seconds per gb (s/GB)",
	} {
		if text := svgText(t, filepath.Join(dir, name+".svg")); !slices.Contains(text, want) {
			t.Errorf("%s: no text %q in %q", name, want, text)
		}
	}
}

// svgText is the text elements of an SVG file, which must be well-formed.
func svgText(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return textOf(t, path, f)
}

func textOf(t *testing.T, path string, r io.Reader) []string {
	t.Helper()
	var text []string
	inText := false
	for d := xml.NewDecoder(r); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return text
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.CharData:
			if inText {
				text = append(text, strings.TrimSpace(string(token)))
			}
		case xml.EndElement:
			inText = false
		}
	}
}

// pngColors is the colours in a PNG file.
func pngColors(t *testing.T, path string) map[color.RGBA]bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if size := img.Bounds().Size(); size.X < 800 || size.Y < 500 {
		t.Errorf("%s: %v pixels, too few to be read", path, size)
	}
	colors := map[color.RGBA]bool{}
	opaque, ok := img.(*image.RGBA)
	if !ok {
		t.Fatalf("%s: %T, want an opaque picture", path, img)
	}
	for pixel := range slices.Chunk(opaque.Pix, 4) {
		colors[color.RGBA{pixel[0], pixel[1], pixel[2], pixel[3]}] = true
	}
	return colors
}

func TestPlotsStandExtremes(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Series{
		"zeros":          {Scenario: "x", Values: []float64{0, 0}, Sample: []float64{0, 0}},
		"sample of zero": {Scenario: "x", Sample: []float64{0, 0, 5}},
		"negative":       {Scenario: "x", Values: []float64{-5, -1}, Sample: []float64{-1e18, -1}},
		"huge":           {Scenario: "x", Values: []float64{maxMagnitude, minMagnitude}, Sample: []float64{minMagnitude, maxMagnitude}},
		"tiny":           {Scenario: "x", Values: []float64{minMagnitude}, Sample: []float64{minMagnitude, minMagnitude}},
		"no values":      {Scenario: "x"},
		"odd names":      {Scenario: "../../x/<&>", Case: "a=\"b\",=,", Values: []float64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Peer, s.Metric, s.Unit, s.Better = "p<&>\"'", "m", "us", Lower
			scaled := s
			scaled.Metric, scaled.Case, scaled.X, scaled.Sample = "scaled", "n=1", minMagnitude, nil
			more := scaled
			more.Case, more.X = "n=2", maxMagnitude
			r := &Result{Schema: SchemaVersion, Settings: Settings{Rounds: 2}, Series: []Series{s, scaled, more}}
			if err := r.check(); err != nil {
				t.Fatal(err)
			}
			for _, f := range figuresOf(r) {
				d := drawing{figure: f, peers: peersOf(r), styles: stylesOf(peersOf(r))}
				if err := d.build(); err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
				svg, err := d.svg()
				if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
				if strings.ContainsAny(f.Name, "/\\<>") || strings.Contains(string(svg), "NaN") {
					t.Errorf("%s: not the name of a file, or no number in it", f.Name)
				}
				if text := textOf(t, f.Name, bytes.NewReader(svg)); !slices.ContainsFunc(text, func(s string) bool { return strings.Contains(s, r.Series[0].Peer) }) {
					t.Errorf("%s: text %q lacks the peer", f.Name, text)
				}
			}
		})
	}
}

func TestWritePlotsOfNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "plots")
	if err := WritePlots(dir, &Result{Schema: SchemaVersion}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder for no plots: %v", err)
	}
}

func TestFamilies(t *testing.T) {
	t.Parallel()
	at := func(variant string, x float64) *Series {
		return &Series{Scenario: "ports", Case: variant, X: x, Values: []float64{1}}
	}
	two, one, all := at("ports=2,pairs=1", 2), at("ports=16,pairs=1", 16), at("ports=16,pairs=8", 16)
	alone, idle := at("ports=64,pairs=7", 64), at("idle", 64)
	families := familiesOf([]*Series{two, one, all, alone, idle})
	want := []family{
		{"ports", "pairs=1", []*Series{two, one}},
		{"ports", "pairs=all", []*Series{two, all}},
		{"", "", []*Series{idle, alone}},
	}
	if !reflect.DeepEqual(families, want) {
		t.Errorf("got %+v, want %+v", families, want)
	}
}

func TestPlotNamesAreUnique(t *testing.T) {
	t.Parallel()
	var series []Series
	for _, metric := range []string{"a b", "a-b", "A-B", "a-b-2"} {
		series = append(series, Series{Scenario: "x", Peer: "p", Metric: metric, Unit: "u", Better: Higher, Values: []float64{1}})
	}
	seen := map[string]bool{}
	for _, p := range Plots(&Result{Schema: SchemaVersion, Settings: Settings{Rounds: 1}, Series: series}) {
		if seen[p.Name] {
			t.Errorf("%s twice: one plot would overwrite the other", p.Name)
		}
		seen[p.Name] = true
	}
	if len(seen) != len(series) {
		t.Errorf("%d plots, want %d", len(seen), len(series))
	}
}

func TestStylesAreOfThePeer(t *testing.T) {
	t.Parallel()
	all := stylesOf(allPeers)
	some := stylesOf([]string{"custom", "vde", "bridge"})
	for _, peer := range []string{"vde", "bridge"} {
		if all[peer].color != some[peer].color {
			t.Errorf("%s changes its colour with the peers beside it", peer)
		}
	}
	many := slices.Clone(allPeers)
	for _, c := range "abcdefgh" {
		many = append(many, "peer-"+string(c))
	}
	type look struct {
		color  color.RGBA
		dashes string
	}
	seen := map[look]string{}
	for peer, s := range stylesOf(many) {
		var dashes strings.Builder
		for _, d := range s.dashes {
			dashes.WriteString(" " + threeDigits(float64(d)))
		}
		l := look{s.color, dashes.String()}
		if other, ok := seen[l]; ok {
			t.Errorf("%s looks as %s does", peer, other)
		}
		seen[l] = peer
	}
}

func TestLinearTicks(t *testing.T) {
	t.Parallel()
	for _, high := range []float64{1e-17, 0.037, 1, 1.43, 9.99, 10, 4096, 1e18} {
		for _, low := range []float64{0, -high / 3} {
			ticks := linearTicks{}.Ticks(low, high)
			if n := len(ticks); n < 4 || n > 14 {
				t.Errorf("%d ticks from %v to %v: %v", n, low, high, ticks)
			}
			zero := slices.IndexFunc(ticks, func(t plot.Tick) bool { return t.Value == 0 })
			if zero < 0 {
				t.Errorf("no tick at zero from %v to %v", low, high)
			}
		}
	}
}

func TestLogTicksLabelSome(t *testing.T) {
	t.Parallel()
	for _, r := range [][2]float64{{2, 40}, {1, 1e9}, {0.013, 0.09}, {13, 1590}} {
		var labels []string
		for _, tick := range (logTicks{}).Ticks(r[0], r[1]) {
			if tick.Value < r[0] || tick.Value > r[1] {
				t.Errorf("tick at %v outside %v", tick.Value, r)
			}
			if tick.Label != "" {
				labels = append(labels, tick.Label)
			}
		}
		if n := len(labels); n < 2 || n > 14 {
			t.Errorf("%v: labels %q", r, labels)
		}
	}
}
