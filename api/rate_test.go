package api_test

import (
	"strings"
	"testing"

	"vswitch/api"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		rate      api.Rate
		canonical string
	}{
		"100mbit":           {api.Rate{BitsPerSecond: 100_000_000}, "100mbit"},
		"1000MBit":          {api.Rate{BitsPerSecond: 1_000_000_000}, "1gbit"},
		"1500kbit":          {api.Rate{BitsPerSecond: 1_500_000}, "1500kbit"},
		"1001bit":           {api.Rate{BitsPerSecond: 1001}, "1001bit"},
		"1tbit":             {api.Rate{BitsPerSecond: 1_000_000_000_000}, "1tbit"},
		"100mbit:64kb":      {api.Rate{BitsPerSecond: 100_000_000, BurstBytes: 65536}, "100mbit:64kb"},
		"10gbit:1024mb":     {api.Rate{BitsPerSecond: 10_000_000_000, BurstBytes: 1 << 30}, "10gbit:1gb"},
		"1gbit:1b":          {api.Rate{BitsPerSecond: 1_000_000_000, BurstBytes: 1}, "1gbit:1b"},
		"none":              {api.Rate{}, "none"},
		"0000000000001kbit": {api.Rate{BitsPerSecond: 1000}, "1kbit"},
	} {
		got, err := api.ParseRate(text)
		if err != nil || got != want.rate || got.String() != want.canonical {
			t.Errorf("%q: got %+v, %s, %v, want %+v, %s", text, got, got, err, want.rate, want.canonical)
		}
	}
}

func TestParseRateRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "whole number", "100": "with bit", "mbit": "whole number", "1.5mbit": "whole number", "-1mbit": "whole number",
		"+1mbit": "whole number", "100 mbit": "whole number", "100mb": "with bit", "100mbps": "with bit", "0bit": "out of range",
		"999bit": "out of range", "2tbit": "out of range", "99999999999999999999bit": "whole number",
		"18446744073709551615tbit": "whole number", "1mbit:": "burst", "1mbit:64": "burst", "1mbit:64kbit": "burst",
		"1mbit:0b": "1b to 1gb", "1mbit:2gb": "1b to 1gb", "1mbit:1kb:1kb": "burst", "\x00": "whole number", "\x82": "whole number", "1\u212abit": "whole number",
	} {
		if got, err := api.ParseRate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want an error with %q", text, got, err, want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"100mbit", "1gbit:64kb", "none", "1001bit:3b", "kbit", ":", "1tbit:1gb", "1\x82"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := api.ParseRate(s)
		if err != nil {
			return
		}
		again, err := api.ParseRate(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %+v, written as %q it is %+v, %v", s, r, r, again, err)
		}
	})
}
