package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
	"vswitch/test/lab"
)

// requireLab wants what the harness needs, and checks that it leaves nothing.
func requireLab(t *testing.T) {
	t.Helper()
	lab.RequireRoot(t)
	lab.RequireCommand(t, "ip", "nsenter", "ping", "iperf3")
	lab.LeakCheck(t)
	t.Cleanup(func() {
		left, err := filepath.Glob(fmt.Sprintf("/run/netns/%s%d-*", peer.NamePrefix, os.Getpid()))
		if err != nil || len(left) > 0 {
			t.Errorf("namespaces left: %v, %v", left, err)
		}
	})
}

func testHelper(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, helperArg}
}

// buildPrograms builds vswitchd and vsbench, without the race detector, which makes
// helpers start slowly, and returns their directory.
func buildPrograms(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "vswitch/cmd/vswitchd", "vswitch/cmd/vsbench").CombinedOutput()
	if err != nil {
		t.Fatalf("build vswitchd and vsbench: %v\n%s", err, out)
	}
	return dir
}

// briefly are cases that show every scenario at work in little time.
var briefly = []string{
	"interval=*", "streams=8", "size=64", "load=*", "ports=16,pairs=8", "macs=64000", "segments=64", "ports=20", "idle,*", "overload=1", "security=*",
}

