package report

import (
	"math"
	"math/rand/v2"
	"time"
)

// allPeers are those of a whole run.
var allPeers = []string{
	"vswitch-adaptive", "vswitch-busy", "vswitch-sleep", "bridge",
	"relay-adaptive", "relay-busy", "relay-sleep", "ovs", "ovs-tso", "vde",
}

// synthetic is a result of all peers in scenarios of each kind, with a peer that fails
// in one case and one that fails throughout.
func synthetic() *Result {
	start := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	r := &Result{
		Schema: SchemaVersion, Started: start, Finished: start.Add(42 * time.Minute),
		Machine: Machine{
			CPU: "Example CPU 3.0 GHz", CPUs: 2, MemoryMiB: 8192, Kernel: "6.18.0", OS: "Debian 13", Go: "go1.26.0",
			Version: "v0.4.0", Tools: map[string]string{"iperf3": "3.18", "ovs": "3.5.0"},
		},
		Settings: Settings{Scenarios: []string{"ping", "tcp", "frames", "ports"}, Peers: allPeers, Rounds: 5, Duration: 2 * time.Second},
	}
	// What comes of it is in golden files, hence a fixed seed.
	random := rand.New(rand.NewPCG(1, 2))
	noisy := func(v float64) []float64 {
		values := make([]float64, 5)
		for i := range values {
			values[i] = v * (1 + 0.04*random.NormFloat64())
		}
		return values
	}
	add := func(s Series, v float64) *Series {
		s.Values = noisy(v)
		r.Series = append(r.Series, s)
		return &r.Series[len(r.Series)-1]
	}
	speed := []float64{1.27, 1.33, 0.94, 1.32, 1.3, 1.35, 1.1, 0.7, 0.68, 0.25}
	for _, spaced := range []string{"interval=3ms", "interval=0"} {
		for i, peer := range allPeers {
			rtt := 20 / speed[i]
			if spaced == "interval=0" {
				rtt /= 4
			}
			s := add(Series{Scenario: "ping", Case: spaced, Peer: peer, Metric: "rtt_p50", Unit: "us", Better: Lower}, rtt)
			s.Sample = make([]float64, 201)
			for k := range s.Sample {
				q := float64(k) / 200
				s.Sample[k] = rtt * (0.8 + 0.4*q + 0.02/math.Pow(1.002-q, 1.1))
			}
			add(Series{Scenario: "ping", Case: spaced, Peer: peer, Metric: "ping_min", Unit: "us", Better: Lower}, rtt*0.8)
			add(Series{Scenario: "ping", Case: spaced, Peer: peer, Metric: "ping_avg", Unit: "us", Better: Lower}, rtt*1.1)
			add(Series{Scenario: "ping", Case: spaced, Peer: peer, Metric: "ping_max", Unit: "us", Better: Lower}, rtt*9)
		}
	}
	for _, streams := range []string{"1", "8"} {
		for i, peer := range allPeers {
			if peer == "vde" && streams == "8" {
				continue
			}
			x := map[string]float64{"1": 1, "8": 8}[streams]
			add(Series{Scenario: "tcp", Case: "streams=" + streams, X: x, Peer: peer, Metric: "throughput", Unit: "Gb/s", Better: Higher}, 10*speed[i])
			add(Series{Scenario: "tcp", Case: "streams=" + streams, X: x, Peer: peer, Metric: "cpu_seconds_per_gb", Unit: "s/GB", Better: Lower}, 1.2/speed[i])
		}
	}
	for _, size := range []string{"64", "128", "256", "512", "1024", "1280", "1518"} {
		for i, peer := range allPeers[:9] {
			add(Series{Scenario: "frames", Case: "size=" + size, X: 64, Peer: peer, Metric: "delivered_rate", Unit: "frames/s", Better: Higher}, 1e6*speed[i])
		}
	}
	for k, variant := range []string{
		"ports=2,pairs=1", "ports=16,pairs=1", "ports=16,pairs=8", "ports=64,pairs=1", "ports=64,pairs=32",
		"ports=256,pairs=1", "ports=256,pairs=128",
	} {
		for i, peer := range allPeers[:8] {
			add(Series{
				Scenario: "ports", Case: variant, X: []float64{2, 16, 16, 64, 64, 256, 256}[k],
				Peer: peer, Metric: "delivered_rate", Unit: "frames/s", Better: Higher,
			}, 1e6*speed[i]*(1-0.03*float64(k)))
		}
	}
	for round := 1; round <= 5; round++ {
		r.Failures = append(r.Failures, Failure{"tcp", "streams=8", "vde", round, "iperf3:\nconnection | reset"})
	}
	r.Failures = append(r.Failures,
		Failure{"frames", "", "vde", 1, "vde_switch: not found: install it with \"make bench-deps\""},
		Failure{"ports", "", "ovs-tso", 0, "ovs-vsctl add-port: timed out"})
	return r
}
