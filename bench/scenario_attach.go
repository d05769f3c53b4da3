package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
)

// Numbers of ports. A run for a moment only, as in tests, makes do with fewer.
var (
	attachPorts      = []int{100, 1000}
	attachPortsBrief = []int{20}
)

const (
	idlePorts      = 64
	idlePortsBrief = 8
	brief          = time.Second
	idleShare      = 5 // an idle daemon is watched for so many times the duration
)

func attachCases(d time.Duration) []variant {
	attached, idle := attachPorts, idlePorts
	if d < brief {
		attached, idle = attachPortsBrief, idlePortsBrief
	}
	var cases []variant
	for _, ports := range attached {
		cases = append(cases, variant{
			name: fmt.Sprintf("ports=%d", ports), x: float64(ports), bare: true,
			needs:   peer.Needs{Ports: ports, Segments: 1, Changing: true},
			about:   time.Duration(ports) * 25 * time.Millisecond,
			measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.attach(ctx) },
		})
	}
	return append(cases, variant{
		name: fmt.Sprintf("idle,ports=%d", idle), x: float64(idle),
		needs: peer.Needs{Ports: idle, Segments: 1, Daemon: true}, about: (idleShare + 1) * d,
		measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.idle(ctx) },
	})
}

// attach measures how long one port after another takes to come and to go, and the
// memory that each costs.
func (s *stage) attach(ctx context.Context) ([]reading, error) {
	memoryBefore, err := stat.ResidentMemory(s.fabric.Processes())
	if err != nil {
		return nil, err
	}
	added, err := s.each(func(e load.Endpoint) error { return s.fabric.Attach(ctx, e) })
	if err != nil {
		return nil, err
	}
	memory, err := stat.ResidentMemory(s.fabric.Processes())
	if err != nil {
		return nil, err
	}
	removed, err := s.each(func(e load.Endpoint) error { return s.fabric.Detach(ctx, e) })
	if err != nil {
		return nil, err
	}
	readings := append(attachReadings("add_port", added), attachReadings("del_port", removed)...)
	if len(s.fabric.Processes()) > 0 {
		readings = append(readings, reading{
			metric: "rss_per_port", unit: "KiB", better: report.Lower,
			value: float64(memory-memoryBefore) / 1024 / float64(len(s.endpoints)),
		})
	}
	return readings, nil
}

// each times what f does with each endpoint.
func (s *stage) each(f func(load.Endpoint) error) (stat.Latencies, error) {
	times := make([]time.Duration, 0, len(s.endpoints))
	for _, e := range s.endpoints {
		start := time.Now()
		if err := f(e); err != nil {
			return stat.Latencies{}, fmt.Errorf("port %d of %d: %w", len(times)+1, len(s.endpoints), err)
		}
		times = append(times, time.Since(start))
	}
	return stat.NewLatencies(times, 0), nil
}

// attachReadings are in ms.
func attachReadings(what string, l stat.Latencies) []reading {
	ms := func(suffix string, us float64) reading {
		return reading{metric: what + suffix, unit: "ms", better: report.Lower, value: us / 1e3}
	}
	p50 := ms("_p50", l.P50)
	p50.quantiles = slices.Clone(l.Quantiles)
	for i := range p50.quantiles {
		p50.quantiles[i] /= 1e3
	}
	return []reading{p50, ms("_p99", l.P99), ms("_max", l.Max)}
}

// idle measures what processes use of a processor while nobody talks.
func (s *stage) idle(ctx context.Context) ([]reading, error) {
	if err := s.connect(ctx, s.endpoints[0], s.endpoints[1]); err != nil {
		return nil, err
	}
	if err := pause(ctx, s.duration); err != nil { // what attaching stirred up goes quiet
		return nil, err
	}
	before, errBefore := stat.ProcessCPU(s.fabric.Processes())
	start := time.Now()
	if err := pause(ctx, idleShare*s.duration); err != nil {
		return nil, err
	}
	after, errAfter := stat.ProcessCPU(s.fabric.Processes())
	if err := errors.Join(errBefore, errAfter); err != nil {
		return nil, err
	}
	return []reading{{
		metric: "idle_cpu", unit: "% of one CPU", better: report.Lower,
		value: 100 * float64(after-before) / float64(time.Since(start)),
	}}, nil
}
