package wellformed

import (
	"strings"
	"testing"
)

func TestWellFormed(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0a", 32)
	for _, test := range []struct {
		s                   string
		id, name, printable bool
	}{
		{id, true, false, true},
		{strings.ToUpper(id), false, false, true},
		{id + "0", false, false, true},
		{"", false, false, true},
		{"a", false, true, true},
		{"9_.-Z", false, true, true},
		{"-a", false, false, true},
		{"a b", false, false, true},
		{"ä", false, false, true},
		{strings.Repeat("a", 10), false, true, true},
		{strings.Repeat("a", 11), false, false, true},
		{"a\n", false, false, false},
		{"\x7f", false, false, false},
		{"\u009b31m", false, false, false},
		{"\u00a0", false, false, true},
		{"\u2028", false, false, false},
		{"\xff", false, false, false},
	} {
		if ID(test.s) != test.id || Name(test.s, 10) != test.name || Printable(test.s) != test.printable {
			t.Errorf("%q: id %t, name %t, printable %t; want %t, %t, %t",
				test.s, ID(test.s), Name(test.s, 10), Printable(test.s), test.id, test.name, test.printable)
		}
	}
}

func TestIfName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"eth0", "a", "fifteen-bytes-x", "a.b_c-d", "..."} {
		if !IfName(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{
		"", "sixteen-bytes-xx", ".", "..", "lo", "a/b", "a:b", "a b", "a\tb", "a\nb", "a\x00", "a\x7f",
		"eth%d", "\u00e0", "a\xff",
	} {
		if IfName(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}
