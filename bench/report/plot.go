package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"vswitch/bench/stat"
)

// Size of a plot without its legend.
const (
	plotWidth    = 18 * vg.Centimeter
	plotHeight   = 11 * vg.Centimeter
	plotMargin   = 0.4 * vg.Centimeter
	groupWidth   = 3.2 * vg.Centimeter // at least, in a plot of many groups of bars
	maxPlotWidth = 60 * vg.Centimeter
	labelWidth   = 24 * vg.Centimeter  // of a plot of bars with their values, at most
	axisWidth    = 2.4 * vg.Centimeter // about that of the y axis with the margins
	dotsPerInch  = 144
)

// Plots lists the plots of r in the order of the report. They are: where a series has a
// sample, its distribution; where a number is varied, lines over it; else bars.
func Plots(r *Result) []Plot {
	var plots []Plot
	for _, f := range figuresOf(r) {
		plots = append(plots, f.Plot)
	}
	return plots
}

// WritePlots draws the plots of r into the folder dir, which it makes if need be, each
// as NAME.svg and NAME.png. A peer has one colour in all of them.
func WritePlots(dir string, r *Result) error {
	figures := figuresOf(r)
	if len(figures) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write plots: %w", err)
	}
	peers := peersOf(r)
	styles := stylesOf(peers)
	for _, f := range figures {
		d := drawing{figure: f, peers: peers, styles: styles}
		if err := d.write(dir); err != nil {
			return fmt.Errorf("write plot %s: %w", f.Name, err)
		}
	}
	return nil
}

// drawing is a figure while it is drawn. It builds the plot, and the legend beside it.
type drawing struct {
	figure
	peers  []string
	styles map[string]style
	scale  scale
	plot   *plot.Plot
	legend plot.Legend
	width  vg.Length
}

func (d *drawing) write(dir string) error {
	if err := d.build(); err != nil {
		return err
	}
	for _, form := range []struct {
		suffix string
		render func() ([]byte, error)
	}{{".svg", d.svg}, {".png", d.png}} {
		data, err := form.render()
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, d.Name+form.suffix), data); err != nil {
			return err
		}
	}
	return nil
}

func (d *drawing) svg() ([]byte, error) {
	c := vgsvg.New(d.size())
	d.draw(draw.New(c))
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}

func (d *drawing) png() ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(d.size()), vgimg.UseDPI(dotsPerInch))
	d.draw(draw.New(c))
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(&b)
	return b.Bytes(), err
}

// size is that of the plot with its legend.
func (d *drawing) size() (width, height vg.Length) { return d.width + d.legendWidth(), plotHeight }

// legendWidth is that of the legend and of the gap before it.
func (d *drawing) legendWidth() vg.Length {
	return d.legend.Rectangle(draw.Canvas{}).Size().X + vg.Points(16)
}

// draw puts the plot on c, with the legend in its own column at the right.
func (d *drawing) draw(c draw.Canvas) {
	legend := d.legendWidth()
	c.SetColor(d.plot.BackgroundColor)
	c.Fill(c.Path())
	c = draw.Crop(c, plotMargin, -plotMargin, plotMargin, -plotMargin)
	d.plot.Draw(draw.Crop(c, 0, -legend, 0, 0))
	top := d.plot.Title.TextStyle.Height(d.plot.Title.Text) + d.plot.Title.Padding
	left := c.Max.X - c.Min.X - legend + vg.Points(14)
	d.legend.Draw(draw.Crop(c, left, 0, 0, -top))
}

func (d *drawing) build() error {
	d.width = plotWidth
	var medians []float64
	for _, s := range d.series {
		medians = append(medians, stat.Median(s.Values))
	}
	d.scale = scaleOf(d.unit, medians)
	if d.kind == cdfKind {
		// A log axis shows all of a distribution in the unit in which it was measured.
		d.scale = scaleOf(d.unit, nil)
	}
	unit := fmt.Sprintf(" (%s)", d.scale.unit)
	x, y := words(d.xTitle), words(d.yTitle)+unit
	if d.kind == cdfKind {
		x, y = words(d.xTitle)+unit, d.yTitle
	}
	d.plot = newPlot(d.Title, x, y)
	d.legend = d.plot.Legend
	var err error
	switch d.kind {
	case cdfKind:
		err = d.buildCDF()
	case lineKind:
		err = d.buildLines()
	default:
		d.buildBars()
	}
	for _, peer := range d.failed {
		d.legend.Add(peer + ": failed")
	}
	return err
}

