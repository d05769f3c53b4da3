package bench

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/bench/peer"
	"vswitch/bench/report"
)

// theBridge is the peer that reports compare all others with.
func theBridge(t *testing.T) peer.Peer {
	t.Helper()
	peers, err := peer.Select([]string{report.BridgePeer})
	if err != nil || len(peers) != 1 {
		t.Fatalf("got %v, %v, want one peer", peers, err)
	}
	return peers[0]
}

// Each scenario must be one that the kernel bridge, to which all is compared, can do
// apart from looking at its processes and holding ports to their addresses; and names must not repeat.
func TestCasesAreSound(t *testing.T) {
	t.Parallel()
	bridge := theBridge(t)
	for _, d := range []time.Duration{minDuration, DefaultDuration} {
		all := slices.Concat(SuiteAll.scenarios(), SuiteRFC2889.scenarios(), SuiteSize.scenarios())
		for _, s := range all {
			seen := map[string]bool{}
			for _, v := range s.cases(d) {
				if seen[v.name] || v.about <= 0 || v.measure == nil ||
					v.needs.Ports < 2 || v.needs.Segments < 1 {
					t.Errorf("%s %s: %+v", s.name, v.name, v)
				}
				seen[v.name] = true
				if !v.needs.Daemon && !v.needs.Guarded && !bridge.Limits().Allow(v.needs) {
					t.Errorf("%s %s: the bridge can't do it", s.name, v.name)
				}
			}
		}
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	namespaces := make([]string, 1001)
	endpoints := place(namespaces, peer.Needs{Ports: 1001, Segments: 1000})
	seen := map[string]bool{}
	segments := map[int]int{}
	for _, e := range endpoints {
		if seen[e.Addr.String()] || seen[e.MAC.String()] || !e.MAC.IsUnicast() {
			t.Fatalf("%+v is not unique", e)
		}
		seen[e.Addr.String()], seen[e.MAC.String()] = true, true
		segments[e.Segment]++
	}
	if segments[0] != 2 || len(segments) != 1000 {
		t.Errorf("%d segments, %d ports on the first", len(segments), segments[0])
	}
	for i, e := range place(namespaces, peer.Needs{Ports: 1000, Segments: 1}) {
		if first := endpoints[0].Addr.Masked(); e.Segment != 0 || e.Addr.Masked() != first {
			t.Fatalf("endpoint %d is on segment %d, %v, want %v", i, e.Segment, e.Addr, first)
		}
	}
}

// Ports that stay in the host's namespace have names of their own.
func TestPlaceLocal(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, e := range place(slices.Repeat([]string{"host"}, 4096), peer.Needs{Ports: 4096, Segments: 1, Local: true}) {
		names[e.IfName] = true
	}
	if len(names) != 4096 {
		t.Errorf("4096 ports have %d names", len(names))
	}
}

// In each pattern of RFC 2889, each sender sends as much as the others.
func TestPatterns(t *testing.T) {
	t.Parallel()
	endpoints := place(make([]string, 8), peer.Needs{Ports: 8, Segments: 1})
	for name, test := range map[string]struct {
		of                        pattern
		flows, senders, receivers int
	}{
		"fully meshed": {fullMesh, 56, 8, 8}, "one to many": {oneToMany, 7, 1, 7},
		"many to one": {manyToOne, 7, 7, 1}, "unidirectional": {unidirectional, 16, 4, 4},
	} {
		flows := test.of(endpoints)
		pairs, senders, receivers := map[string]bool{}, map[string]int{}, map[string]int{}
		for _, f := range flows {
			from, to := f.From.MAC.String(), f.To.MAC.String()
			pairs[from+to] = true
			senders[from]++
			receivers[to]++
			if from == to {
				t.Errorf("%s: %s sends to itself", name, from)
			}
		}
		if len(pairs) != test.flows || len(flows) != test.flows ||
			len(senders) != test.senders || len(receivers) != test.receivers {
			t.Errorf("%s: %d flows of %d pairs from %d to %d ports, want %d from %d to %d", name,
				len(flows), len(pairs), len(senders), len(receivers), test.flows, test.senders, test.receivers)
		}
		for from, n := range senders {
			if n != test.flows/test.senders {
				t.Errorf("%s: %s sends to %d, want %d", name, from, n, test.flows/test.senders)
			}
		}
	}
}

func TestMatchCase(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		patterns string
		name     string
		want     bool
	}{
		{"", "size=64", true},
		{"size=64", "size=64", true},
		{"size=6", "size=64", false},
		{"streams=1 size=*", "size=64", true},
	} {
		if got := matchCase(strings.Fields(test.patterns), test.name); got != test.want {
			t.Errorf("%q matches %q: %t", test.patterns, test.name, got)
		}
	}
}

func TestParseTranscript(t *testing.T) {
	t.Parallel()
	got, err := parseTranscript([]byte("3 packets transmitted, 3 received, 0% packet loss, time 6ms\n" +
		"rtt min/avg/max/mdev = 0.011/0.021/1.211/0.010 ms, ipg/ewma 0.019/0.008 ms\n"))
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	for i, want := range []reading{
		{metric: report.MetricPingMin, value: 11},
		{metric: report.MetricPingAvg, value: 21},
		{metric: report.MetricPingMax, value: 1211},
	} {
		off := math.Abs(got[i].value - want.value)
		if got[i].metric != want.metric || off > 1e-9 || got[i].unit != "us" {
			t.Errorf("got %+v, want %+v", got[i], want)
		}
	}
	if _, err := parseTranscript([]byte("3 packets transmitted, 0 received, 100% packet loss")); err == nil {
		t.Error("no error without a line of times")
	}
}
