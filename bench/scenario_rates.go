package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
)

// What UDP offers a rate: as much of it as must arrive whole, in frames of the MTU.
const (
	udpShare   = 0.95
	udpPayload = 1472
	udpFrame   = udpPayload + 42 // with the headers, of which a rate counts each byte
)

// ratesCases show how much of its rate a port gets, which bounds what its host sends (in) or
// is sent (out); that UDP below it loses nothing; and what it costs a pair beside it. The rate
// of the kernel's bridge is that of tc-tbf(8).
func ratesCases(d time.Duration) []variant {
	var cases []variant
	add := func(
		direction string, mbit uint64, what string, ports int, about time.Duration,
		measure func(s *stage, ctx context.Context, rate float64) ([]reading, error),
	) {
		rate := mbit * 1e6
		needs := peer.Needs{Ports: ports, Segments: 1, RateIn: rate}
		if direction == "out" {
			needs.RateIn, needs.RateOut = 0, rate
		}
		cases = append(cases, variant{
			name: fmt.Sprintf("%s %s mbit=%d", what, direction, mbit), x: float64(mbit),
			about: about, needs: needs,
			measure: func(ctx context.Context, s *stage) ([]reading, error) {
				return measure(s, ctx, float64(rate))
			},
		})
	}
	for _, direction := range []string{"in", "out"} {
		for _, mbit := range []uint64{10, 20, 100, 300, 1000, 5000} {
			for _, streams := range []int{1, 4} {
				add(direction, mbit, fmt.Sprintf("streams=%d", streams), 2, d,
					func(s *stage, ctx context.Context, rate float64) ([]reading, error) {
						return s.rateTCP(ctx, rate, streams)
					})
			}
			if mbit <= 1000 { // more datagrams than iperf3 makes
				add(direction, mbit, "udp", 2, d, (*stage).rateUDP)
			}
		}
		add(direction, 100, "beside", 4, 2*d, (*stage).rateBeside)
	}
	return cases
}

// rateTCP is the share of the rate that TCP gets.
func (s *stage) rateTCP(ctx context.Context, rate float64, streams int) ([]reading, error) {
	found, err := s.rateIperf(ctx, streams)
	if err != nil {
		return nil, err
	}
	rtt := 0.0
	for _, stream := range found.End.Streams {
		rtt += stream.Sender.MeanRTT / float64(len(found.End.Streams)) / 1e3
	}
	return []reading{
		{
			metric: "of_rate", unit: "share", better: report.Higher,
			value: found.End.Received.BitsPerSecond / rate,
		},
		{metric: "rtt", unit: "ms", better: report.Lower, value: rtt},
		{
			metric: "retransmits", unit: "segments", better: report.Lower,
			value: found.End.Sent.Retransmits,
		},
	}, nil
}

// rateUDP is what UDP loses that keeps below the rate, between the two stacks: iperf3 loses more,
// which it has no room for in its socket.
func (s *stage) rateUDP(ctx context.Context, rate float64) ([]reading, error) {
	payload := rate * udpShare * udpPayload / udpFrame
	before, err := s.packets(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = s.rateIperf(ctx, 1, "--udp", "--length", strconv.Itoa(udpPayload),
		"--bitrate", strconv.FormatFloat(payload, 'f', 0, 64)); err != nil {
		return nil, err
	}
	if err := pause(ctx, settleLoad); err != nil {
		return nil, err
	}
	after, err := s.packets(ctx)
	if err != nil {
		return nil, err
	}
	sent, lost := after.sent-before.sent, after.sent-before.sent-(after.received-before.received)
	if sent < payload/8/udpPayload*s.duration.Seconds()/2 {
		return nil, fmt.Errorf("iperf3 sent %.0f packets: less than half of the rate", sent)
	}
	return []reading{
		{metric: "loss", unit: "%", better: report.Lower, value: 100 * max(lost, 0) / sent},
	}, nil
}

// packets are those of IPv4 that the first endpoint has sent and the second has received.
type packets struct{ sent, received float64 }

func (s *stage) packets(ctx context.Context) (p packets, err error) {
	if p.sent, err = s.snmp(ctx, s.endpoints[0], "OutRequests"); err != nil {
		return p, err
	}
	p.received, err = s.snmp(ctx, s.endpoints[1], "InReceives")
	return p, err
}

// snmp returns a counter of an endpoint's IPv4 stack (RFC 2011).
func (s *stage) snmp(ctx context.Context, e load.Endpoint, name string) (float64, error) {
	out, err := s.lab.Run(ctx, e.Namespace, nil, "cat", "/proc/net/snmp")
	if err != nil {
		return 0, err
	}
	lines := strings.Split(string(out), "\n") // the first two are of IP: names and numbers
	if len(lines) > 1 {
		names, values := strings.Fields(lines[0]), strings.Fields(lines[1])
		if i := slices.Index(names, name); i >= 0 && i < len(values) {
			return strconv.ParseFloat(values[i], 64)
		}
	}
	return 0, fmt.Errorf("/proc/net/snmp has no %s", name)
}

// rateIperf runs iperf3 from the first endpoint to the second.
func (s *stage) rateIperf(
	ctx context.Context, streams int, flags ...string,
) (found iperfFound, err error) {
	a, b, err := s.pair(ctx)
	if err != nil {
		return found, err
	}
	server, err := s.iperfServer(ctx, b)
	if err != nil {
		return found, err
	}
	if found, err = s.iperf(ctx, a, b, s.duration, streams, flags...); err != nil {
		return found, errors.Join(err, server.Err())
	}
	return found, server.Stop()
}

// rateBeside is the throughput of a pair without rates, alone and while TCP fills the rate of
// the pair beside it.
func (s *stage) rateBeside(ctx context.Context, rate float64) ([]reading, error) {
	c, d := s.endpoints[2], s.endpoints[3]
	if err := s.connect(ctx, c, d); err != nil {
		return nil, err
	}
	server, err := s.iperfServer(ctx, d)
	if err != nil {
		return nil, err
	}
	listening := server.Lines()
	alone, err := s.iperf(ctx, c, d, s.duration, 1)
	if err != nil {
		return nil, errors.Join(err, server.Err())
	}
	if err := awaitIperf(ctx, server, listening); err != nil {
		return nil, err
	}
	type result struct {
		found iperfFound
		err   error
	}
	rated := make(chan result, 1)
	go func() {
		found, err := s.rateIperf(ctx, 1)
		rated <- result{found, err}
	}()
	beside, err := s.iperf(ctx, c, d, s.duration, 1)
	r := <-rated
	if err = errors.Join(err, r.err); err != nil {
		return nil, err
	}
	return []reading{
		{
			metric: "beside_alone", unit: "ratio", better: report.Higher,
			value: beside.End.Received.BitsPerSecond / alone.End.Received.BitsPerSecond,
		},
		{
			metric: "of_rate", unit: "share", better: report.Higher,
			value: r.found.End.Received.BitsPerSecond / rate,
		},
	}, nil
}
