package lab

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// grace is how long what a test left behind may take to go away: closed
// namespaces and links are taken down by the kernel's workers some time after
// the call that ended them.
const grace = 5 * time.Second

// LeakCheck fails the test if, when it ends, there is a goroutine, an open
// descriptor, a link in the current network namespace or a named network
// namespace of this process that was not there before. Call it first, so that
// its check runs after all other cleanups.
//
// What is open belongs to the whole process, so a test that calls it cannot be
// parallel: the testing package panics on one that tries. A package whose tests
// are parallel calls [Main] instead.
func LeakCheck(tb testing.TB) {
	tb.Helper()
	tb.Setenv("VSWITCH_TEST_LEAKCHECK", "1") // refuses a parallel test
	check := watch(grace)
	tb.Cleanup(func() {
		tb.Helper()
		for _, leak := range check() {
			tb.Error(leak)
		}
	})
}

// run is m's exit status, or 1 when all tests passed but check found leaks, which
// it prints to out.
func run(m interface{ Run() int }, check func() []string, out io.Writer) int {
	code := m.Run()
	if code != 0 || fuzzing() {
		return code
	}
	leaks := check()
	for _, leak := range leaks {
		fmt.Fprintln(out, "after all tests:", leak)
	}
	if len(leaks) > 0 {
		return 1
	}
	return code
}

// fuzzing says whether the fuzzing engine runs, whose helpers outlive the run.
func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

// watch remembers what there is now; check says what has been added and is
// still there after patience.
func watch(patience time.Duration) (check func() []string) {
	primePoller()
	old := goleak.IgnoreCurrent()
	before, err := takeInventory()
	return func() []string {
		var leaks []string
		// First, since a goroutine about to end may hold a descriptor.
		if err := goleak.Find(old); err != nil {
			leaks = append(leaks, "goroutines left: "+err.Error())
		}
		if err != nil {
			return append(leaks, err.Error())
		}
		return append(leaks, settle(before.added, patience)...)
	}
}

// primePoller makes the runtime open the descriptors of its network poller,
// which it keeps forever, before anyone counts.
func primePoller() {
	r, w, err := os.Pipe()
	if err != nil {
		return // out of descriptors: the inventory reports it
	}
	r.Close()
	w.Close()
}

// settle asks find until it finds nothing or patience has run out, and returns
// the last answer. There is no one event to wait for: goroutines, processes and
// the kernel's workers all may hold what is left.
func settle(find func() []string, patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for {
		left := find()
		if len(left) == 0 || !time.Now().Before(deadline) {
			return left
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// added says what there is now and was not in the inventory, one line for each.
func (before inventory) added() []string {
	now, err := takeInventory()
	if err != nil {
		return []string{err.Error()}
	}
	var leaks []string
	for fd, target := range now.descriptors {
		if before.descriptors[fd] != target {
			leak := fmt.Sprintf("descriptor left open: %d, %s", fd, target)
			if link := tapName(fd); link != "" {
				leak += " of link " + link
			}
			leaks = append(leaks, leak)
		}
	}
	for name := range now.namespaces {
		if !before.namespaces[name] {
			leaks = append(leaks, fmt.Sprintf("network namespace left: %s; remove it with: ip netns delete %s", name, name))
		}
	}
	if now.thread != before.thread {
		// Links of two namespaces cannot be compared.
		leaks = append(leaks, fmt.Sprintf("thread left in network namespace %s, was in %s", now.thread, before.thread))
	} else {
		for index, name := range now.links {
			if _, was := before.links[index]; !was && !ofOtherProcess(name) {
				leaks = append(leaks, fmt.Sprintf("link left: %s; remove it with: ip link delete %s", name, name))
			}
		}
	}
	slices.Sort(leaks)
	return leaks
}

// ofOtherProcess says whether name was made by another test process, which may
// well run beside this one: go test runs packages in parallel.
func ofOtherProcess(name string) bool {
	return strings.HasPrefix(name, namePrefix) && !strings.HasPrefix(name, ownPrefix())
}
