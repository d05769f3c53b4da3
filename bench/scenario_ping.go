package bench

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
	"vswitch/test/lab"
)

// pingInterval is that of spaced pings: long enough for everyone to fall asleep.
const pingInterval = 3 * time.Millisecond

func pingCases(d time.Duration) []variant {
	spaced := variant{
		name: fmt.Sprintf("interval=%v", pingInterval), x: pingInterval.Seconds() * 1e3,
		needs: peer.Needs{Ports: 2, Segments: 1}, about: 2 * d,
		measure: func(ctx context.Context, s *stage) ([]reading, error) {
			return s.ping(ctx, pingInterval)
		},
	}
	backToBack := spaced
	backToBack.name, backToBack.x = "interval=0", 0
	backToBack.measure = func(ctx context.Context, s *stage) ([]reading, error) {
		return s.ping(ctx, 0)
	}
	return []variant{spaced, backToBack}
}

// ping measures round trips twice: with the harness's pinger for percentiles, and
// with ping(8) for the line that people know.
func (s *stage) ping(ctx context.Context, interval time.Duration) ([]reading, error) {
	a, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	var found stat.Latencies
	err = s.lab.RunHelper(ctx, a.Namespace, load.HelperPing, load.PingTask{
		To: b.Addr.Addr(), Interval: interval, For: s.duration, Timeout: time.Second,
	}, &found)
	if err != nil {
		return nil, err
	}
	if found.Count == 0 {
		return nil, fmt.Errorf("no answer from %s to %d pings", b.Addr.Addr(), found.Lost)
	}
	transcript, err := s.transcript(ctx, a, b.Addr.Addr(), interval)
	if err != nil {
		return nil, err
	}
	readings := append(latencyReadings(found), reading{
		metric: "loss", unit: "%", better: report.Lower, value: found.Loss(),
	})
	return append(readings, transcript...), nil
}

// latencyReadings are the metrics of round-trip times.
func latencyReadings(l stat.Latencies) []reading {
	us := func(metric string, v float64) reading {
		return reading{metric: metric, unit: "us", better: report.Lower, value: v}
	}
	p50 := us("rtt_p50", l.P50)
	p50.quantiles = l.Quantiles
	return []reading{
		p50, us("rtt_p90", l.P90), us("rtt_p99", l.P99), us("rtt_p99_9", l.P999),
		us("rtt_min", l.Min), us("rtt_avg", l.Avg), us("rtt_max", l.Max),
	}
}

// floodPings are sent by ping(8) back to back.
const floodPings = 2000

// transcriptLine is what ping(8) of iputils prints last.
var transcriptLine = regexp.MustCompile(`rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/`)

func (s *stage) transcript(
	ctx context.Context, from load.Endpoint, to netip.Addr, interval time.Duration,
) ([]reading, error) {
	args := []string{"ping", "-n", "-q", "-f", "-c", strconv.Itoa(floodPings), to.String()}
	if interval > 0 {
		count := max(3, int(math.Ceil(s.duration.Seconds()/2/interval.Seconds())))
		args = []string{
			"ping", "-n", "-q", "-i", fmt.Sprintf("%.3f", interval.Seconds()),
			"-c", strconv.Itoa(count), to.String(),
		}
	}
	out, err := s.lab.Run(ctx, from.Namespace, []string{"LC_ALL=C"}, args...)
	if err != nil {
		return nil, err
	}
	return parseTranscript(out)
}

// parseTranscript reads the last line of ping(8), which is in ms.
func parseTranscript(out []byte) ([]reading, error) {
	line := transcriptLine.FindSubmatch(out)
	if line == nil {
		return nil, fmt.Errorf("ping printed no line of round-trip times: %s", lab.LastLines(string(out)))
	}
	var readings []reading
	for i, metric := range []string{report.MetricPingMin, report.MetricPingAvg, report.MetricPingMax} {
		ms, err := strconv.ParseFloat(string(line[i+1]), 64)
		if err != nil {
			return nil, fmt.Errorf("ping printed %q: %w", line[0], err)
		}
		readings = append(readings, reading{
			metric: metric, unit: "us", better: report.Lower, value: ms * 1e3,
		})
	}
	return readings, nil
}
