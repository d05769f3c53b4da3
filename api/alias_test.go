package api

import (
	"fmt"
	"slices"
	"testing"
)

func TestAliases(t *testing.T) {
	t.Parallel()
	var many []string
	for n := range maxAliases + 1 {
		many = append(many, fmt.Sprintf("a%d", n))
	}
	for _, test := range []struct {
		list, want []string // want nil: an error
	}{
		{[]string{"db", "db.example", "db"}, []string{"db", "db.example"}},
		{many[:maxAliases], many[:maxAliases]},
		{many, nil},
		{[]string{""}, nil},
		{[]string{"-a"}, nil},
		{[]string{"a b"}, nil},
		{[]string{"größe"}, nil},
	} {
		got, err := canonicalAliases(test.list)
		if (err != nil) != (test.want == nil) || !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, %v; want %q", test.list, got, err, test.want)
		}
		if test.want == nil && KindOf(err) != Invalid {
			t.Errorf("%q: %v, want it invalid", test.list, err)
		}
	}
}

func TestResolvConfWantsAName(t *testing.T) {
	t.Parallel()
	for netns, ok := range map[string]bool{"c1": true, "/run/netns/c1": false} {
		if _, err := (PortSpec{Name: "a", NetNS: netns, ResolvConf: true}).validate(); (err == nil) != ok {
			t.Errorf("netns %q: %v", netns, err)
		}
	}
	if _, err := (PortSpec{Name: "a", PID: 1, ResolvConf: true}).validate(); err == nil {
		t.Error("pid 1: no error")
	}
}
