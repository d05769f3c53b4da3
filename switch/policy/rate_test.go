package policy_test

import (
	"sync"
	"testing"

	"vswitch/switch/policy"
	"vswitch/test/lab/seed"
)

// newShaper returns the shaper of a rate, and how long in ticks one byte takes.
func newShaper(t *testing.T, r policy.Rate) (*policy.Shaper, float64) {
	t.Helper()
	perByte := 8 / float64(r.BitsPerSecond) * float64(policy.TicksPerSecond)
	return newGuard(t, policy.Policy{RateIn: r}).RateIn, perByte
}

// TestShaper: how many frames pass at once, and how many more may wait for their turn.
func TestShaper(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rate               policy.Rate
		size, pass, queued int
	}{
		"burst":             {policy.Rate{BitsPerSecond: 80e6, BurstBytes: 10_000}, 1000, 10, 501},
		"default burst":     {policy.Rate{BitsPerSecond: 800e6}, 1000, 1000, 5001},
		"two super-frames":  {policy.Rate{BitsPerSecond: 1e6}, 65536, 2, 1},
		"a frame at least":  {policy.Rate{BitsPerSecond: 8e6, BurstBytes: 1}, 1500, 1, 34},
		"ten TCP segments":  {policy.Rate{BitsPerSecond: 8000, BurstBytes: 1}, 1514, 1, 11},
		"the highest rate":  {policy.Rate{BitsPerSecond: 1e12}, 62_500_000, 17, 101},
		"the largest burst": {policy.Rate{BitsPerSecond: 1e9, BurstBytes: 1 << 30}, 1 << 20, 1024, 6},
	} {
		s, _ := newShaper(t, test.rate)
		passed, queued, before := 0, 0, int64(-1)
		for {
			wait, ok := s.Reserve(ticks(100), test.size)
			if wait < before {
				t.Fatalf("%s: a frame's turn is before that of the frame before", name)
			}
			if !ok {
				break
			}
			if before = wait; wait == 0 && queued == 0 {
				passed++
			} else {
				queued++
			}
		}
		// A frame at the very moment at which the bucket is empty passes, too.
		if passed != test.pass && passed != test.pass+1 || passed+queued < test.pass+test.queued-1 ||
			passed+queued > test.pass+test.queued+1 {
			t.Errorf("%s: %d pass and %d wait, want %d and %d", name, passed, queued, test.pass, test.queued)
		}
	}
}

// TestShaperHoldsItsRate: frames of any size that come at twice the rate have turns in order,
// none later than a frame may wait, and by the last as many bytes as the rate brings.
func TestShaperHoldsItsRate(t *testing.T) {
	t.Parallel()
	const burst, largest, seconds = 3000, 1460, 60
	for _, rate := range []int64{1e6, 1e8, 1e10} {
		r := seed.New(t)
		s, perByte := newShaper(t, policy.Rate{BitsPerSecond: rate, BurstBytes: burst})
		bytes, last, now, frames := 0.0, int64(0), 0.0, 0
		for end := float64(largest) * 20000 * perByte; now < end; frames++ {
			n := 60 + r.IntN(largest-60)
			now += r.Float64() * float64(n) * perByte
			wait, ok := s.Reserve(int64(now), n)
			if !ok {
				continue
			}
			if bytes += float64(n); int64(now)+wait < last {
				t.Fatalf("at %d bit/s a frame passes before the one before it", rate)
			}
			last = int64(now) + wait
		}
		want := float64(last) / perByte
		if bytes < want*0.99 || bytes > want*1.001+burst+largest {
			t.Errorf("%.0f bytes pass at %d bit/s in a time that brings %.0f", bytes, rate, want)
		}
	}
}

// TestShaperIsShared: the turns that several workers get are those that one would.
func TestShaperIsShared(t *testing.T) {
	t.Parallel()
	const workers, frames, size = 4, 100, 1000
	s, perByte := newShaper(t, policy.Rate{BitsPerSecond: 100e6, BurstBytes: 1})
	var mu sync.Mutex
	turns := map[int64]int{}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range frames {
				turn, ok := s.Reserve(ticks(1), size)
				mu.Lock()
				if turns[turn]++; !ok {
					t.Error("a frame is not within 50 ms of 100 Mbit/s")
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	last := int64(0)
	for turn, n := range turns {
		if last = max(last, turn); n > 1 {
			t.Errorf("%d frames have one turn", n)
		}
	}
	if want := float64(workers*frames-1) * size * perByte; float64(last) < want*0.99 || float64(last) > want*1.01 {
		t.Errorf("the last of %d frames passes after %d ticks, want %.0f", workers*frames, last, want)
	}
}
