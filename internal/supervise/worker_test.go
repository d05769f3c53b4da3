package supervise

import (
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// clocked is a child of which only the deadline is looked at, and how often it has
// fired, in the bubble of a test.
func clocked() (w *worker, fired chan func()) {
	fired = make(chan func(), 10)
	return &worker{process: new(os.Process), post: func(f func()) bool { fired <- f; return true }}, fired
}

func TestDeadlineIsMovedByEachSignOfLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, fired := clocked()
		for range 5 {
			w.within(time.Second, noSign)
			time.Sleep(time.Second - time.Millisecond)
			synctest.Wait()
			if len(fired) > 0 {
				t.Fatal("the deadline is over too early")
			}
		}
		time.Sleep(time.Millisecond)
		(<-fired)()
		if w.killed == nil || w.killed.Error() != "gave no sign of life (watchdog) within 1s" {
			t.Errorf("killed after a second of silence: %v", w.killed)
		}
	})
}

// The timer may have fired already when the sign of life comes.
func TestDeadlineThatWasMovedDoesNotKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, fired := clocked()
		w.within(time.Second, noSign)
		late := <-fired
		w.within(0, "")
		late()
		if w.killed != nil {
			t.Errorf("killed: %v", w.killed)
		}
	})
}
