package main

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"vswitch/api"
)

// TestCleaned: whatever an object has in it, no text of it can steer a terminal, and all else is
// as it was.
func TestCleaned(t *testing.T) {
	t.Parallel()
	const dirty, clean = "\x1b[31mred\xff\u2028", "?[31mred??"
	made := func(s string) api.Port {
		return api.Port{
			Name: s, IfName: "eth0", MAC: api.MAC{2, 0, 0, 0, 0, 1}, Aliases: api.Aliases{"a", s},
			IPs:    []netip.Prefix{netip.MustParsePrefix("172.17.0.2/16")},
			Labels: map[string]string{"k" + s: s}, Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
			Counters: api.Counters{RxFrames: 7, Drops: map[string]uint64{s: 3}}, State: api.PortState(s),
		}
	}
	port := made(dirty)
	if got, want := cleaned(port), made(clean); !reflect.DeepEqual(got, want) {
		t.Errorf("cleaned is\n%+v, want\n%+v", got, want)
	}
	if !reflect.DeepEqual(port, made(dirty)) {
		t.Error("the object itself was changed")
	}
	text, number := dirty, 5
	type inner struct{ Text *string }
	type outer struct {
		Any  any
		None any
		In   *inner
		Nil  *inner
		N    *int
		List []string
	}
	got := cleaned(outer{Any: dirty, In: &inner{&text}, N: &number})
	if got.Any != clean || *got.In.Text != clean || got.Nil != nil || *got.N != 5 || got.List != nil || got.None != nil {
		t.Errorf("cleaned is %+v", got)
	}
	if text != dirty {
		t.Error("what the object points to was changed")
	}
}
