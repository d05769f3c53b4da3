package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
)

// sizeScenarios are about what more of something costs. Each starts the peer once for each
// size, all at the same time, and goes through the sizes forth and back in each round: what
// differs between two sizes is then not what the machine did meanwhile. That needs a peer which
// uses no processor while it is idle.
func sizeScenarios() []scenario {
	return []scenario{
		{"size-ports", sizePortsCases},
		{"size-addresses", sizeAddressesCases},
		{"size-flows", sizeFlowsCases},
		{"size-workers", sizeWorkersCases},
	}
}

// Sizes that are measured. A run for a moment only, as in tests, makes do with fewer.
var (
	portCounts         = []int{2, 64, 1024, 4096}
	portCountsBrief    = []int{2, 8}
	addressCounts      = []int{10, 10_000, 1_000_000}
	addressCountsBrief = []int{10, 1000}
	flowCounts         = []int{1, 10, 100, 1000, 10_000, 100_000}
	flowCountsBrief    = []int{1, 10}
	workerCounts       = []int{1, 2, 4, 8} // as many as there are processors, at most
	workerCountsBrief  = []int{1, 2}
)

// sizesFor are the brief sizes for a run for a moment.
func sizesFor(d time.Duration, all, briefly []int) []int {
	if d < brief/4 {
		return briefly
	}
	return all
}

// attachTime is about what a port that is not moved takes to be attached, with room for slower
// peers.
const attachTime = 20 * time.Millisecond

// announceTime is about what vswitch's announcement of a port takes with thousands of others.
const announceTime = 100 * time.Millisecond

// own is a variant that starts the peer itself and measures all rounds.
func own(about time.Duration, measure func(context.Context, *stage) ([]reading, error)) []variant {
	return []variant{{
		name: "all", opens: true, rounds: true, about: about, measure: measure,
		needs: peer.Needs{Ports: 2, Segments: 1, Foreign: true},
	}}
}

func sizePortsCases(d time.Duration) []variant {
	sizes := sizesFor(d, portCounts, portCountsBrief)
	about := time.Duration(slices.Max(sizes))*(attachTime+announceTime) + time.Duration(DefaultRounds*4*len(sizes))*d
	return own(about, func(ctx context.Context, s *stage) ([]reading, error) {
		return s.manyPorts(ctx, sizes)
	})
}

// sized is a stage of one size.
type sized struct {
	*stage
	size int
}

// openEach opens a stage for each size that is wanted, as a case such as ports=64, and that the
// peer can do.
func (s *stage) openEach(
	ctx context.Context, what string, sizes []int, needs func(size int) peer.Needs,
) (list []sized, err error) {
	for _, size := range sizes {
		n := needs(size)
		sized := sized{size: size}
		if !s.peer.Limits().Allow(n) || !matchCase(s.h.o.Cases, sized.point(what, "").name) {
			continue
		}
		var err error
		sized.stage, err = s.open(ctx, n)
		list = append(list, sized)
		if err != nil {
			return list, fmt.Errorf("size %d: %w", size, err)
		}
	}
	return list, nil
}

func closeEach(list []sized) error {
	var err error
	for _, s := range slices.Backward(list) {
		err = errors.Join(err, s.close())
	}
	return err
}

// inTurn calls f with each of list, in each round, forth and back.
func (s *stage) inTurn(list []sized, f func(sized) error) error {
	for round := range s.rounds {
		for i := range list {
			if round%2 == 1 {
				i = len(list) - 1 - i
			}
			if err := f(list[i]); err != nil {
				return fmt.Errorf("size %d, round %d: %w", list[i].size, round+1, err)
			}
		}
	}
	return nil
}

