package bench

import (
	"context"
	"fmt"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
	"vswitch/test/lab"
)

func rrCases(d time.Duration) []variant {
	pair := peer.Needs{Ports: 2, Segments: 1}
	return []variant{
		{
			name: "load=idle", needs: pair, about: d,
			measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.rr(ctx, false) },
		},
		{
			name: "load=half", x: 0.5, needs: pair, about: 2*d + time.Second,
			measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.rr(ctx, true) },
		},
	}
}

// rr measures requests and answers of one byte over TCP, alone or beside a stream
// between the same two at half the rate that one reaches.
func (s *stage) rr(ctx context.Context, loaded bool) ([]reading, error) {
	a, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	var stream *lab.Process
	if loaded {
		if stream, err = s.halfLoad(ctx, a, b); err != nil {
			return nil, err
		}
	}
	_, err = s.lab.StartHelper(ctx, b.Namespace, load.HelperRRServer,
		load.RRServerTask{Listen: b.Addr.Addr()})
	if err != nil {
		return nil, err
	}
	var found stat.Latencies
	err = s.lab.RunHelper(ctx, a.Namespace, load.HelperRR,
		load.RRTask{To: b.Addr.Addr(), For: s.duration}, &found)
	if err != nil {
		return nil, err
	}
	if stream != nil {
		if err := stream.Err(); err != nil {
			return nil, fmt.Errorf("the load beside: %w", err)
		}
	}
	if found.Count == 0 {
		return nil, fmt.Errorf("no request was answered within %v", s.duration)
	}
	return append(latencyReadings(found), reading{
		metric: "transaction_rate", unit: "transactions/s", better: report.Higher, value: 1e6 / found.Avg,
	}), nil
}

// settleLoad is how long a stream takes to reach its rate.
const settleLoad = 300 * time.Millisecond

// halfLoad starts a stream from a to b at half the rate of one that is let loose.
func (s *stage) halfLoad(ctx context.Context, a, b load.Endpoint) (*lab.Process, error) {
	server, err := s.iperfServer(ctx, b)
	if err != nil {
		return nil, err
	}
	listening := server.Lines()
	full, err := s.iperf(ctx, a, b, time.Second, 1)
	if err != nil {
		return nil, err
	}
	// After each client it opens its socket anew, and resets who comes before that.
	if err := awaitIperf(ctx, server, listening); err != nil {
		return nil, err
	}
	rate := full.End.Received.BitsPerSecond / 2
	stream, err := s.lab.Start(a.Namespace, nil, "iperf3", "--client", b.Addr.Addr().String(),
		"--bitrate", fmt.Sprintf("%.0f", rate), "--time", iperfTime(2*s.duration+peer.Patience))
	if err != nil {
		return nil, err
	}
	return stream, pause(ctx, settleLoad)
}
