package ipam

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePool(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want Pool
	}{
		{"base=10.0.0.0/8,size=24", Pool{prefix("10.0.0.0/8"), 24}},
		{"size=24,base=10.0.0.0/8", Pool{prefix("10.0.0.0/8"), 24}},
		{"Base=192.168.0.0/16,SIZE=16", Pool{prefix("192.168.0.0/16"), 16}},
		{"base=10.0.0.0/29,size=30", Pool{prefix("10.0.0.0/29"), 30}},
		{"base=::ffff:10.0.0.0/104,size=24", Pool{prefix("10.0.0.0/8"), 24}},
		{"base=FD12:3456:789A::/48,size=64", Pool{prefix("fd12:3456:789a::/48"), 64}},
		{"base=fd00::/124,size=126", Pool{prefix("fd00::/124"), 126}},
	} {
		got, err := ParsePool(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("ParsePool(%q) = %v, %v; want %v", tc.in, got, err, tc.want)
		}
	}
}

func TestParsePoolRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, says string }{
		{"", "write base=10.0.0.0/8,size=24"},
		{"10.0.0.0/8", "key=value"},
		{"base=10.0.0.0/8", "size is missing"},
		{"size=24", "base is missing"},
		{"base=10.0.0.0/8,size=24,", "key=value"},
		{"base=10.0.0.0/8,size=24,mask=1", `unknown key "mask"`},
		{"base=10.0.0.0/8,base=11.0.0.0/8,size=24", "base is given twice"},
		{"base=10.0.0.0/8,size=24,SIZE=25", "size is given twice"},
		{"base=,size=24", `base "" is not a prefix`},
		{"base=10.0.0.0,size=24", `base "10.0.0.0" is not a prefix`},
		{"base=10.0.0.0/33,size=24", "is not a prefix"},
		{"base=10.1.2.3/8,size=24", "write 10.0.0.0/8"},
		{"base=10.0.0.0/7,size=24", "from 8 to 30"},
		{"base=10.0.0.0/31,size=31", "from 8 to 30"},
		{"base=169.254.0.0/16,size=24", "link-local"}, // only when they are asked for
		{"base=10.0.0.0/24,size=31", "no room for a gateway"},
		{"base=127.0.0.0/8,size=24", "loopback"},
		{"base=fd00::/48,size=47", "from 48 to 126"},
		{"base=fd00::/48,size=127", "from 48 to 126"},
		{"base=fd00::/7,size=64", "from 8 to 126"},
		{"base=fd00::1/48,size=64", "write fd00::/48"},
		{"base=fe80::/10,size=64", "link-local"},
		{"base=::ffff:10.0.0.0/95,size=110", "host bits"},
		{"base=10.0.0.0/8,size=", `size "" is not a prefix length`},
		{"base=10.0.0.0/8,size=/24", `size "/24" is not a prefix length`},
		{"base=10.0.0.0/16,size=8", "from 16 to 30"},
		{"base=10.0.0.0/16,size=-1", "from 16 to 30"},
		{"base=10.0.0.0/16,size=31", "from 16 to 30"},
		{"base=10.0.0.0/8\n,size=24", "is not a prefix"},
	} {
		t.Run(tc.in, func(t *testing.T) {
			t.Parallel()
			_, err := ParsePool(tc.in)
			fails(t, err, ErrInvalid, tc.says)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		pools []Pool
		kind  error
		says  []string
	}{
		{"same twice", []Pool{{prefix("10.0.0.0/8"), 24}, {prefix("10.0.0.0/8"), 24}}, ErrOverlap, []string{"base=10.0.0.0/8,size=24"}},
		{
			"one in the other, not side by side",
			[]Pool{{prefix("10.128.0.0/16"), 24}, {prefix("172.17.0.0/16"), 16}, {prefix("10.0.0.0/8"), 16}},
			ErrOverlap,
			[]string{"base=10.0.0.0/8,size=16", "base=10.128.0.0/16,size=24"},
		},
		{"zero pool", []Pool{{}}, ErrInvalid, nil},
		{"size", []Pool{{prefix("10.0.0.0/8"), 4}}, ErrInvalid, []string{"from 8 to 30"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(tc.pools)
			fails(t, err, tc.kind, tc.says...)
		})
	}
}

func FuzzParsePool(f *testing.F) {
	for _, s := range []string{
		"", "base=10.0.0.0/8,size=24", "SIZE=16,base=192.168.0.0/16", "base=10.1.2.3/8,size=24", "base=fd00::/48,size=64",
		"base=10.0.0.0/8,size=99999999999999999999", "base=::ffff:10.0.0.0/104,size=+24", "base==,size", ",,,",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePool(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("ParsePool(%q): %q is not a one-line ErrInvalid", s, err)
			}
			return
		}
		if again, err := ParsePool(p.String()); err != nil || again != p {
			t.Fatalf("ParsePool(%q) = %v, but %q reads as %v, %v", s, p, p.String(), again, err)
		}
		a, err := New([]Pool{p})
		if err != nil {
			t.Fatalf("New(%v): %v", p, err)
		}
		sub, err := a.Add(SubnetConfig{IPv6: p.Base.Addr().Is6()}, nil)
		if err != nil || sub.Prefix().Addr() != p.Base.Addr() || sub.Prefix().Bits() != p.Size {
			t.Fatalf("first subnet of %v: %v, %v", p, sub, err)
		}
		if got, err := sub.Allocate(addr("")); err != nil || got != p.Base.Addr().Next().Next() {
			t.Fatalf("first lease of %v: %v, %v", p, got, err)
		}
	})
}
