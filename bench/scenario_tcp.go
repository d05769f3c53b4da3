package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
	"vswitch/test/lab"
)

func tcpCases(d time.Duration) []variant {
	var cases []variant
	for _, streams := range []int{1, 8} {
		cases = append(cases, variant{
			name: fmt.Sprintf("streams=%d", streams), x: float64(streams), about: d,
			needs:   peer.Needs{Ports: 2, Segments: 1},
			measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.tcp(ctx, streams) },
		})
	}
	return cases
}

// tcp measures throughput and what it costs the whole machine: the sender's and the
// receiver's stacks, the switch, and the kernel's threads.
func (s *stage) tcp(ctx context.Context, streams int) ([]reading, error) {
	a, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	server, err := s.iperfServer(ctx, b)
	if err != nil {
		return nil, err
	}
	before, err := stat.MachineCPU()
	if err != nil {
		return nil, err
	}
	found, err := s.iperf(ctx, a, b, s.duration, streams)
	if err != nil {
		return nil, errors.Join(err, server.Err())
	}
	after, err := stat.MachineCPU()
	if err != nil {
		return nil, err
	}
	if found.End.Received.Bytes == 0 {
		return nil, errors.New("iperf3 transferred nothing")
	}
	sent, received := found.End.Sent, found.End.Received
	cost := (after - before).Seconds() / (received.Bytes / 1e9)
	return []reading{
		{metric: "throughput", unit: "Gb/s", better: report.Higher, value: received.BitsPerSecond / 1e9},
		{metric: "cpu_seconds_per_gb", unit: "s/GB", better: report.Lower, value: cost},
		{metric: "retransmits", unit: "segments", better: report.Lower, value: sent.Retransmits},
	}, nil
}

// iperfFound is the part of iperf3's JSON that is of use here.
type iperfFound struct {
	Error string `json:"error"`
	End   struct {
		Sent struct {
			Retransmits float64 `json:"retransmits"`
		} `json:"sum_sent"`
		Received struct {
			Bytes         float64 `json:"bytes"`
			BitsPerSecond float64 `json:"bits_per_second"`
		} `json:"sum_received"`
		Streams []struct { // of TCP
			Sender struct {
				MeanRTT float64 `json:"mean_rtt"` // µs
			} `json:"sender"`
		} `json:"streams"`
	} `json:"end"`
}

func (s *stage) iperfServer(ctx context.Context, at load.Endpoint) (*lab.Process, error) {
	server, err := s.lab.Start(at.Namespace, nil, "iperf3", "--server", "--forceflush")
	if err != nil {
		return nil, err
	}
	return server, awaitIperf(ctx, server, 0)
}

// awaitIperf returns once a server listens, as it says after its first lines.
func awaitIperf(ctx context.Context, server *lab.Process, lines int) error {
	ctx, cancel := context.WithTimeout(ctx, peer.Patience)
	defer cancel()
	_, err := server.Await(ctx, lines, "Server listening")
	return err
}

// iperf runs a client of the server at to.
func (s *stage) iperf(
	ctx context.Context, from, to load.Endpoint, d time.Duration, streams int, flags ...string,
) (found iperfFound, err error) {
	argv := []string{
		"iperf3", "--json", "--client", to.Addr.Addr().String(), "--time", iperfTime(d),
		"--parallel", strconv.Itoa(streams),
	}
	out, err := s.lab.Run(ctx, from.Namespace, nil, append(argv, flags...)...)
	if decoding := json.Unmarshal(out, &found); decoding == nil && found.Error != "" {
		return found, fmt.Errorf("iperf3: %s", found.Error)
	} else if err == nil {
		err = decoding
	}
	return found, err
}

// iperfTime is in whole seconds, 1 at least: iperf3 knows no fractions.
func iperfTime(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
