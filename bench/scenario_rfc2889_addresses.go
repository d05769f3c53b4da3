package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
)

// Bounds of the search for the address caching capacity. The steps are those of RFC 2889
// §5.7.2: from what is too many by halves, here to 1/64 of it.
const (
	mostAddresses      = 1 << 17
	mostAddressesBrief = 1 << 10
	capacitySteps      = 6
	capacityRate       = 50_000 // frames/s: slow enough for each to be learned
)

// Parameters of the search for the address learning rate: fewer addresses than the smallest
// table holds, in each trial others.
const (
	rateAddresses      = 4000
	rateAddressesBrief = 200
	rateSteps          = 6
)

func addressCapacityCases(d time.Duration) []variant {
	most := mostAddresses
	if d < brief/4 {
		most = mostAddressesBrief
	}
	return []variant{{
		name: fmt.Sprintf("addresses<=%d", most), opens: true, needs: threePorts,
		about: (capacitySteps + 1) * (startStop + time.Duration(most)*time.Second/capacityRate),
		measure: func(ctx context.Context, s *stage) ([]reading, error) {
			capacity, err := s.addressCapacity(ctx, most)
			return []reading{{
				metric: "capacity", unit: "addresses", better: report.Higher, value: float64(capacity),
			}}, err
		},
	}}
}

// threePorts are the test, learning and monitoring ports of RFC 2889 §5.7.3.
var threePorts = peer.Needs{Ports: 3, Segments: 1, Foreign: true}

// addressCapacity searches for the most addresses that the peer knows at the same time, in its
// default settings. Each trial has a peer of its own, which knows none at first.
func (s *stage) addressCapacity(ctx context.Context, most int) (best int, err error) {
	low, high := 0, 2*most
	for range min(capacitySteps, s.searchSteps()) + 1 {
		n := (low + high) / 2
		known, err := s.knows(ctx, n)
		if err != nil {
			return 0, fmt.Errorf("%d addresses: %w", n, err)
		}
		if known {
			low = n
			if n == most {
				break
			}
			continue
		}
		high = n
	}
	return low, nil
}

// knows reports whether a peer that has just been started knows that many addresses after it
// has seen each of them.
func (s *stage) knows(ctx context.Context, n int) (known bool, err error) {
	trial, err := s.open(ctx, threePorts)
	defer func() { err = errors.Join(err, trial.close()) }()
	if err != nil {
		return false, err
	}
	return sized{trial, n}.learned(ctx, n, 0, capacityRate)
}

// learned has the second port send one frame from each of n addresses at that rate, and
// reports whether a frame to each of them comes there, and none to the third port.
func (s sized) learned(ctx context.Context, n int, first uint32, rate float64) (bool, error) {
	learning := load.FramesTask{
		Flows: []load.Flow{{From: s.endpoints[1], To: s.endpoints[0]}}, Bytes: smallest - fcsLen,
		Count: uint64(n), Rate: rate, Sources: max(n, 2), First: first,
	}
	sent, err := s.offer(ctx, learning)
	if err != nil || sent.Lost() > 0 {
		return false, err
	}
	test := s.testFrames(max(n, 2), learning)
	test.Rate = min(test.Rate, capacityRate)
	found, err := s.offer(ctx, test)
	return err == nil && found.Watched == 0 && found.Lost() == 0, err
}

func addressRateCases(d time.Duration) []variant {
	n := rateAddresses
	if d < brief/4 {
		n = rateAddressesBrief
	}
	return []variant{{
		name: fmt.Sprintf("addresses=%d", n), x: float64(n), needs: threePorts, about: rateSteps * time.Second,
		measure: func(ctx context.Context, s *stage) ([]reading, error) {
			return sized{s, n}.addressRate(ctx)
		},
	}}
}

// addressRate searches for the highest rate of frames from new addresses at which all of them
// are learned (§5.8).
func (s sized) addressRate(ctx context.Context) ([]reading, error) {
	a, b := s.endpoints[0], s.endpoints[1]
	most, err := s.offer(ctx, load.FramesTask{
		Flows: []load.Flow{{From: b, To: a}}, Bytes: smallest - fcsLen, For: s.duration,
	})
	if err != nil {
		return nil, err
	}
	low, high := 0.0, 2*most.DeliveredRate()
	for trial := range min(rateSteps, s.searchSteps()) + 1 {
		rate := (low + high) / 2
		known, err := s.learned(ctx, s.size, uint32(trial*s.size), rate)
		if err != nil {
			return nil, fmt.Errorf("%.0f addresses/s: %w", rate, err)
		}
		if known {
			low = rate
		} else {
			high = rate
		}
	}
	return []reading{{metric: "learning_rate", unit: "addresses/s", better: report.Higher, value: low}}, nil
}
