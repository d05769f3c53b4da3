package control

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/switch/policy"
)

// openTestCounters is openCounters of a process with so many workers, for whom the supervisor has
// these descriptors.
func openTestCounters(
	t *testing.T, workers int, has map[string][]int,
) (k *keptCounters, s *keptStub, log *bytes.Buffer) {
	t.Helper()
	s, log = &keptStub{has: has}, new(bytes.Buffer)
	k = openCounters(Config{
		Log: slog.New(slog.NewTextHandler(log, nil)), Keeper: s, Kept: s, Workers: workers,
	})
	t.Cleanup(func() {
		if err := k.close(); err != nil {
			t.Error(err)
		}
	})
	return k, s, log
}

// keptOf are the descriptors that the supervisor has after this process.
func keptOf(t *testing.T, k *keptCounters) map[string][]int {
	t.Helper()
	has := make(map[string][]int)
	for name, fd := range map[string]int{
		keptPortCounters: k.ports.Fd(), keptRuleHits: k.rules.Fd(),
	} {
		own, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		has[name] = []int{own}
	}
	return has
}

// TestCountersAreKeptOnce: the supervisor is told of their memory when that is new, and only then.
func TestCountersAreKeptOnce(t *testing.T) {
	t.Parallel()
	first, s, log := openTestCounters(t, 2, nil)
	s.wants(t, fmt.Sprint("keep counters ", first.ports.Fd()), fmt.Sprint("keep hits ", first.rules.Fd()))
	first.take(countsPort, "p").Words[0].Add(0) // at rest
	rule := first.take(countsRule, "r")
	rule.Words[policy.HitWords].Add(3)
	link := first.take(countsHostLink, "p")

	second, s, _ := openTestCounters(t, 2, keptOf(t, first))
	s.wants(t)
	if got := second.take(countsRule, "r"); policy.ReadHits(got.Words) != 3 ||
		!got.Since().Equal(rule.Since()) {
		t.Errorf("%d hits since %s", policy.ReadHits(got.Words), got.Since())
	}
	if got := second.take(countsHostLink, "p"); !got.Since().Equal(link.Since()) {
		t.Error("a port and a host link of one id have the same counters")
	}
	third, s, _ := openTestCounters(t, 1, keptOf(t, second))
	s.wants(t, "drop counters", fmt.Sprint("keep counters ", third.ports.Fd()),
		"drop hits", fmt.Sprint("keep hits ", third.rules.Fd()))
	if got := third.take(countsRule, "r"); policy.ReadHits(got.Words) != 3 {
		t.Errorf("%d hits, want 3", policy.ReadHits(got.Words))
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", log)
	}
}

// TestSeveralCountersAreKept under one name, of which the first that is of use is used, and alone
// from then on.
func TestSeveralCountersAreKept(t *testing.T) {
	t.Parallel()
	first, _, _ := openTestCounters(t, 1, nil)
	first.take(countsRule, "r").Words[0].Add(3)
	has, more := keptOf(t, first), keptOf(t, first)
	has[keptRuleHits] = append(has[keptPortCounters][:0:0], more[keptRuleHits][0], has[keptRuleHits][0])
	second, s, _ := openTestCounters(t, 1, has)
	s.wants(t, "drop hits", fmt.Sprint("keep hits ", second.rules.Fd()))
	if got := second.take(countsRule, "r"); policy.ReadHits(got.Words) != 3 {
		t.Errorf("%d hits, want 3", policy.ReadHits(got.Words))
	}
	if err := unix.Close(more[keptPortCounters][0]); err != nil {
		t.Fatal(err)
	}
}

// TestCountersOfNoUse are told of in the log, and replaced.
func TestCountersOfNoUse(t *testing.T) {
	t.Parallel()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	k, s, log := openTestCounters(t, 1, map[string][]int{
		keptPortCounters: {pipe[0]}, keptRuleHits: {pipe[1]},
	})
	s.wants(t, "drop counters", fmt.Sprint("keep counters ", k.ports.Fd()),
		"drop hits", fmt.Sprint("keep hits ", k.rules.Fd()))
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings, want 2: %s", n, log)
	}
	k.releaseRest()
	if since := k.take(countsPort, "p").Since(); time.Since(since) > time.Minute {
		t.Errorf("a new port counts since %s", since)
	}
}
