package api

import (
	"strconv"
	"strings"
)

// PortRange is ports of TCP or UDP, both ends included. The zero PortRange is none given, which
// each use says the meaning of.
type PortRange struct{ First, Last uint16 }

// ParsePorts reads N or N-M.
func ParsePorts(s string) (PortRange, error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	first, errLow := strconv.ParseUint(low, 10, 16)
	last, errHigh := strconv.ParseUint(high, 10, 16)
	if errLow != nil || errHigh != nil || first == 0 {
		return PortRange{}, Invalidf(
			"ports %q: want one of 1 to 65535, or a range such as 8000-8080", clip(s))
	}
	if first > last {
		return PortRange{}, Invalidf("ports %q: want the lower one first, %d-%d", clip(s), last, first)
	}
	return PortRange{uint16(first), uint16(last)}, nil
}

// Len returns the number of ports.
func (r PortRange) Len() int {
	if r == (PortRange{}) {
		return 0
	}
	return int(r.Last) - int(r.First) + 1
}

// String writes the range as ParsePorts reads it; the zero PortRange is empty.
func (r PortRange) String() string {
	switch {
	case r == PortRange{}:
		return ""
	case r.First == r.Last:
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// MarshalText implements [encoding.TextMarshaler].
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *PortRange) UnmarshalText(text []byte) (err error) {
	*r = PortRange{}
	if len(text) > 0 {
		*r, err = ParsePorts(string(text))
	}
	return err
}

// validate refuses a range that no text stands for.
func (r PortRange) validate() error {
	if r != (PortRange{}) && (r.First == 0 || r.First > r.Last) {
		return Invalidf("ports %q: want the lower one first, and from 1 on", r)
	}
	return nil
}
