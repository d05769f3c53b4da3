package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
)

// Parameters of how addresses are taught.
const (
	teachRate   = 200_000 // frames/s
	teachPasses = 6       // until all are known: a frame may be lost, and a table may have to grow
)

func sizeAddressesCases(d time.Duration) []variant {
	sizes := sizesFor(d, addressCounts, addressCountsBrief)
	about := 4*time.Duration(slices.Max(sizes))*time.Second/teachRate + time.Duration(2*DefaultRounds*len(sizes))*d
	return own(about+time.Second, func(ctx context.Context, s *stage) ([]reading, error) {
		return s.manyAddresses(ctx, sizes)
	})
}

// manyAddresses measures the rate from one port to another with that many addresses learned
// there: to the port's own, and to each of them in turn.
func (s *stage) manyAddresses(ctx context.Context, sizes []int) (readings []reading, err error) {
	list, err := s.openEach(ctx, "addresses", sizes, taught)
	defer func() { err = errors.Join(err, closeEach(list)) }()
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if err := s.teach(ctx); err != nil {
			return nil, fmt.Errorf("%d addresses: %w", s.size, err)
		}
	}
	err = s.inTurn(list, func(s sized) error {
		for _, traffic := range []struct {
			name    string
			targets int
		}{{"traffic=pair", 1}, {"traffic=all", s.size}} {
			found, err := s.toTargets(ctx, traffic.targets)
			if err != nil {
				return err
			}
			readings = append(readings, deliveredReading(found).with(s.point("addresses", traffic.name)))
		}
		return nil
	})
	return readings, err
}

func sizeFlowsCases(d time.Duration) []variant {
	counts := sizesFor(d, flowCounts, flowCountsBrief)
	about := time.Duration(DefaultRounds*len(counts))*d + 2*time.Second
	return own(about, func(ctx context.Context, s *stage) ([]reading, error) {
		return s.manyFlows(ctx, counts)
	})
}

// manyFlows measures the rate from one port to that many addresses of another in turn, so that
// with more than one no frame goes the way of the one before it.
func (s *stage) manyFlows(ctx context.Context, counts []int) (readings []reading, err error) {
	list, err := s.openEach(ctx, "flows", []int{slices.Max(counts)}, taught)
	defer func() { err = errors.Join(err, closeEach(list)) }()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	all := list[0]
	if err := all.teach(ctx); err != nil {
		return nil, err
	}
	each := make([]sized, len(counts))
	for i, n := range counts {
		each[i] = sized{all.stage, n}
	}
	err = s.inTurn(each, func(s sized) error {
		found, err := s.toTargets(ctx, s.size)
		if err != nil {
			return err
		}
		readings = append(readings, deliveredReading(found).with(s.point("flows", "")))
		return nil
	})
	return readings, err
}

// taught is what is needed for that many addresses: a port that sends, one that has them, and one
// that must not get their frames.
func taught(addresses int) peer.Needs {
	return peer.Needs{Ports: 3, Segments: 1, Foreign: true, Local: true, Addresses: addresses}
}

// teach has the second port send a frame from each address, until the switch knows all of
// them: none of the frames to them comes to the third.
func (s sized) teach(ctx context.Context) error {
	missing := uint64(0)
	for range teachPasses {
		learning := load.FramesTask{
			Flows: []load.Flow{{From: s.endpoints[1], To: s.endpoints[0]}}, Bytes: smallest - fcsLen,
			Count: uint64(s.size), Rate: teachRate, Sources: s.size,
		}
		if _, err := s.offer(ctx, learning); err != nil {
			return fmt.Errorf("teach: %w", err)
		}
		found, err := s.offer(ctx, s.testFrames(s.size, learning))
		if err != nil {
			return fmt.Errorf("see what was learned: %w", err)
		}
		if missing = found.Watched; missing == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d of %d addresses are not known after %d frames from each",
		missing, s.size, teachPasses)
}

// testFrames go to each address that learning was from, once.
func (s sized) testFrames(count int, learning load.FramesTask) load.FramesTask {
	f := learning.Flows[0]
	return load.FramesTask{
		Flows: []load.Flow{{From: f.To, To: f.From}}, Watch: s.endpoints[2:], Bytes: learning.Bytes,
		Count: uint64(count), Rate: teachRate, Targets: count, First: learning.First,
	}
}

// toTargets measures the rate to that many of the addresses, as fast as it goes.
func (s sized) toTargets(ctx context.Context, targets int) (load.FramesFound, error) {
	found, err := s.offer(ctx, load.FramesTask{
		Flows: []load.Flow{{From: s.endpoints[0], To: s.endpoints[1]}}, Watch: s.endpoints[2:],
		Bytes: smallest - fcsLen, For: s.duration, Targets: targets,
	})
	if err == nil && found.Watched > found.Delivered/100 {
		err = fmt.Errorf("%d frames of %d were flooded", found.Watched, found.Delivered)
	}
	return found, err
}
