package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// logTicks labels the decades, and 2 and 5 of them too where there are few.
type logTicks struct{}

// Ticks implements [plot.Ticker]. min is above zero.
func (logTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	few := high/low < 5000
	for decade := math.Floor(math.Log10(low)); decade <= math.Log10(high); decade++ {
		for digit := 1; digit <= 9; digit++ {
			// Parsed, for 10 to a negative power is not exact when computed.
			v, err := strconv.ParseFloat(strconv.Itoa(digit)+"e"+strconv.Itoa(int(decade)), 64)
			if err != nil || v < low || v > high {
				continue
			}
			t := plot.Tick{Value: v}
			if digit == 1 || few && (digit == 2 || digit == 5) {
				t.Label = axisNumber(v)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// axisNumber writes thousands and millions short: 64k.
func axisNumber(v float64) string {
	switch {
	case math.Abs(v) >= 1e6:
		return threeShort(v/1e6) + "M"
	case math.Abs(v) >= 1e4, v == 1000:
		return threeShort(v/1e3) + "k"
	}
	return threeShort(v)
}

// threeShort writes at most three significant digits.
func threeShort(v float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil || v == math.Trunc(v) && math.Abs(v) < 1e6 {
		rounded = v
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// setLogX makes the axis logarithmic from low to high, both above zero.
func setLogX(p *plot.Plot, low, high float64) {
	if high < low*1.05 {
		low, high = low/2, high*2
	}
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = logTicks{}
	p.X.Min, p.X.Max = low, high
}

// setY makes the axis begin at zero, unless values are below, and leaves room above.
func setY(p *plot.Plot, low, high float64) {
	low, high = min(low, 0), max(high, 0)
	if low == high {
		high = 1
	}
	p.Y.Min, p.Y.Max = low*1.06, high*1.06
	p.Y.Tick.Marker = linearTicks{}
}

// linearTicks labels about six round values.
type linearTicks struct{}

// Ticks implements [plot.Ticker].
func (linearTicks) Ticks(low, high float64) []plot.Tick {
	size := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, factor := range []float64{5, 2} {
		if (high-low)/(size*factor) >= 4 {
			size *= factor
			break
		}
	}
	var ticks []plot.Tick
	for k := math.Ceil(low / size); k*size <= high; k++ {
		ticks = append(ticks, plot.Tick{Value: k * size, Label: axisNumber(k * size)})
	}
	return ticks
}
