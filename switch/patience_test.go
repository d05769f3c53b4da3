package vswitch

import (
	"testing"
	"testing/synctest"
	"time"
)

const testGap = 3 * time.Millisecond

// beats sleeps and notes frames after each of gaps.
func beats(p *patience, gaps ...time.Duration) {
	for _, gap := range gaps {
		p.wait() // begins to be idle
		time.Sleep(gap)
		p.busy()
	}
}

// rest is what p says once the spin after the last frames is over.
func rest(p *patience) time.Duration {
	p.wait()
	time.Sleep(p.spin)
	return p.wait()
}

func equal(n int, gap time.Duration) []time.Duration {
	gaps := make([]time.Duration, n)
	for i := range gaps {
		gaps[i] = gap
	}
	return gaps
}

func TestPatienceWithoutRhythm(t *testing.T) {
	t.Parallel()
	for name, gaps := range map[string][]time.Duration{
		"first frame": {testGap},
		"irregular":   {1e6, 9e6, 2e6, 20e6, 3e6, 11e6, 2e6, 7e6},
		"too fast":    equal(20, minGap/2),
		"too slow":    equal(20, 2*maxGap),
		"came to end": append(equal(20, testGap), time.Second, time.Second, time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := patience{mode: PollAdaptive, spin: DefaultSpin}
				beats(&p, gaps...)
				if p.wait(); p.wait() != 0 {
					t.Error("sleeps at once after frames, want a spin")
				}
				if got := rest(&p); got >= 0 {
					t.Errorf("waits %v after the spin, want until a frame comes", got)
				}
			})
		})
	}
}

// TestPatienceWithRhythm wants a sleep that ends before the next frame is due, a
// spin around that time, and then a sleep without end.
func TestPatienceWithRhythm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := patience{mode: PollAdaptive, spin: DefaultSpin}
		beats(&p, 3e6, 3.1e6, 2.9e6, 3e6, 3.05e6, 3e6, 3e6, 3e6, 3e6)
		sleep := rest(&p)
		if due := testGap - DefaultSpin; sleep >= due || sleep < due/2 {
			t.Fatalf("sleeps %v, want a little less than %v", sleep, due)
		}
		time.Sleep(sleep)
		if got := p.wait(); got != 0 {
			t.Errorf("waits %v just before the frame is due, want a spin", got)
		}
		time.Sleep(2 * maxLead)
		if got := p.wait(); got >= 0 {
			t.Errorf("waits %v when the frame is overdue, want until one comes", got)
		}
	})
}

func TestPatienceOfOtherModes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for want, p := range map[time.Duration]patience{
			0:  {mode: PollBusy, spin: DefaultSpin},
			-1: {mode: PollSleep, spin: DefaultSpin},
			-2: {mode: PollAdaptive, spin: -1},
		} {
			beats(&p, equal(20, testGap)...)
			if got := rest(&p); max(got, -1) != max(want, -1) {
				t.Errorf("%+v waits %v, want %v", p, got, want)
			}
		}
	})
}
