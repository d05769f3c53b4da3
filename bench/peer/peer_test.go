package peer

import (
	"strings"
	"testing"
)

func TestSelectPeers(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"vswitch":              "vswitch-adaptive vswitch-busy vswitch-sleep",
		"relay-busy,bridge":    "bridge relay-busy",
		"ovs":                  "ovs",
		"ovs-tso,vde":          "ovs-tso vde",
		"vswitch-busy,vswitch": "vswitch-adaptive vswitch-busy vswitch-sleep",
	} {
		peers, err := Select(strings.Split(asked, ","))
		var names []string
		for _, p := range peers {
			names = append(names, p.Name())
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", asked, got, err, want)
		}
	}
	if _, err := Select([]string{"ov"}); err == nil {
		t.Error("peer ov was found")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	relay, all := relayPeer{"busy"}.Limits(), Limits{}
	for _, test := range []struct {
		limits Limits
		needs  Needs
		want   bool
	}{
		{relay, Needs{Ports: 2, Segments: 1}, true},
		{relay, Needs{Ports: 3, Segments: 1}, false},
		{relay, Needs{Ports: 2, Segments: 2}, false},
		{relay, Needs{Ports: 2, Segments: 1, Changing: true}, false},
		{relay, Needs{Ports: 2, Segments: 1, Daemon: true}, true},
		{Limits{Changing: 100}, Needs{Ports: 101, Segments: 1, Changing: true}, false},
		{Limits{Changing: 100}, Needs{Ports: 101, Segments: 1}, true},
		{Limits{Kernel: true}, Needs{Ports: 2, Segments: 1, Daemon: true}, false},
		{Limits{Open: true}, Needs{Ports: 2, Segments: 1, Guarded: true}, false},
		{Limits{Held: true}, Needs{Ports: 2, Segments: 1, Foreign: true}, false},
		{Limits{Held: true}, Needs{Ports: 2, Segments: 1, Guarded: true}, true},
		{all, Needs{Ports: 2, Segments: 1, Guarded: true}, true},
		{relay, Needs{Ports: 2, Segments: 1, RateIn: 1}, false},
		{relay, Needs{Ports: 2, Segments: 1, RateOut: 1}, false},
		{all, Needs{Ports: 2, Segments: 1, RateIn: 1, RateOut: 1}, true},
		{all, Needs{Ports: 1000, Segments: 1000, Changing: true, Daemon: true}, true},
	} {
		if got := test.limits.Allow(test.needs); got != test.want {
			t.Errorf("%+v allow %+v: %t", test.limits, test.needs, got)
		}
	}
}
