package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// runs calls keep for a task whose runs take as long as durations say and then fail, and
// returns when each began. The last one runs until its context ends.
func runs(t *testing.T, durations ...time.Duration) (begun []time.Duration, log string) {
	t.Helper()
	var text bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	start := time.Now()
	work := func(ctx context.Context) error {
		begun = append(begun, time.Since(start))
		if len(begun) > len(durations) {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		time.Sleep(durations[len(begun)-1])
		return errors.New("no memory")
	}
	task{"test", work}.keep(ctx, slog.New(slog.NewTextHandler(&text, nil)))
	return begun, text.String()
}

func TestFailedTaskIsRunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun, log := runs(t, 0, 0, 0)
		for i, want := range []time.Duration{0, taskFirst, 3 * taskFirst, 7 * taskFirst} {
			if begun[i] != want {
				t.Errorf("run %d began after %v, want %v", i, begun[i], want)
			}
		}
		if n := strings.Count(log, "level=WARN"); n != 1 || !strings.Contains(log, "task=test") {
			t.Errorf("%d warnings were logged, want one with the task's name:\n%s", n, log)
		}
	})
}

func TestDelaysOfAFailedTaskAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun, _ := runs(t, make([]time.Duration, 20)...)
		if last := begun[20] - begun[19]; last != taskMost {
			t.Errorf("the last delay was %v, want %v", last, taskMost)
		}
	})
}

func TestTaskThatHasWorkedStartsAfresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun, log := runs(t, 0, 0, taskMost, 0)
		if delay := begun[3] - begun[2] - taskMost; delay != taskFirst {
			t.Errorf("after a long run the delay was %v, want %v", delay, taskFirst)
		}
		if n := strings.Count(log, "level=WARN"); n != 2 {
			t.Errorf("%d warnings were logged, want one for each series:\n%s", n, log)
		}
	})
}

func TestTaskEndsWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), taskFirst/2)
		defer cancel()
		fail := func(context.Context) error { return errors.New("no memory") }
		task{"test", fail}.keep(ctx, slog.New(slog.DiscardHandler)) // or it never returns
	})
}
