package lab

import (
	"testing"
	"time"
)

// Patience bounds every wait. It only keeps a failing test from hanging, so it is long enough
// for a machine that is busy with other things.
const Patience = 30 * time.Second

// pollInterval is how often Eventually asks.
const pollInterval = 5 * time.Millisecond

// Eventually asks until reached reports true, and fails the test if it does not within
// [Patience]. It is only for what nobody announces, such as a counter of the switch or of the
// kernel: await a line of a log with [Process.Await] or [Host.LogAfter], a frame with
// [Socket.Receive], the end of a process with [Process.Wait] or [Watched.Await], and a change of
// a link, an address or a neighbour with [Namespace.AwaitNetwork].
func Eventually(tb testing.TB, what string, reached func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(Patience); !reached(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			tb.Fatalf("still not so after %s: %s", Patience, what)
		}
	}
}
