package ipam

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// addr and prefix read "" as the zero value.
func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func prefix(s string) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	return netip.MustParsePrefix(s)
}

func prefixes(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, prefix(s))
	}
	return ps
}

func config(subnet, gateway, leaseFrom string) SubnetConfig {
	return SubnetConfig{Prefix: prefix(subnet), Gateway: addr(gateway), Range: prefix(leaseFrom)}
}

func newAllocator(t *testing.T, pools ...Pool) *Allocator {
	t.Helper()
	a, err := New(pools)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func add(t *testing.T, a *Allocator, cfg SubnetConfig, avoid ...netip.Prefix) *Subnet {
	t.Helper()
	s, err := a.Add(cfg, avoid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lease requests want ("" for the next) and checks that it gets wanted.
func lease(t *testing.T, s *Subnet, want, wanted string) {
	t.Helper()
	got, err := s.Allocate(addr(want))
	if err != nil {
		t.Fatalf("Allocate(%q): %v", want, err)
	}
	if got != addr(wanted) {
		t.Fatalf("Allocate(%q) = %s, want %s", want, got, wanted)
	}
}

func release(t *testing.T, s *Subnet, a string) {
	t.Helper()
	if err := s.Release(addr(a)); err != nil {
		t.Fatal(err)
	}
}

// fails checks an error's kind, that the kind is the only one, that it is one
// line, and that it names what the user needs to see.
func fails(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want kind %q", err, kind)
	}
	for _, other := range []error{ErrInvalid, ErrOverlap, ErrExhausted, ErrOutside, ErrInUse, ErrFull, ErrNotLeased} {
		if !errors.Is(kind, other) && errors.Is(err, other) {
			t.Errorf("error %v is also of kind %q", err, other)
		}
	}
	text := err.Error()
	if strings.ContainsAny(text, "\n\r") {
		t.Errorf("error is more than one line: %q", text)
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("error %q does not say %q", text, s)
		}
	}
}

func sameAddrs(t *testing.T, got []netip.Addr, want ...string) {
	t.Helper()
	var w []netip.Addr
	for _, s := range want {
		w = append(w, addr(s))
	}
	if !slices.Equal(got, w) {
		t.Fatalf("leases %v, want %v", got, w)
	}
}