// of is the series of a peer in this figure.
func (d *drawing) of(peer string) []*Series {
	var series []*Series
	for _, s := range d.series {
		if s.Peer == peer {
			series = append(series, s)
		}
	}
	return series
}

// buildCDF draws each sample over a logarithmic axis, on which what isn't above zero
// stands at the left edge.
func (d *drawing) buildCDF() error {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range d.series {
		for _, v := range s.Sample {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		low, high = 1, 10
	}
	low = max(low, high/1e9)
	setLogX(d.plot, low, high)
	d.plot.Y.Min, d.plot.Y.Max = 0, 1
	d.plot.Y.Tick.Marker = percentTicks()
	for _, peer := range d.peers {
		for _, s := range d.of(peer) {
			points := make(plotter.XYs, len(s.Sample))
			for i, v := range s.Sample {
				points[i] = plotter.XY{X: max(v, d.plot.X.Min), Y: float64(i) / float64(len(s.Sample)-1)}
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			line.LineStyle = d.styles[peer].line()
			d.plot.Add(line)
			d.legend.Add(peer, line)
		}
	}
	return nil
}

func percentTicks() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, percent := range []int{0, 25, 50, 75, 90, 100} {
		ticks = append(ticks, plot.Tick{Value: float64(percent) / 100, Label: fmt.Sprintf("%d%%", percent)})
	}
	return ticks
}

// buildLines draws medians over the varied number, with bars from the smallest to the
// largest value.
func (d *drawing) buildLines() error {
	var xs []float64
	low, high := 0.0, 0.0
	for _, peer := range d.peers {
		var points spreadPoints
		for _, s := range d.of(peer) {
			xs = append(xs, s.X)
			if sum := stat.Summarize(s.Values); sum.N > 0 {
				points = append(points, spreadPoint{s.X, d.scaled(sum)})
				low, high = min(low, points[len(points)-1].Low), max(high, points[len(points)-1].High)
			}
		}
		if len(points) == 0 {
			if len(d.of(peer)) > 0 && !slices.Contains(d.failed, peer) {
				d.legend.Add(peer + ": no value")
			}
			continue
		}
		slices.SortStableFunc(points, func(a, b spreadPoint) int { return int(math.Copysign(1, a.x-b.x)) })
		if err := d.addLine(peer, points); err != nil {
			return err
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	setLogX(d.plot, xs[0], xs[len(xs)-1])
	if xs[len(xs)-1] < 8*xs[0] {
		d.plot.X.Scale = plot.LinearScale{}
	}
	d.plot.X.Tick.Marker = valueTicks(xs)
	setY(d.plot, low, high)
	return nil
}

// valueTicks labels the values that were measured, as far as there is room for them.
func valueTicks(xs []float64) plot.ConstantTicks {
	ticks := make(plot.ConstantTicks, len(xs))
	for i, x := range xs {
		ticks[i].Value = x
		if every := 1 + len(xs)/16; i%every == 0 {
			ticks[i].Label = axisNumber(x)
		}
	}
	return ticks
}

func (d *drawing) addLine(peer string, points spreadPoints) error {
	line, glyphs, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	spread, err := plotter.NewYErrorBars(points)
	if err != nil {
		return err
	}
	st := d.styles[peer]
	line.LineStyle = st.line()
	glyphs.GlyphStyle = draw.GlyphStyle{Color: st.color, Radius: vg.Points(3.2), Shape: st.glyph}
	spread.LineStyle = st.thin()
	d.plot.Add(spread, line, glyphs)
	d.legend.Add(peer, line, glyphs)
	return nil
}

// scaled is s in the unit of the figure.
func (d *drawing) scaled(s stat.Summary) stat.Summary {
	s.Median /= d.scale.divisor
	s.Low /= d.scale.divisor
	s.High /= d.scale.divisor
	return s
}

// spreadPoint is a median with the range of its values.
type spreadPoint struct {
	x float64
	stat.Summary
}

// spreadPoints implement [plotter.XYer] and [plotter.YErrorer].
type spreadPoints []spreadPoint

// Len is the number of points.
func (p spreadPoints) Len() int { return len(p) }

// XY is where a point stands.
func (p spreadPoints) XY(i int) (x, y float64) { return p[i].x, p[i].Median }

// YError is how far the values reach below and above it.
func (p spreadPoints) YError(i int) (low, high float64) {
	return p[i].Median - p[i].Low, p[i].High - p[i].Median
}
