package load

import (
	"testing"
	"time"
)

// A sender that sleeps between frames sends them all the same.
func TestSlowSenderMaySendAtItsRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{1, 1000, 19_999, 20_000, 1e6} {
		task := FramesTask{Rate: rate}
		if n := int(task.maxLag().Seconds() * rate); n < task.least() {
			t.Errorf("at %v frames/s %d may be due at once, and it waits for %d", rate, n, task.least())
		}
		if rate >= 100_000 && task.maxLag() > time.Millisecond {
			t.Errorf("at %v frames/s the sender may catch up %v", rate, task.maxLag())
		}
	}
}
