package ethertype_test

import (
	"slices"
	"strings"
	"testing"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		name  ethertype.Protocol
		types []uint16
	}{
		"ptp":      {"ptp", []uint16{0x88f7}},
		"PTP":      {"ptp", []uint16{0x88f7}},
		"0x88F7":   {"ptp", []uint16{0x88f7}},
		"pppoe":    {"pppoe", []uint16{0x8863, 0x8864}},
		"0x8863":   {"0x8863", []uint16{0x8863}},
		"0x88b5":   {"0x88b5", []uint16{0x88b5}},
		"0x842":    {"wol", []uint16{0x0842}},
		"0x0600":   {"0x0600", []uint16{0x600}},
		"0xffff":   {"0xffff", []uint16{0xffff}},
		"llc":      {ethertype.LLC, nil},
		"reserved": {ethertype.ReservedGroups, nil},
		"0x9100":   {"0x9100", []uint16{0x9100}},
		"qinq":     {"qinq", []uint16{0x88a8, 0x9100}},
	} {
		got, err := ethertype.Parse(text)
		if err != nil || got != want.name || !slices.Equal(got.EtherTypes(), want.types) {
			t.Errorf(
				"%q: %q of types %x, %v; want %q of %x",
				text,
				got,
				got.EtherTypes(),
				err,
				want.name,
				want.types,
			)
		}
		if again, err := ethertype.Parse(string(got)); err != nil || again != got {
			t.Errorf("%q is read as %q, %v", got, again, err)
		}
	}
	for text, want := range map[string]string{
		"": "want the name", "is-is": "want the name", "88f7": "want the name", "0x": "want the name",
		"0x10000": "want the name", "0x5ff": "llc", "0": "want the name", "0x0800": "addresses",
		"0x0806": "addresses", "0x86dd": "addresses",
	} {
		if got, err := ethertype.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want an error with %q", text, got, err, want)
		}
	}
}

// TestNames: no EtherType has two names, and none is checked by address.
func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[uint16]ethertype.Protocol{}
	for _, name := range ethertype.Names() {
		if got, err := ethertype.Parse(string(name)); err != nil || got != name {
			t.Errorf("%q is read as %q, %v", name, got, err)
		}
		for _, e := range name.EtherTypes() {
			if frame.IsLength(e) || frame.CheckedByAddress(e) || seen[e] != "" {
				t.Errorf("0x%04x is %s and %q", e, name, seen[e])
			}
			if seen[e] = name; ethertype.Of(e) != name {
				t.Errorf("0x%04x is said to be %s, want %s", e, ethertype.Of(e), name)
			}
		}
	}
	for e, want := range map[uint16]ethertype.Protocol{0x88b5: "0x88b5", 46: ethertype.LLC, 0x5ff: ethertype.LLC, 0x600: "0x0600"} {
		if got := ethertype.Of(e); got != want {
			t.Errorf("0x%04x is said to be %s, want %s", e, got, want)
		}
	}
	for _, unknown := range []ethertype.Protocol{"", "foo", "0x12", "0xfffff"} {
		if types := unknown.EtherTypes(); types != nil {
			t.Errorf("%q has the types %x", unknown, types)
		}
	}
}
