package policy_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"vswitch/switch/policy"
	"vswitch/test/lab/seed"
)

// ticks are seconds in a bucket's time.
func ticks(seconds float64) int64 { return int64(seconds * float64(policy.TicksPerSecond)) }

func TestBucket(t *testing.T) {
	t.Parallel()
	b := policy.NewBucket(100, 10)
	take := func(at float64, n int) (passed int) {
		for range n {
			if b.Take(ticks(at), 1) {
				passed++
			}
		}
		return passed
	}
	for _, step := range []struct {
		at        float64
		n, passed int
	}{
		{50, 30, 10},    // the burst
		{50.005, 9, 1},  // half a unit, and half on credit
		{50.0099, 9, 0}, // which comes back first
		{50.05, 9, 4},
		{60, 30, 10}, // no more than the burst
		{61, 30, 10},
	} {
		if got := take(step.at, step.n); got != step.passed {
			t.Errorf("at %v s, %d of %d pass, want %d", step.at, got, step.n, step.passed)
		}
	}
}

// TestBucketGivesCredit to one frame that is larger than the burst, and takes it
// back from those that follow.
func TestBucketGivesCredit(t *testing.T) {
	t.Parallel()
	b := policy.NewBucket(1000, 100)
	if !b.Take(0, 5000) {
		t.Fatal("a frame larger than the burst does not pass")
	}
	if b.Take(ticks(4.89), 1) {
		t.Error("another passes before the first is paid")
	}
	if !b.Take(ticks(4.91), 1) {
		t.Error("nothing passes when the first is paid")
	}
}

// TestBucketHoldsItsRate over a minute of frames of any size, at each rate.
func TestBucketHoldsItsRate(t *testing.T) {
	t.Parallel()
	r := seed.New(t)
	for _, rate := range []float64{policy.MinRate / 8, 1e5, 1e6} {
		const burst, largest = 3000, 1460
		b := policy.NewBucket(rate, burst)
		passed := 0.0
		for now := 0.0; now < 60; now += r.Float64() * 750 / rate { // twice the rate
			if n := 60 + r.IntN(largest-60); b.Take(ticks(now), n) {
				passed += float64(n)
			}
		}
		if low, high := rate*60*0.99, rate*60*1.001+burst+largest; passed < low || passed > high {
			t.Errorf(
				"%v bytes pass in a minute at %v byte/s, want %v to %v", passed, rate, low, high,
			)
		}
	}
}

// TestBucketAtTheHighestRate still counts small frames, to a tenth.
func TestBucketAtTheHighestRate(t *testing.T) {
	t.Parallel()
	const perSecond = policy.MaxRate / 8
	b := policy.NewBucket(perSecond, 1e6)
	passed := 0
	for b.Take(0, 60) {
		if passed++; passed > 20000 {
			t.Fatal("it never runs empty")
		}
	}
	if want := int(math.Ceil(1e6 / 60)); passed < want || passed > want+want/10 {
		t.Errorf("%d frames of 60 bytes pass at once, want %d", passed, want)
	}
}

// TestBucketIsShared: several workers take no more than one would.
func TestBucketIsShared(t *testing.T) {
	t.Parallel()
	b := policy.NewBucket(1, 10000)
	var passed atomic.Int64
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 5000 {
				if b.Take(ticks(1), 1) {
					passed.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if n := passed.Load(); n != 10000 {
		t.Errorf("%d pass, want the 10000 of the burst", n)
	}
}

// TestFloodLimits: how much passes at once, and half a second later.
func TestFloodLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ limit, first, then int }{
		"flood limit":   {10, 10, 5},
		"default flood": {0, policy.DefaultFloodLimit, policy.DefaultFloodLimit / 2},
	} {
		b, passed := newGuard(t, policy.Policy{FloodLimit: test.limit}).Flood, 0
		for b.Take(ticks(100), 1) {
			passed++
		}
		if passed != test.first {
			t.Errorf("%s: %d pass at once, want %d", name, passed, test.first)
		}
		for passed = 0; b.Take(ticks(100.5), 1); {
			passed++
		}
		if passed != test.then {
			t.Errorf("%s: %d pass half a second later, want %d", name, passed, test.then)
		}
	}
}