// manyPorts measures what a pair, all ports in random pairs, and a flood get with that many
// ports, the memory of the peer, and what it uses of a processor while all are quiet.
func (s *stage) manyPorts(ctx context.Context, sizes []int) (readings []reading, err error) {
	list, err := s.openEach(ctx, "ports", sizes, func(ports int) peer.Needs {
		return peer.Needs{Ports: ports, Segments: 1, Foreign: true, Local: true}
	})
	defer func() { err = errors.Join(err, closeEach(list)) }()
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if err := s.awaitQuiet(ctx); err != nil {
			return nil, err
		}
	}
	if readings, err = s.quiet(ctx, list); err != nil {
		return nil, err
	}
	hot := 0.0 // rate of the pair that was measured last
	err = s.inTurn(list, func(s sized) error {
		found, err := s.offer(ctx, load.FramesTask{
			Flows: s.randomPairs()[:1], Bytes: smallest - fcsLen, For: s.duration,
		})
		if err != nil {
			return fmt.Errorf("one pair: %w", err)
		}
		hot = found.DeliveredRate()
		readings = append(readings, deliveredReading(found).with(s.point("ports", "traffic=pair")))
		// Not as fast as it goes: a thousand frames in each queue are no cache's any more.
		found, err = s.offer(ctx, load.FramesTask{
			Flows: s.randomPairs(), Bytes: smallest - fcsLen, For: s.duration, Rate: 1.2 * hot,
		})
		if err != nil {
			return fmt.Errorf("random pairs: %w", err)
		}
		readings = append(readings, deliveredReading(found).with(s.point("ports", "traffic=random")))
		if s.size == 2 {
			return nil // a flood to one is no flood
		}
		flood, err := s.flood(ctx)
		readings = append(readings, flood.with(s.point("ports", "traffic=flood")))
		return err
	})
	return readings, err
}

// point is the case with the stage's size.
func (s sized) point(what, rest string) point {
	name := fmt.Sprintf("%s=%d", what, s.size)
	if rest != "" {
		name += "," + rest
	}
	return point{name, float64(s.size)}
}

func (r reading) with(at point) reading {
	r.at = at
	return r
}

// randomPairs has each endpoint in one pair, with the same seed each time.
func (s sized) randomPairs() []load.Flow {
	random := rand.New(rand.NewPCG(1, uint64(s.size)))
	order := random.Perm(len(s.endpoints))
	flows := make([]load.Flow, len(order)/2)
	for i := range flows {
		flows[i] = load.Flow{From: s.endpoints[order[2*i]], To: s.endpoints[order[2*i+1]]}
	}
	return flows
}

// Broadcast frames that are sent at a time: as many as make some copies, but no more than fit a
// queue.
const (
	floodCopies = 200_000
	floodFrames = 900
)

// flood measures the copies of broadcast frames that all ports together get in a second.
func (s sized) flood(ctx context.Context) (reading, error) {
	n := len(s.endpoints)
	task := load.FramesTask{
		Flows: []load.Flow{{From: s.endpoints[0], To: s.endpoints[n-1]}}, Watch: s.endpoints[1 : n-1],
		Bytes: smallest - fcsLen, Broadcast: true, Learned: true,
		Count: uint64(min(max(floodCopies/n, 1), floodFrames)),
	}
	copies, took := 0.0, 0.0
	for start := time.Now(); copies == 0 || time.Since(start) < s.duration; {
		found, err := s.offer(ctx, task)
		if err != nil {
			return reading{}, fmt.Errorf("flood: %w", err)
		}
		copies += float64(found.Delivered + found.Watched)
		took += found.Drained.Seconds()
	}
	return reading{metric: "copies_rate", unit: "frames/s", better: report.Higher, value: copies / took}, nil
}

// Bounds of the wait until what attaching stirred up is over. vswitch announces each port to all
// others, a few tens of thousands of copies in a second at most, so that the announcements of
// 4,096 ports take minutes.
const (
	quietStep    = 500 * time.Millisecond
	quietSteps   = 3   // one after the other, for a busy machine may give the peer none
	quietShare   = 100 // 1 % of a processor is quiet
	quietPerPort = 200 * time.Millisecond
)

