package bench

import (
	"context"
	"fmt"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
)

// rfc2889Scenarios are the tests of RFC 2889, named by its sections. What is left out: 5.3 wants
// two switches with an uplink, and 5.6 gaps between frames that are shorter than the standard's;
// its maximum forwarding rate is a figure of 5.1, 5.2 and 5.4. The highest load that can be
// offered takes the place of the wire speed.
func rfc2889Scenarios() []scenario {
	return []scenario{
		{"5.1-fully-meshed", meshCases(fullMesh)},
		{"5.2-one-to-many", meshCases(oneToMany)},
		{"5.2-many-to-one", meshCases(manyToOne)},
		{"5.4-unidirectional", meshCases(unidirectional)},
		{"5.5-congestion-control", congestionControlCases},
		{"5.7-address-capacity", addressCapacityCases},
		{"5.8-address-learning", addressRateCases},
		{"5.9-errored-frames", erroredCases},
		{"5.10-broadcast", broadcastCases},
	}
}

// meshPorts is the number of ports in the tests of many.
const meshPorts = 8

// meshSizes are the frame sizes of these tests, with FCS.
func meshSizes(d time.Duration) []int {
	if d < brief {
		return []int{64, 1518}
	}
	return frameSizes
}

// pattern is who sends to whom.
type pattern func(endpoints []load.Endpoint) []load.Flow

// fullMesh has each port send to all others in turn (§5.1).
func fullMesh(endpoints []load.Endpoint) []load.Flow {
	var flows []load.Flow
	for step := 1; step < len(endpoints); step++ {
		for i, from := range endpoints {
			flows = append(flows, load.Flow{From: from, To: endpoints[(i+step)%len(endpoints)]})
		}
	}
	return flows
}

// oneToMany has the first port send to all others (§5.2).
func oneToMany(endpoints []load.Endpoint) []load.Flow {
	var flows []load.Flow
	for _, to := range endpoints[1:] {
		flows = append(flows, load.Flow{From: endpoints[0], To: to})
	}
	return flows
}

// manyToOne has all others send to the first port (§5.2).
func manyToOne(endpoints []load.Endpoint) []load.Flow {
	var flows []load.Flow
	for _, from := range endpoints[1:] {
		flows = append(flows, load.Flow{From: from, To: endpoints[0]})
	}
	return flows
}

// unidirectional has each port of one half send to all of the other (§5.4).
func unidirectional(endpoints []load.Endpoint) []load.Flow {
	var flows []load.Flow
	half := len(endpoints) / 2
	for step := range half {
		for i, from := range endpoints[:half] {
			flows = append(flows, load.Flow{From: from, To: endpoints[half+(i+step)%half]})
		}
	}
	return flows
}

func meshCases(p pattern) func(time.Duration) []variant {
	return func(d time.Duration) []variant {
		var cases []variant
		for _, size := range meshSizes(d) {
			cases = append(cases, variant{
				name: fmt.Sprintf("ports=%d,size=%d", meshPorts, size), x: float64(size),
				needs: peer.Needs{Ports: meshPorts, Segments: 1, Foreign: true},
				about: d + searchSteps*(d/trialShare+150*time.Millisecond),
				measure: func(ctx context.Context, s *stage) ([]reading, error) {
					return s.mesh(ctx, p(s.endpoints), size-fcsLen)
				},
			})
		}
		return cases
	}
}

// mesh measures the throughput without loss (RFC 2285 §3.6.1), the forwarding rate and the loss
// at the maximum offered load, and the highest rate at any load.
func (s *stage) mesh(ctx context.Context, flows []load.Flow, size int) ([]reading, error) {
	task := load.FramesTask{Flows: flows, Bytes: size, For: s.duration}
	most, err := s.offer(ctx, task)
	if err != nil {
		return nil, err
	}
	task.Learned = true
	best, highest, err := s.search(ctx, task, most.DeliveredRate())
	if err != nil {
		return nil, err
	}
	return []reading{
		{metric: "throughput_rate", unit: "frames/s", better: report.Higher, value: best},
		deliveredReading(most),
		{
			metric: "max_forwarding_rate", unit: "frames/s", better: report.Higher,
			value: max(highest, most.DeliveredRate()),
		},
		lossReading("loss", most.Offered, most.Lost()),
	}, nil
}

// lossReading is the share of frames that were lost.
func lossReading(metric string, offered, lost uint64) reading {
	return reading{
		metric: metric, unit: "%", better: report.Lower, value: 100 * float64(lost) / float64(max(offered, 1)),
	}
}

// congestedLoad is how much of the highest rate of one flow each of two senders offers. Together
// they overload the switch, or would overload the port that gets three quarters of it.
const congestedLoad = 0.75

func congestionControlCases(d time.Duration) []variant {
	return []variant{{
		name: "ports=4", x: 4, about: 3 * d, needs: peer.Needs{Ports: 4, Segments: 1, Foreign: true},
		measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.congestionControl(ctx) },
	}}
}

