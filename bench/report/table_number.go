package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// scale turns values of a unit into what people read best.
type scale struct {
	divisor float64
	unit    string
}

// step is one unit after another: it serves from the value from on.
type step struct {
	from float64
	scale
}

// scaleOf is one scale for all of values, so that they can be compared at a glance.
// Rates and sizes follow the largest value, times the smallest.
func scaleOf(unit string, values []float64) scale {
	plain := scale{1, unit}
	var largest, smallest float64
	for _, v := range values {
		v = math.Abs(v)
		largest = max(largest, v)
		if v > 0 && (smallest == 0 || v < smallest) {
			smallest = v
		}
	}
	switch {
	case unit == "us":
		plain.unit = "µs"
		return pick(smallest, plain, step{1e3, scale{1e3, "ms"}}, step{1e6, scale{1e6, "s"}})
	case unit == "B" || unit == "bytes":
		return pick(largest, plain, step{1 << 13, scale{1 << 10, "KiB"}}, step{1 << 23, scale{1 << 20, "MiB"}})
	case isCountRate(unit):
		return pick(largest, plain, step{1e4, scale{1e3, "k " + unit}}, step{1e6, scale{1e6, "M " + unit}})
	}
	return plain
}

// isCountRate is true for frames/s and its like, not for Gb/s, which has a prefix.
func isCountRate(unit string) bool {
	what, ok := strings.CutSuffix(unit, "/s")
	return ok && len(what) > 2 && what == strings.ToLower(what)
}

func pick(v float64, plain scale, steps ...step) scale {
	for _, s := range slices.Backward(steps) {
		if v >= s.from {
			return s.scale
		}
	}
	return plain
}

func (s scale) text(v float64) string { return threeDigits(v / s.divisor) }

// threeDigits writes three significant digits, and whole numbers from 1000 on.
func threeDigits(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	// Rounded first: 9.996 is 10.0, not 10.00.
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		rounded = v
	}
	places := 2 - int(math.Floor(math.Log10(math.Abs(rounded))))
	if places < 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if places > 9 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(rounded, 'f', places, 64)
}
