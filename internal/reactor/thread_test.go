package reactor

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestShortenSlice: where the kernel has slices of each thread's own, the worker's
// is short and its share of the processor the same.
func TestShortenSlice(t *testing.T) {
	runtime.LockOSThread() // and not unlocked: the thread ends with the test
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ShortenSlice()
	after, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if after.Nice != before.Nice || after.Policy != before.Policy {
		t.Errorf("nice %d and policy %d became %d and %d", before.Nice, before.Policy, after.Nice, after.Policy)
	}
	if before.Runtime == 0 {
		t.Logf("the kernel tells of no slices, which it does from 6.12 on")
		return
	}
	if got, want := time.Duration(after.Runtime), 100*time.Microsecond; got != want {
		t.Errorf("the thread's slice is %v, want %v", got, want)
	}
}
