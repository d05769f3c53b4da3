package bench

import (
	"math"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"vswitch/bench/report"
)

// runSuite runs a suite for a moment and fails the test for what failed in it.
func runSuite(t *testing.T, suite Suite, scenarios []string, cases ...string) *report.Result {
	t.Helper()
	requireLab(t)
	bin := buildPrograms(t)
	r, err := Run(t.Context(), Options{
		Suite: suite, Scenarios: scenarios, Cases: cases, Peers: []string{"vswitch-adaptive", "bridge"}, Rounds: 1,
		Duration: 20 * time.Millisecond, Bin: bin, Helper: []string{filepath.Join(bin, "vsbench"), "helper"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Errorf("%s, %s, %s: %s", f.Scenario, f.Case, f.Peer, f.Error)
	}
	return r
}

// valueOf is the only value of a figure.
func valueOf(t *testing.T, r *report.Result, scenario, variant, peer, metric string) float64 {
	t.Helper()
	for _, s := range r.Series {
		if s.Scenario == scenario && s.Case == variant && s.Peer == peer && s.Metric == metric {
			if len(s.Values) != 1 {
				t.Fatalf("%s: values %v, want one", s.Key(), s.Values)
			}
			return s.Values[0]
		}
	}
	t.Fatalf("no %s of %s in %s, %s", metric, peer, scenario, variant)
	return 0
}

// Both switches know a thousand addresses, forward what is shorter than an Ethernet frame, for a
// TAP and a veth pad nothing, and nothing that is longer than the MTU allows.
func TestRFC2889(t *testing.T) {
	r := runSuite(t, SuiteRFC2889, []string{
		"5.1-fully-meshed", "5.5-congestion-control", "5.7-address-capacity", "5.8-address-learning",
		"5.9-errored-frames", "5.10-broadcast",
	}, "ports=8,size=64", "ports=4", "addresses*", "size=*")
	for _, peer := range []string{"vswitch-adaptive", "bridge"} {
		wantPositive(t, r, "5.1-fully-meshed", peer, "delivered_rate")
		wantPositive(t, r, "5.5-congestion-control", peer, "delivered_rate")
		wantPositive(t, r, "5.8-address-learning", peer, "learning_rate")
		wantPositive(t, r, "5.10-broadcast", peer, "broadcast_rate")
		wantPositive(t, r, "5.10-broadcast", peer, "latency_last_p50")
		for _, want := range []struct {
			scenario, variant, metric string
			value                     float64
		}{
			{"5.7-address-capacity", "addresses<=1024", "capacity", 1024},
			{"5.9-errored-frames", "size=36", "forwarded", 100},
			{"5.9-errored-frames", "size=1600", "forwarded", 0},
		} {
			// A frame of the kernel's own may be counted.
			if got := valueOf(t, r, want.scenario, want.variant, peer, want.metric); math.Abs(got-want.value) > 5 {
				t.Errorf("%s: %s, %s is %v, want %v", peer, want.variant, want.metric, got, want.value)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	r := runSuite(t, SuiteSize, nil)
	for scenario, cases := range map[string][]string{
		"size-ports":     {"ports=2,traffic=pair", "ports=8,traffic=pair", "ports=8,traffic=random"},
		"size-addresses": {"addresses=10,traffic=pair", "addresses=1000,traffic=all"},
		"size-flows":     {"flows=1", "flows=10"},
	} {
		for _, variant := range cases {
			for _, peer := range []string{"vswitch-adaptive", "bridge"} {
				if v := valueOf(t, r, scenario, variant, peer, "delivered_rate"); v <= 0 {
					t.Errorf("%s, %s: %s delivered %v frames/s", scenario, variant, peer, v)
				}
			}
		}
	}
	wantPositive(t, r, "size-ports", "bridge", "copies_rate")
	if runtime.NumCPU() < 2 {
		return
	}
	few := valueOf(t, r, "size-workers", "workers=1", "vswitch-adaptive", "rss")
	if many := valueOf(t, r, "size-workers", "workers=2", "vswitch-adaptive", "rss"); few <= 0 || many < few {
		t.Errorf("one worker takes %v MiB, two take %v", few, many)
	}
}
