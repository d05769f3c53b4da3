package vswitch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPortsSpreadOverWorkers: a new port goes to the worker that reads the fewest, and stays
// there. Ports that go leave a gap, which the next ones fill.
func TestPortsSpreadOverWorkers(t *testing.T) {
	const workers, count = 8, 1000
	s, ports := newSpread(t, workers, count)
	if low, high := spread(s); high-low > 1 {
		t.Errorf("%d ports on %d workers: %d to %d a worker", count, workers, low, high)
	}
	gone := 0
	for _, p := range ports {
		if p.worker == s.workers[0] {
			s.RemovePort(p)
			gone++
		}
	}
	if low, high := spread(s); low != 0 || high != count/workers {
		t.Errorf("%d to %d ports a worker after all of one were removed", low, high)
	}
	for _, p := range addSpread(t, s, gone) {
		if p.worker != s.workers[0] {
			t.Fatalf("a port went to worker %d, want the empty one", p.worker.id)
		}
	}
}

// BenchmarkSpread simulates how ports come to their workers, by the function that assigns them,
// on more processors than the machine has. Its metrics are no times:
//
//	max/mean        ports of the fullest worker by the mean, when all were added
//	churned         the same after half of them, at random, were removed
//	pair-shared-%   how often two random ports have the same worker
//	hot-max         of as many hot ports as there are workers, those of the busiest worker;
//	                1 would be one for each
func BenchmarkSpread(b *testing.B) {
	for _, workers := range []int{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			const count, draws = 1024, 10_000
			random := rand.New(rand.NewPCG(1, uint64(workers)))
			s, ports := newSpread(b, workers, count)
			mean := float64(count) / float64(workers)
			_, high := spread(s)
			shared, busiest := 0, 0
			for range draws {
				load := make([]int, workers)
				hot := random.Perm(count)[:max(2, workers)]
				if ports[hot[0]].worker == ports[hot[1]].worker {
					shared++
				}
				for _, i := range hot[:workers] {
					load[ports[i].worker.id]++
				}
				busiest += slices.Max(load)
			}
			for _, i := range random.Perm(count)[:count/2] {
				s.RemovePort(ports[i])
			}
			_, churned := spread(s)
			for range b.N { // there is nothing to time
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(high)/mean, "max/mean")
			b.ReportMetric(2*float64(churned)/mean, "churned")
			b.ReportMetric(100*float64(shared)/draws, "pair-shared-%")
			b.ReportMetric(float64(busiest)/draws, "hot-max")
		})
	}
}

// newSpread is a switch of that many workers with ports that have no device.
func newSpread(tb testing.TB, workers, count int) (*Switch, []*Port) {
	tb.Helper()
	s := newNullSwitchOf(tb, Options{LoopMoves: -1, Workers: workers})
	return s, addSpread(tb, s, count)
}

func addSpread(tb testing.TB, s *Switch, count int) []*Port {
	tb.Helper()
	seg, err := s.AddSegment(SegmentConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	ports := make([]*Port, count)
	for i := range ports {
		if ports[i], err = s.AddPort(seg, nil, PortConfig{}); err != nil {
			tb.Fatal(err)
		}
	}
	return ports
}

// spread returns the fewest and the most ports of a worker.
func spread(s *Switch) (low, high int) {
	loads := make([]int, len(s.workers))
	for i, w := range s.workers {
		loads[i] = w.load
	}
	return slices.Min(loads), slices.Max(loads)
}
