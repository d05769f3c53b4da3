package policy_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"vswitch/switch/policy"
	"vswitch/test/lab/seed"
)

const second = policy.FlapsPerSecond

// alternate has an address come from a and b in turn, first from b, the given
// number of times, a move each step ticks. It returns the places to be disabled.
func alternate(
	f *policy.Flaps, key uint64, a, b uint32, moves int, start, step, limit uint32,
) (disabled []uint32) {
	for i := range moves {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		if f.Move(key, from, to, start+uint32(i)*step, limit) {
			disabled = append(disabled, to)
		}
	}
	return disabled
}

func TestFlaps(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		moves       int
		step, limit uint32
		disabled    int
	}{
		"as many as may be":    {20, 0, 20, 0},
		"one more":             {21, 0, 20, 1},
		"one more, slowly":     {21, 3, 20, 1}, // 60 of the 64 ticks
		"too slow":             {500, 4, 20, 0},
		"as many as the limit": {policy.MaxFlapLimit, 0, policy.MaxFlapLimit, 0},
		"one more than that":   {policy.MaxFlapLimit + 1, 0, policy.MaxFlapLimit, 1},
		"none may be":          {1, 0, 0, 1},
	} {
		for _, start := range []uint32{0, 1, 1<<20 - 30, 1<<32 - 30} { // the clock wraps on the way
			f := policy.NewFlaps()
			disabled := alternate(f, 7, 1, 2, test.moves, start, test.step, test.limit)
			if len(disabled) != test.disabled {
				t.Errorf(
					"%s, from %d on: %d times disabled, want %d", name, start, len(disabled),
					test.disabled,
				)
			}
		}
	}
}

// TestHomeIsNeverDisabled, whichever of the two makes the one move too many, and at
// the highest places there are.
func TestHomeIsNeverDisabled(t *testing.T) {
	t.Parallel()
	for _, limit := range []uint32{10, 11} {
		for _, places := range [][2]uint32{
			{1, 2},
			{2, 1},
			{131071, 131070},
			{131071, 65535},
			{65536 + 8192, 8192},
			{65535, 131071},
		} {
			home, other := places[0], places[1]
			disabled := alternate(policy.NewFlaps(), 99, home, other, 1000, 5, 0, limit)
			if len(disabled) < 50 || len(disabled) > 100 {
				t.Errorf(
					"%v, limit %d: disabled %d times of 1000 moves", places, limit, len(disabled),
				)
			}
			for _, place := range disabled {
				if place != other {
					t.Fatalf("%v, limit %d: the home is disabled", places, limit)
				}
			}
		}
	}
}

// TestHomeIsNewAfterAPause: an address that has moved for good may be copied there.
func TestHomeIsNewAfterAPause(t *testing.T) {
	t.Parallel()
	f := policy.NewFlaps()
	alternate(f, 3, 1, 2, 5, 0, 0, 10) // ends at 2
	for _, place := range alternate(f, 3, 2, 1, 50, 2*second, 0, 10) {
		if place != 1 {
			t.Errorf("%d is disabled, want 1", place)
		}
	}
	f = policy.NewFlaps()
	alternate(f, 3, 1, 2, 4, 0, 0, 10)
	disabled := alternate(f, 3, 2, 1, 50, 2*second-1, 0, 10) // no pause: home is still 1
	if len(disabled) == 0 || disabled[0] != 2 {
		t.Errorf("%v are disabled, want 2", disabled)
	}
}

// TestMovesOfAnotherSecondDoNotCount.
func TestMovesOfAnotherSecondDoNotCount(t *testing.T) {
	t.Parallel()
	f := policy.NewFlaps()
	for s := range uint32(10) {
		if disabled := alternate(f, 3, 1, 2, 20, s*second, 0, 20); len(disabled) != 0 {
			t.Errorf("disabled %v in second %d", disabled, s)
		}
	}
}

// TestAddressesAreCountedApart: those that share a word forget each other, so that
// most of a few are found all the same, and none that does not move often.
func TestAddressesAreCountedApart(t *testing.T) {
	t.Parallel()
	r := seed.New(t)
	f := policy.NewFlaps()
	for range 1000 {
		if f.Move(r.Uint64(), 1, 2, 0, 20) {
			t.Fatal("one move of each of a thousand addresses is a loop")
		}
	}
	found := map[uint64]bool{}
	for i := range 100 {
		for key := range uint64(5) {
			if f.Move(key, 1+uint32(i%2), 2-uint32(i%2), 1, 20) {
				found[key] = true
			}
		}
	}
	if len(found) < 1 {
		t.Error("none of five addresses that move is found")
	}
}

// TestFlapsAreShared: what several workers see of one address is counted together.
func TestFlapsAreShared(t *testing.T) {
	t.Parallel()
	f := policy.NewFlaps()
	const workers, moves, limit = 4, 500, 100
	var loops atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range moves {
				if f.Move(1, 1, 2, 0, limit) {
					loops.Add(1)
				}
			}
		})
	}
	wait.Wait()
	// Each time it takes limit+1 moves the first time and limit after that.
	if n, want := loops.Load(), int64((workers*moves-1)/limit); n != want {
		t.Errorf("%d loops of %d moves, want %d", n, workers*moves, want)
	}
}
