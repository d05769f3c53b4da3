package api

import (
	"strconv"
	"strings"
)

// Rate bounds a flow of frames. The zero Rate is no bound.
type Rate struct {
	BitsPerSecond uint64
	BurstBytes    uint64 // may pass at once; 0: the switch's default
}

// Bounds of a [Rate].
const (
	minRate  = 1000              // bit/s
	maxRate  = 1_000_000_000_000 // bit/s
	maxBurst = 1 << 30           // bytes
)

// noRate is how a rate is written that bounds nothing.
const noRate = "none"

type unit struct {
	name  string
	times uint64
}

// Units as in tc(8): rates in decimal multiples of bits per second, sizes in
// binary multiples of bytes. The largest come first.
var (
	rateUnits = []unit{{"tbit", 1e12}, {"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}
	sizeUnits = []unit{{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"b", 1}}
)

// ParseRate reads a rate as tc(8) has them, such as 100mbit, with an optional
// burst behind a colon, as in 100mbit:64kb; "none" is the zero Rate.
func ParseRate(s string) (Rate, error) {
	if strings.EqualFold(s, noRate) {
		return Rate{}, nil
	}
	text, burst, hasBurst := strings.Cut(s, ":")
	var r Rate
	var ok bool
	if r.BitsPerSecond, ok = parseQuantity(text, rateUnits); !ok {
		return Rate{}, Invalidf("rate %q: want a whole number with bit, kbit, mbit, gbit or tbit, such as 100mbit, or none", clip(s))
	}
	if r.BitsPerSecond < minRate || r.BitsPerSecond > maxRate {
		return Rate{}, Invalidf("rate %q is out of range: want 1kbit to 1tbit, or none", clip(s))
	}
	if !hasBurst {
		return r, nil
	}
	if r.BurstBytes, ok = parseQuantity(burst, sizeUnits); !ok {
		return Rate{}, Invalidf("rate %q: want a burst with b, kb, mb or gb behind the colon, such as 100mbit:64kb", clip(s))
	}
	if r.BurstBytes < 1 || r.BurstBytes > maxBurst {
		return Rate{}, Invalidf("rate %q: want a burst of 1b to 1gb", clip(s))
	}
	return r, nil
}

// parseQuantity reads digits and a unit.
func parseQuantity(s string, units []unit) (uint64, bool) {
	// Not by strings.ToLower: it makes three bytes of one that is no UTF-8.
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if strings.HasPrefix(digits, "+") {
		return 0, false
	}
	for _, u := range units {
		if !strings.EqualFold(s[len(digits):], u.name) {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || n > 1<<62/u.times {
			return 0, false
		}
		return n * u.times, true
	}
	return 0, false
}

// String writes the rate as ParseRate reads it, in the largest units that take no
// fraction.
func (r Rate) String() string {
	if r == (Rate{}) {
		return noRate
	}
	s := quantity(r.BitsPerSecond, rateUnits)
	if r.BurstBytes != 0 {
		s += ":" + quantity(r.BurstBytes, sizeUnits)
	}
	return s
}

func quantity(n uint64, units []unit) string {
	for _, u := range units {
		if n >= u.times && n%u.times == 0 {
			return strconv.FormatUint(n/u.times, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10) + units[len(units)-1].name
}

// MarshalText implements [encoding.TextMarshaler].
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// validate refuses a rate that ParseRate would.
func (r Rate) validate(what string) error {
	if r == (Rate{}) {
		return nil
	}
	if _, err := ParseRate(r.String()); err != nil {
		return about(what, err)
	}
	return nil
}
