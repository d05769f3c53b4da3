package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
)

// What the healthy pair does meanwhile: far below what anyone can carry.
const (
	healthyRate  = 1000 // frames/s
	healthyBytes = 508  // 512 with the FCS
	healthyPings = time.Millisecond
	floodPayload = 1000
)

// congestionCases look for head of line blocking (RFC 2889 §5.5): one sender
// overloads a receiver that has stopped reading, while a pair beside them goes on.
func congestionCases(d time.Duration) []variant {
	return []variant{{
		name: "overload=1", x: 1, about: 2*d + time.Second,
		needs:   peer.Needs{Ports: 4, Segments: 1, Foreign: true},
		measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.congestion(ctx) },
	}}
}

func (s *stage) congestion(ctx context.Context) ([]reading, error) {
	a, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	source, victim := s.endpoints[2], s.endpoints[3]
	if err := s.connect(ctx, source, victim); err != nil {
		return nil, err
	}
	alone, _, err := s.healthy(ctx, a, b)
	if err != nil {
		return nil, fmt.Errorf("the pair alone: %w", err)
	}
	sink, err := s.lab.StartHelper(ctx, victim.Namespace, load.HelperSink,
		load.SinkTask{Listen: victim.Addr.Addr()})
	if err != nil {
		return nil, err
	}
	flood, err := s.lab.StartHelper(ctx, source.Namespace, load.HelperFlood,
		load.FloodTask{To: victim.Addr.Addr(), Bytes: floodPayload})
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, settleLoad); err != nil {
		return nil, err
	}
	beside, loss, err := s.healthy(ctx, a, b)
	if err = errors.Join(err, flood.Err(), sink.Err()); err != nil {
		return nil, fmt.Errorf("the pair beside an overloaded port: %w", err)
	}
	us := func(metric string, v float64) reading {
		return reading{metric: metric, unit: "us", better: report.Lower, value: v}
	}
	p50 := us("rtt_p50", beside.P50)
	p50.quantiles = beside.Quantiles
	return []reading{
		{metric: "loss", unit: "%", better: report.Lower, value: loss},
		p50, us("rtt_p99", beside.P99), us("rtt_max", beside.Max),
		us("rtt_p50_alone", alone.P50), us("rtt_p99_alone", alone.P99),
		{
			metric: "rtt_p99_ratio", unit: "beside/alone", better: report.Lower,
			value: beside.P99 / alone.P99,
		},
	}, errors.Join(flood.Stop(), sink.Stop())
}

// healthy has a ping b and send it frames at a low rate. The loss is that of both
// together, in percent.
func (s *stage) healthy(
	ctx context.Context, a, b load.Endpoint,
) (pings stat.Latencies, loss float64, err error) {
	frames := make(chan error, 1)
	var found load.FramesFound
	go func() {
		frames <- s.lab.RunHelper(ctx, s.lab.Host(), load.HelperFrames, load.FramesTask{
			Flows: []load.Flow{{From: a, To: b}}, Bytes: healthyBytes, For: s.duration, Rate: healthyRate,
		}, &found)
	}()
	err = s.lab.RunHelper(ctx, a.Namespace, load.HelperPing, load.PingTask{
		To: b.Addr.Addr(), Interval: healthyPings, For: s.duration, Timeout: time.Second,
	}, &pings)
	if err = errors.Join(err, <-frames); err != nil {
		return pings, 0, err
	}
	if pings.Count == 0 {
		return pings, 0, fmt.Errorf("no answer from %s to %d pings", b.Addr.Addr(), pings.Lost)
	}
	sent := float64(pings.Count+pings.Lost) + float64(found.Offered)
	return pings, 100 * (float64(pings.Lost) + float64(found.Lost())) / sent, nil
}
