package report

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vswitch/bench/stat"
)

// barShare is how much of a group's width its bars take.
const barShare = 0.84

// bar is one bar: a median, the range of the values, and its place on the x axis.
type bar struct {
	left, right float64
	summary     stat.Summary
	style       style
}

// bars draws bars in the plot's own coordinates, which [plotter.BarChart] does not, so
// that groups fill the plot whatever its width.
type bars struct {
	bars  []bar
	label text.Style // of the value above a bar; none where bars are narrow
	show  bool
}

// buildBars draws a group of bars for each case. A peer keeps its place in each group;
// where it has no value, the place says so.
func (d *drawing) buildBars() {
	var peers []string
	for _, peer := range d.peers {
		if len(d.of(peer)) > 0 && !slices.Contains(d.failed, peer) {
			peers = append(peers, peer)
			d.legend.Add(peer, swatch{d.styles[peer].color})
		}
	}
	drawn := bars{label: d.plot.X.Tick.Label}
	drawn.label.Font = sans(8)
	drawn.label.YAlign = draw.YBottom
	low, high := 0.0, 0.0
	for group, variant := range d.cases {
		for place, peer := range peers {
			width := barShare / float64(len(peers))
			b := bar{style: d.styles[peer], left: float64(group) - barShare/2 + float64(place)*width}
			b.right = b.left + width
			if i := slices.IndexFunc(d.series, func(s *Series) bool { return s.Case == variant && s.Peer == peer }); i >= 0 {
				b.summary = d.scaled(stat.Summarize(d.series[i].Values))
			}
			low, high = min(low, b.summary.Low), max(high, b.summary.High)
			drawn.bars = append(drawn.bars, b)
		}
	}
	groups := max(1, len(d.cases))
	d.width = min(maxPlotWidth, max(d.width, vg.Length(groups)*groupWidth))
	if labelled := drawn.labelledWidth(); labelled <= labelWidth {
		drawn.show = true
		d.width = max(d.width, labelled)
	}
	d.plot.Add(drawn)
	d.plot.X.Min, d.plot.X.Max = -0.5, float64(groups)-0.5
	setY(d.plot, low, high)
	ticks := make(plot.ConstantTicks, len(d.cases))
	for i, name := range d.cases {
		ticks[i] = plot.Tick{Value: float64(i), Label: name}
	}
	d.plot.X.Tick.Marker = ticks
	d.plot.X.Tick.Length = 0
}

// labelledWidth is how wide a plot must be for the labels not to touch.
func (b bars) labelledWidth() vg.Length {
	var widest vg.Length
	for _, bar := range b.bars {
		widest = max(widest, b.label.Width(threeDigits(bar.summary.Median)))
	}
	return axisWidth + vg.Length(len(b.bars))*(widest+vg.Points(3))/barShare
}

// Plot implements [plot.Plotter].
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, bar := range b.bars {
		left, right := x(bar.left), x(bar.right)
		gap := (right - left) * 0.08
		middle := (left + right) / 2
		if bar.summary.N == 0 {
			style := b.label
			style.Rotation, style.XAlign, style.YAlign = math.Pi/2, draw.XLeft, draw.YCenter
			style.Color = bar.style.color
			c.FillText(style, vg.Point{X: middle, Y: y(0) + vg.Points(3)}, "no value")
			continue
		}
		c.FillPolygon(bar.style.color, []vg.Point{
			{X: left + gap, Y: y(0)},
			{X: left + gap, Y: y(bar.summary.Median)},
			{X: right - gap, Y: y(bar.summary.Median)},
			{X: right - gap, Y: y(0)},
		})
		b.plotSpread(c, bar.summary, middle, (right-left)/4, y)
		if b.show {
			top := y(max(bar.summary.High, bar.summary.Median)) + vg.Points(2)
			c.FillText(b.label, vg.Point{X: middle, Y: top}, threeDigits(bar.summary.Median))
		}
	}
}

// plotSpread draws the range of the values over a white shadow, so that it is seen on
// a dark bar as well as above it.
func (b bars) plotSpread(
	c draw.Canvas, s stat.Summary, x, half vg.Length, y func(float64) vg.Length,
) {
	for _, style := range []draw.LineStyle{
		{Color: color.White, Width: vg.Points(2.4)},
		{Color: color.Gray{0x30}, Width: vg.Points(0.9)},
	} {
		c.StrokeLine2(style, x, y(s.Low), x, y(s.High))
		c.StrokeLine2(style, x-half, y(s.Low), x+half, y(s.Low))
		c.StrokeLine2(style, x-half, y(s.High), x+half, y(s.High))
	}
}

// swatch is a peer's colour in the legend of bars.
type swatch struct{ color.Color }

// Thumbnail implements [plot.Thumbnailer].
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.Color, []vg.Point{
		{X: c.Min.X + vg.Points(14), Y: c.Min.Y},
		{X: c.Min.X + vg.Points(14), Y: c.Max.Y},
		{X: c.Max.X, Y: c.Max.Y},
		{X: c.Max.X, Y: c.Min.Y},
	})
}
