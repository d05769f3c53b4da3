package control

import (
	"runtime"
	"slices"
	"testing"
)

// TestFlowsAreForgottenAfterTheRules have changed, or they would begin again in the old way. No
// other change waits for it, but the one who asked for this does.
func TestFlowsAreForgottenAfterTheRules(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		forgotten := 0
		for _, change := range []struct {
			do    func() error
			leads bool // the rules lead to the container afterwards
		}{
			{func() error { _, err := s.publish(c, "a", "53:53/udp"); return err }, true},
			{func() error { return s.unpublish(c, "a", "53/udp") }, false},
			{func() error { _, err := s.publish(c, "a", "53:53/udp"); return err }, true},
			{func() error { _, err := c.DeletePort(s.Context(), "a"); return err }, false},
		} {
			s.OnForget = func() {
				forgotten++
				if leads := len(s.forwards()) > 0; leads != change.leads {
					s.Errorf("the rules lead to the container: %t, want %t", leads, change.leads)
				}
				if !getsLock(c) {
					s.Error("other changes wait for it")
				}
			}
			before := forgotten
			if err := change.do(); err != nil {
				s.Error(err)
			}
			if forgotten != before+1 {
				s.Errorf("flows were forgotten %d times when the change was answered", forgotten-before)
			}
		}
	})
}

// getsLock reports whether another change could be made. What follows events may hold the lock for a
// moment; a change that waits for the caller holds it for ever.
func getsLock(c *Control) bool {
	for range 1_000_000 {
		if c.mu.TryLock() {
			c.mu.Unlock()
			return true
		}
		runtime.Gosched()
	}
	return false
}

// TestFlowsOfDatagrams: what clients send goes to the container at once after a change, though
// the kernel remembers where their datagrams went before. Connections of TCP go on.
func TestFlowsOfDatagrams(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		s.mustPublish(c, "a", "8080:80/tcp")
		s.mustPublish(c, "a", "127.0.0.1:5000-5001:50-51/udp")
		s.FailCall("forget", errFailure)
		if err := s.unpublish(c, "a", "127.0.0.1:5000-5001/udp"); err != nil {
			s.Fatal(err)
		}
		s.wantLines(1, "datagrams of clients that have sent some before may go the old way",
			"out of order")
		if err := s.unpublish(c, "a", "8080"); err != nil {
			s.Fatal(err)
		}
		want := []string{"127.0.0.1:5000-5001", "127.0.0.1:5000-5001"}
		if !slices.Equal(s.Forgot, want) {
			s.Errorf("forgotten are the flows to %q, want %q", s.Forgot, want)
		}
	})
}
