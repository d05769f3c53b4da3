package report

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// style is how a peer looks in every plot.
type style struct {
	color  color.RGBA
	dashes []vg.Length
	glyph  draw.GlyphDrawer
}

// palette tells its colours apart under the common kinds of colour blindness: those of
// Okabe and Ito without their yellow, which is too pale for a line on white, and wine,
// olive, indigo and sand of Paul Tol's "muted". Dashes and glyphs differ too, for print in grey.
func palette() []style {
	return []style{
		{color.RGBA{0x00, 0x00, 0x00, 0xff}, nil, draw.CircleGlyph{}},                   // black
		{color.RGBA{0x00, 0x72, 0xb2, 0xff}, nil, draw.BoxGlyph{}},                      // blue
		{color.RGBA{0x56, 0xb4, 0xe9, 0xff}, nil, draw.TriangleGlyph{}},                 // sky blue
		{color.RGBA{0x00, 0x9e, 0x73, 0xff}, nil, draw.PyramidGlyph{}},                  // bluish green
		{color.RGBA{0xe6, 0x9f, 0x00, 0xff}, []vg.Length{6, 2}, draw.RingGlyph{}},       // orange
		{color.RGBA{0x88, 0x22, 0x55, 0xff}, []vg.Length{6, 2}, draw.CrossGlyph{}},      // wine
		{color.RGBA{0x99, 0x99, 0x33, 0xff}, []vg.Length{6, 2}, draw.PlusGlyph{}},       // olive
		{color.RGBA{0xd5, 0x5e, 0x00, 0xff}, []vg.Length{2, 2}, draw.SquareGlyph{}},     // vermilion
		{color.RGBA{0xcc, 0x79, 0xa7, 0xff}, []vg.Length{2, 2}, draw.BoxGlyph{}},        // reddish purple
		{color.RGBA{0x80, 0x80, 0x80, 0xff}, []vg.Length{7, 2, 1, 2}, draw.RingGlyph{}}, // grey
		{color.RGBA{0x33, 0x22, 0x88, 0xff}, []vg.Length{1, 2}, draw.CrossGlyph{}},      // indigo
		{color.RGBA{0xbb, 0xaa, 0x55, 0xff}, []vg.Length{1, 2}, draw.PlusGlyph{}},       // sand, darker
	}
}

// preferred is where in the palette a peer stands in every report, whatever else is in it.
func preferred(peer string) (int, bool) {
	i := slices.Index([]string{
		BridgePeer, "vswitch-adaptive", "vswitch-busy", "vswitch-sleep",
		"relay-adaptive", "relay-busy", "relay-sleep", "ovs", "ovs-tso", "vde", "docker-bridge", "docker-vswitch",
	}, peer)
	return i, i >= 0
}

// stylesOf gives each peer its place, and those without one what the others left.
func stylesOf(peers []string) map[string]style {
	all := palette()
	styles := make(map[string]style, len(peers))
	taken := map[int]bool{}
	var rest []string
	for _, peer := range peers {
		if i, ok := preferred(peer); ok {
			styles[peer], taken[i] = all[i], true
		} else {
			rest = append(rest, peer)
		}
	}
	next := 0
	for _, peer := range rest {
		for next < len(all) && taken[next] {
			next++
		}
		// With more peers than colours, the colours come again with other dashes.
		s := all[next%len(all)]
		if next >= len(all) {
			s.dashes = []vg.Length{1, vg.Length(2 + next/len(all))}
		}
		styles[peer] = s
		next++
	}
	return styles
}

// line is the peer's line of a plot.
func (s style) line() draw.LineStyle {
	return draw.LineStyle{Color: s.color, Width: vg.Points(1.6), Dashes: s.dashes}
}

// thin is the peer's line for error bars.
func (s style) thin() draw.LineStyle {
	return draw.LineStyle{Color: s.color, Width: vg.Points(0.8)}
}

func sans(size float64) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
}

// newPlot is an empty plot with the fonts and the look of all plots.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(10)
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Label.Padding, p.Y.Label.Padding = vg.Points(4), vg.Points(4)
	for _, s := range []struct {
		style *text.Style
		size  float64
	}{
		{&p.Title.TextStyle, 13},
		{&p.Legend.TextStyle, 10.5},
		{&p.X.Label.TextStyle, 11},
		{&p.Y.Label.TextStyle, 11},
		{&p.X.Tick.Label, 10},
		{&p.Y.Tick.Label, 10},
	} {
		s.style.Font = sans(s.size)
	}
	p.X.Tick.Length, p.Y.Tick.Length = vg.Points(5), vg.Points(5)
	p.Legend.Left, p.Legend.Top = true, true
	p.Legend.Padding = vg.Points(4)
	p.Legend.ThumbnailWidth = vg.Points(30)
	p.Add(newGrid())
	return p
}

// grid draws pale lines across the plot at labelled ticks.
type grid struct{ draw.LineStyle }

func newGrid() grid {
	return grid{draw.LineStyle{Color: color.Gray{0xe0}, Width: vg.Points(0.6)}}
}

// Plot implements [plot.Plotter].
func (g grid) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if !t.IsMinor() && t.Value >= p.Y.Min && t.Value <= p.Y.Max {
			c.StrokeLine2(g.LineStyle, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
	if _, log := p.X.Scale.(plot.LogScale); !log {
		return // bars: lines between groups would only disturb
	}
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if !t.IsMinor() && t.Value >= p.X.Min && t.Value <= p.X.Max {
			c.StrokeLine2(g.LineStyle, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
}