// awaitQuiet returns when the peer's processes use next to no processor time, or never will.
func (s sized) awaitQuiet(ctx context.Context) error {
	pids, calm := s.fabric.Processes(), 0
	for begin := time.Now(); len(pids) > 0 && time.Since(begin) < time.Duration(s.size)*quietPerPort; {
		before, err := stat.ProcessCPU(pids)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := pause(ctx, min(quietStep, s.duration)); err != nil {
			return err
		}
		after, err := stat.ProcessCPU(pids)
		if err != nil {
			return err
		}
		if after-before > time.Since(start)/quietShare {
			calm = 0
			continue
		}
		if calm++; calm == quietSteps {
			return nil
		}
	}
	return nil
}

// quiet measures the processor time and the memory of the processes of each, in each round.
func (s *stage) quiet(ctx context.Context, list []sized) (readings []reading, err error) {
	if len(list) == 0 || len(list[0].fabric.Processes()) == 0 {
		return nil, nil
	}
	for range s.rounds {
		before := make([]time.Duration, len(list))
		start := time.Now()
		for i, s := range list {
			if before[i], err = stat.ProcessCPU(s.fabric.Processes()); err != nil {
				return nil, err
			}
		}
		if err := pause(ctx, idleShare*s.duration); err != nil {
			return nil, err
		}
		for i, st := range list {
			after, err := stat.ProcessCPU(st.fabric.Processes())
			if err != nil {
				return nil, err
			}
			readings = append(readings, reading{
				metric: "idle_cpu", unit: "% of one CPU", better: report.Lower, at: st.point("ports", ""),
				value: 100 * float64(after-before[i]) / float64(time.Since(start)),
			})
		}
	}
	for _, s := range list {
		memory, err := s.memory()
		if err != nil {
			return nil, err
		}
		for _, r := range memory {
			readings = append(readings, r.with(s.point("ports", "")))
		}
	}
	return readings, nil
}

// memory is that of the peer's processes, in MiB.
func (s *stage) memory() ([]reading, error) {
	resident, err := stat.ResidentMemory(s.fabric.Processes())
	if err != nil {
		return nil, err
	}
	pinned, err := stat.PinnedMemory(s.fabric.Processes())
	if err != nil {
		return nil, err
	}
	mib := func(metric string, bytes int64) reading {
		return reading{metric: metric, unit: "MiB", better: report.Lower, value: float64(bytes) / (1 << 20)}
	}
	return []reading{mib("rss", resident), mib("pinned", pinned)}, nil
}

func sizeWorkersCases(d time.Duration) []variant {
	sizes := sizesFor(d, workerCounts, workerCountsBrief)
	sizes = slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return n > runtime.NumCPU() })
	cases := own(time.Duration(len(sizes))*time.Second, func(ctx context.Context, s *stage) ([]reading, error) {
		return s.manyWorkers(ctx, sizes)
	})
	cases[0].needs.Workers, cases[0].needs.Daemon = 1, true
	return cases
}

// manyWorkers measures the memory with that many workers.
func (s *stage) manyWorkers(ctx context.Context, sizes []int) (readings []reading, err error) {
	list, err := s.openEach(ctx, "workers", sizes, func(workers int) peer.Needs {
		return peer.Needs{Ports: 2, Segments: 1, Local: true, Workers: workers, Daemon: true}
	})
	defer func() { err = errors.Join(err, closeEach(list)) }()
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		// A frame has each worker that carries one touch its memory.
		if _, err := s.offer(ctx, load.FramesTask{
			Flows: s.randomPairs(), Bytes: smallest - fcsLen, For: s.duration,
		}); err != nil {
			return nil, err
		}
		memory, err := s.memory()
		if err != nil {
			return nil, err
		}
		for _, r := range memory {
			readings = append(readings, r.with(s.point("workers", "")))
		}
	}
	return readings, nil
}