// congestionControl has one port send to an uncongested and to a congested one, and another to
// the congested one only (§5.5). Loss at the uncongested port is head of line blocking; that
// there is none at the congested one means back pressure.
func (s *stage) congestionControl(ctx context.Context) ([]reading, error) {
	a, b, free, congested := s.endpoints[0], s.endpoints[1], s.endpoints[2], s.endpoints[3]
	alone, err := s.offer(ctx, load.FramesTask{
		Flows: []load.Flow{{From: a, To: free}}, Bytes: smallest - fcsLen, For: s.duration,
	})
	if err != nil {
		return nil, err
	}
	found, err := s.offer(ctx, load.FramesTask{
		Flows: []load.Flow{
			{From: a, To: free}, {From: b, To: congested}, {From: a, To: congested}, {From: b, To: congested},
		},
		Bytes: smallest - fcsLen, For: s.duration, Rate: 2 * congestedLoad * alone.DeliveredRate(),
	})
	if err != nil {
		return nil, err
	}
	quarter := found.Offered / 4
	lost := func(offered, got uint64) uint64 { return offered - min(got, offered) }
	return []reading{
		lossReading("loss_uncongested", quarter, lost(quarter, found.Receivers[0])),
		lossReading("loss_congested", 3*quarter, lost(3*quarter, found.Receivers[1])),
		deliveredReading(found),
	}, nil
}

func erroredCases(d time.Duration) []variant {
	var cases []variant
	for _, size := range []int{36, 1600} {
		cases = append(cases, variant{
			name: fmt.Sprintf("size=%d", size), x: float64(size), about: d,
			needs:   peer.Needs{Ports: 3, Segments: 1, Foreign: true},
			measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.errored(ctx, size-fcsLen) },
		})
	}
	return cases
}

// erroredFrames is how many are sent of each kind, and how fast.
const (
	erroredFrames = 1000
	erroredRate   = 20_000
)

// errored measures the share of frames forwarded that are shorter or longer than the standard
// has them (§5.9). A sender whose MTU is raised sends long ones. Frames with a wrong check
// sequence, and those that end within an octet, can't be had: a TAP has neither.
func (s *stage) errored(ctx context.Context, size int) ([]reading, error) {
	a, b := s.endpoints[0], s.endpoints[1]
	if _, err := s.offer(ctx, load.FramesTask{
		Flows: []load.Flow{{From: a, To: b}}, Bytes: smallest - fcsLen, Count: erroredFrames, Rate: erroredRate,
	}); err != nil {
		return nil, fmt.Errorf("frames without an error: %w", err)
	}
	if size > largest-fcsLen {
		if _, err := s.lab.Run(ctx, a.Namespace, nil, "ip", "link", "set", a.IfName, "mtu", "3000"); err != nil {
			return nil, err
		}
	}
	found, err := s.offerAny(ctx, load.FramesTask{
		Flows: []load.Flow{{From: a, To: b}}, Bytes: size, Count: erroredFrames, Rate: erroredRate,
		Learned: true, Watch: s.endpoints[2:],
	})
	if err != nil {
		return nil, err
	}
	forwarded := float64(found.Delivered+found.Watched) / float64(found.Offered)
	return []reading{{metric: "forwarded", unit: "%", better: report.Lower, value: 100 * forwarded}}, nil
}

func broadcastCases(d time.Duration) []variant {
	var cases []variant
	for _, size := range meshSizes(d) {
		cases = append(cases, variant{
			name: fmt.Sprintf("ports=%d,size=%d", meshPorts, size), x: float64(size), about: 2 * d,
			needs: peer.Needs{Ports: meshPorts, Segments: 1, Foreign: true},
			measure: func(ctx context.Context, s *stage) ([]reading, error) {
				return s.broadcast(ctx, size-fcsLen)
			},
		})
	}
	return cases
}

// broadcastGap is the time between two frames whose latency is measured.
const broadcastGap = time.Millisecond

// broadcast measures the rate of broadcast frames that reach all other ports, the highest of
// them without loss, and how long the copies of a lone one take (§5.10).
func (s *stage) broadcast(ctx context.Context, size int) ([]reading, error) {
	from, others := s.endpoints[0], s.endpoints[1:]
	if _, _, err := s.pair(ctx); err != nil {
		return nil, err
	}
	task := load.FramesTask{
		Bytes: size, For: s.duration, Broadcast: true, Learned: true,
	}
	for _, to := range others { // all frames are the same: each is counted at each
		task.Flows = append(task.Flows, load.Flow{From: from, To: to})
	}
	most, err := s.offer(ctx, task)
	if err != nil {
		return nil, err
	}
	copies := float64(len(others))
	best, _, err := s.search(ctx, task, most.DeliveredRate()/copies)
	if err != nil {
		return nil, err
	}
	var found load.BroadcastFound
	err = s.lab.RunHelper(ctx, s.lab.Host(), load.HelperBroadcast, load.BroadcastTask{
		From: from, To: others, Bytes: size, Interval: broadcastGap,
		Count: max(10, int(s.duration/(2*broadcastGap))),
	}, &found)
	if err != nil {
		return nil, err
	}
	if found.Copies.Count == 0 {
		return nil, fmt.Errorf("no copy of %d broadcast frames arrived", found.Last.Lost)
	}
	us := func(metric string, v float64) reading {
		return reading{metric: metric, unit: "us", better: report.Lower, value: v}
	}
	p50 := us("latency_p50", found.Copies.P50)
	p50.quantiles = found.Copies.Quantiles
	return []reading{
		{metric: "throughput_rate", unit: "frames/s", better: report.Higher, value: best},
		{
			metric: "broadcast_rate", unit: "frames/s", better: report.Higher,
			value: most.DeliveredRate() / copies,
		},
		lossReading("loss", most.Offered*uint64(len(others)), most.Lost()),
		p50, us("latency_p99", found.Copies.P99), us("latency_last_p50", found.Last.P50),
	}, nil
}
