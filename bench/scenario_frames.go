package bench

import (
	"context"
	"fmt"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
)

// frameSizes are those of RFC 2544 §9.1, with the FCS, which no frame here carries.
var frameSizes = []int{64, 128, 256, 512, 1024, 1280, 1518}

const (
	fcsLen   = 4
	smallest = 64 // of frameSizes
	largest  = 1518
)

// Parameters of the search for the highest rate without loss.
const (
	searchSteps      = 7 // the rate is found to 1/128 of the highest offered
	searchStepsBrief = 2
	// trialShare of the duration is what one trial takes; RFC 2544 §24 would have a
	// minute for each, which no harness with rounds can afford.
	trialShare = 4
)

func framesCases(d time.Duration) []variant {
	var cases []variant
	for _, size := range frameSizes {
		cases = append(cases, variant{
			name: fmt.Sprintf("size=%d", size), x: float64(size),
			needs: peer.Needs{Ports: 2, Segments: 1, Foreign: true},
			about: d + searchSteps*(d/trialShare+150*time.Millisecond),
			measure: func(ctx context.Context, s *stage) ([]reading, error) {
				return s.frames(ctx, size-fcsLen)
			},
		})
	}
	return cases
}

// frames measures the rate delivered at the highest rate offered (RFC 2285 §3.6.2)
// and the highest rate that all frames survive (RFC 2544 §26.1).
func (s *stage) frames(ctx context.Context, size int) ([]reading, error) {
	a, b, err := s.pair(ctx)
	if err != nil {
		return nil, err
	}
	task := load.FramesTask{Flows: []load.Flow{{From: a, To: b}}, Bytes: size, For: s.duration}
	most, err := s.offer(ctx, task)
	if err != nil {
		return nil, err
	}
	best, _, err := s.search(ctx, task, most.OfferedRate())
	if err != nil {
		return nil, err
	}
	return []reading{
		deliveredReading(most),
		{metric: "offered_rate", unit: "frames/s", better: report.Higher, value: most.OfferedRate()},
		{metric: "zero_loss_rate", unit: "frames/s", better: report.Higher, value: best},
	}, nil
}

func deliveredReading(f load.FramesFound) reading {
	return reading{
		metric: "delivered_rate", unit: "frames/s", better: report.Higher, value: f.DeliveredRate(),
	}
}

// offer sends frames from the harness's sender. That one reaches into all
// namespaces, so that it can serve many flows; where it runs makes no difference.
func (s *stage) offer(ctx context.Context, task load.FramesTask) (load.FramesFound, error) {
	found, err := s.offerAny(ctx, task)
	switch {
	case err != nil:
	case found.Delivered == 0:
		err = fmt.Errorf("none of %d frames was delivered", found.Offered)
	case found.Flooded():
		err = fmt.Errorf("the switch flooded: %d frames came to endpoints that only send", found.Strayed)
	}
	return found, err
}

// offerAny is offer of frames that need not be delivered.
func (s *stage) offerAny(ctx context.Context, task load.FramesTask) (found load.FramesFound, err error) {
	err = s.lab.RunHelper(ctx, s.lab.Host(), load.HelperFrames, task, &found)
	return found, err
}

// search searches, by halves, for the highest rate without a lost frame. A trial
// that lost some is repeated once, so that one disturbance from outside does not
// decide it (ETSI GS NFV-TST 009 §12.3.3, binary search with loss verification). It
// is 0 when even the lowest rate tried lost frames. highest is the highest rate at which frames
// were delivered in a trial (the maximum forwarding rate, RFC 2889 §5.6).
func (s *stage) search(
	ctx context.Context, task load.FramesTask, offered float64,
) (best, highest float64, err error) {
	task.For = max(s.duration/trialShare, 10*time.Millisecond)
	low, high := 0.0, offered
	for range s.searchSteps() {
		task.Rate = (low + high) / 2
		var found load.FramesFound
		for range 2 {
			if found, err = s.offer(ctx, task); err != nil {
				return 0, 0, err
			}
			highest = max(highest, found.DeliveredRate())
			if found.Lost() == 0 {
				break
			}
		}
		if found.Lost() > 0 {
			high = task.Rate
			continue
		}
		low, best = task.Rate, max(best, found.OfferedRate())
	}
	return best, highest, nil
}

func (s *stage) searchSteps() int {
	if s.duration < brief/4 {
		return searchStepsBrief
	}
	return searchSteps
}

// portsCases vary the number of ports on one segment, with one pair of them talking
// and with all.
func portsCases(d time.Duration) []variant {
	var cases []variant
	for _, ports := range []int{2, 16, 64, 256} {
		for _, pairs := range []int{1, ports / 2} {
			if ports == 2 && len(cases) > 0 {
				continue // the same
			}
			cases = append(cases, variant{
				name: fmt.Sprintf("ports=%d,pairs=%d", ports, pairs), x: float64(ports),
				needs: peer.Needs{Ports: ports, Segments: 1, Foreign: true},
				about: d + time.Duration(ports)*10*time.Millisecond,
				measure: func(ctx context.Context, s *stage) ([]reading, error) {
					return s.pairs(ctx, pairs, 1)
				},
			})
		}
	}
	return cases
}

// macsCases vary the number of source addresses (RFC 2889 §5.7).
func macsCases(d time.Duration) []variant {
	var cases []variant
	for _, macs := range []int{1, 1_000, 64_000} {
		cases = append(cases, variant{
			name: fmt.Sprintf("macs=%d", macs), x: float64(macs), about: d,
			needs:   peer.Needs{Ports: 2, Segments: 1, Foreign: true},
			measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.pairs(ctx, 1, macs) },
		})
	}
	return cases
}

// segmentsCases vary the number of segments: a pair talks on one of them, each of
// the others has one port.
func segmentsCases(d time.Duration) []variant {
	var cases []variant
	for _, segments := range []int{1, 64, 1000} {
		cases = append(cases, variant{
			name: fmt.Sprintf("segments=%d", segments), x: float64(segments),
			needs:   peer.Needs{Ports: segments + 1, Segments: segments, Foreign: true},
			about:   d + time.Duration(segments)*15*time.Millisecond,
			measure: func(ctx context.Context, s *stage) ([]reading, error) { return s.pairs(ctx, 1, 1) },
		})
	}
	return cases
}

// pairs measures the rate that so many pairs of endpoints get together, in frames of
// the smallest size.
func (s *stage) pairs(ctx context.Context, pairs, sources int) ([]reading, error) {
	if _, _, err := s.pair(ctx); err != nil {
		return nil, err
	}
	flows := make([]load.Flow, pairs)
	for i := range flows {
		flows[i] = load.Flow{From: s.endpoints[2*i], To: s.endpoints[2*i+1]}
	}
	found, err := s.offer(ctx, load.FramesTask{
		Flows: flows, Bytes: smallest - fcsLen, For: s.duration, Sources: sources,
	})
	if err != nil {
		return nil, err
	}
	return []reading{deliveredReading(found)}, nil
}