// Each scenario for a moment, to prove that the harness works: what the figures are
// is of no interest, and the machine may be as slow as it likes.
func TestHarnessRunsEveryScenario(t *testing.T) {
	requireLab(t)
	saved, file := 0, filepath.Join(t.TempDir(), "result.json")
	bin := buildPrograms(t)
	r, err := Run(t.Context(), Options{
		Cases: briefly, Peers: []string{"vswitch-adaptive", "bridge", "relay-adaptive"}, Rounds: 1, Duration: 40 * time.Millisecond,
		Bin: bin, Helper: []string{filepath.Join(bin, "vsbench"), "helper"},
		Save: func(r *report.Result) error { saved++; return r.Write(file) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Errorf("%s, %s, %s: %s", f.Scenario, f.Case, f.Peer, f.Error)
	}
	if saved < len(r.Settings.Scenarios) || !slices.Equal(r.Settings.Scenarios, SuiteAll.ScenarioNames()) {
		t.Errorf("saved %d times in scenarios %v", saved, r.Settings.Scenarios)
	}
	if r.Machine.CPUs < 1 || r.Machine.Kernel == "" || r.Machine.Tools["iperf3"] == "" || !r.Finished.After(r.Started) {
		t.Errorf("machine %+v, %v to %v", r.Machine, r.Started, r.Finished)
	}
	for _, want := range []struct{ scenario, peer, metrics string }{
		{"ping", "vswitch-adaptive bridge relay-adaptive", "rtt_p50 rtt_p90 rtt_p99 rtt_p99_9 rtt_min rtt_avg rtt_max ping_min ping_avg ping_max"},
		{"tcp", "vswitch-adaptive bridge relay-adaptive", "throughput cpu_seconds_per_gb"},
		{"frames", "vswitch-adaptive bridge relay-adaptive", "delivered_rate offered_rate"},
		{"rr", "vswitch-adaptive bridge relay-adaptive", "rtt_p50 rtt_p99 transaction_rate"},
		{"ports", "vswitch-adaptive bridge", "delivered_rate"},
		{"macs", "vswitch-adaptive bridge relay-adaptive", "delivered_rate"},
		{"segments", "vswitch-adaptive bridge", "delivered_rate"},
		{"attach", "vswitch-adaptive bridge", "add_port_p50 del_port_p50"},
		{"congestion", "vswitch-adaptive bridge", "rtt_p99 rtt_p99_alone rtt_p99_ratio"},
		{"security", "vswitch-adaptive bridge relay-adaptive", "delivered_rate"},
	} {
		for _, peer := range strings.Fields(want.peer) {
			for _, metric := range strings.Fields(want.metrics) {
				wantPositive(t, r, want.scenario, peer, metric)
			}
		}
	}
}

// A Docker engine beside the harness, with its own driver and with ours.
func TestHarnessRunsContainers(t *testing.T) {
	requireLab(t)
	lab.RequireCommand(t, "dockerd", "docker", "iptables", "busybox")
	bin := buildPrograms(t)
	r, err := Run(t.Context(), Options{
		Scenarios: []string{"ping", "frames"}, Cases: []string{"interval=3ms", "size=64"}, Peers: []string{"docker"}, Rounds: 1,
		Duration: 40 * time.Millisecond, Bin: bin, Helper: []string{filepath.Join(bin, "vsbench"), "helper"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Errorf("%s, %s, %s: %s", f.Scenario, f.Case, f.Peer, f.Error)
	}
	for _, peer := range []string{"docker-bridge", "docker-vswitch"} {
		wantPositive(t, r, "ping", peer, "rtt_p50")
	}
	for _, s := range r.Series {
		if s.Scenario != "ping" {
			t.Errorf("%s sent frames from addresses that are no container's", s.Peer)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("%s%d-", peer.NamePrefix, os.Getpid())
	if strings.Contains(string(mounts), own) {
		t.Errorf("mounts of %s are left:\n%s", own, mounts)
	}
}

// wantPositive wants one value above zero in some case, and a rising sample if any.
func wantPositive(t *testing.T, r *report.Result, scenario, peer, metric string) {
	t.Helper()
	found := false
	for _, s := range r.Series {
		if s.Scenario != scenario || s.Peer != peer || s.Metric != metric {
			continue
		}
		found = true
		if len(s.Values) != 1 || !(s.Values[0] > 0) {
			t.Errorf("%s: values %v, want one above 0", s.Key(), s.Values)
		}
		if s.Sample != nil && (len(s.Sample) != stat.SampleQuantiles || !slices.IsSorted(s.Sample)) {
			t.Errorf("%s: sample %v", s.Key(), s.Sample)
		}
	}
	if !found {
		t.Errorf("no %s of %s in %s", metric, peer, scenario)
	}
}

func TestHarnessIsInterrupted(t *testing.T) {
	requireLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := Run(ctx, Options{
		Scenarios: []string{"macs"}, Cases: []string{"macs=1"}, Peers: []string{"bridge"}, Rounds: 3, Duration: 20 * time.Millisecond,
		Helper: testHelper(t),
		Progress: func(p Progress) {
			if p.Round == 3 {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 of 3") {
		t.Errorf("got error %v, want one that tells how far it got", err)
	}
	if r == nil || len(r.Series) != 1 || len(r.Series[0].Values) != 2 || len(r.Failures) != 0 {
		t.Errorf("got %+v, want what was measured before", r)
	}
}

// broken is a peer that does not start.
type broken struct{ name string }

func (b broken) Name() string              { return b.name }
func (b broken) Available(*peer.Lab) error { return nil }
func (b broken) Limits() peer.Limits       { return peer.Limits{} }
func (b broken) Start(context.Context, *peer.Lab, peer.Needs) (peer.Fabric, error) {
	return nil, fmt.Errorf("%s is broken", b.name)
}

func TestHarnessGoesForthAndBackAndReportsFailures(t *testing.T) {
	requireLab(t)
	var order []string
	h, err := newHarness(Options{
		Scenarios: []string{"macs"}, Cases: []string{"macs=1"}, Peers: []string{"bridge"}, Rounds: 3, Duration: 20 * time.Millisecond,
		Helper: testHelper(t), Progress: func(p Progress) { order = append(order, p.Peer) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.peers = []peer.Peer{broken{"a"}, broken{"b"}, broken{"c"}}
	err = h.run(t.Context())
	if err := errors.Join(err, h.lab.Close()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "a b c c b a a b c" {
		t.Errorf("measured in the order %s", got)
	}
	if len(h.result.Failures) != 9 || len(h.result.Series) != 0 {
		t.Fatalf("got %d failures and %d series of 9 broken measurements", len(h.result.Failures), len(h.result.Series))
	}
	want := report.Failure{
		Scenario: "macs", Case: "macs=1", Peer: "c", Round: 2, Error: "start: c is broken",
	}
	if got := h.result.Failures[3]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// absent is a peer whose program is not installed.
type absent struct{ broken }

func (absent) Available(*peer.Lab) error { return errors.New("not installed: no program x") }

func TestHarnessReportsAbsentPeersOnce(t *testing.T) {
	t.Parallel()
	h := &harness{result: new(report.Result), peers: []peer.Peer{broken{"a"}, absent{broken{"b"}}}}
	h.leaveOutMissing()
	want := []report.Failure{{Peer: "b", Error: "not installed: no program x"}}
	if len(h.peers) != 1 || h.peers[0].Name() != "a" || !slices.Equal(h.result.Failures, want) {
		t.Errorf("left with %v, failures %+v", h.peers, h.result.Failures)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		`scenario "pong"`: {Scenarios: []string{"pong"}},
		`peer "brigde"`:   {Peers: []string{"brigde"}},
		"rounds -1":       {Rounds: -1},
		"duration 1ns":    {Duration: 1},
		`case "["`:        {Cases: []string{"["}},
	} {
		o.Helper = []string{"helper"}
		if r, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) || r != nil {
			t.Errorf("got error %v and result %v, want an error with %s", err, r, want)
		}
	}
}
