package reactor

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWaitKeepsWhatDoesNotFit gives Wait room for one slot at a time.
func TestWaitKeepsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	r := newReactor(t, testBatch)
	const n = 3
	for slot := range uint32(n) {
		l := newSocketPair(t)
		l.inject("")
		add(t, r, slot, l)
	}
	seen, ready := map[uint32]bool{}, make([]uint32, 1)
	for deadline := time.Now().Add(patience); len(seen) < n && time.Now().Before(deadline); {
		if r.Wait(ready, time.Until(deadline)) == 1 {
			seen[ready[0]] = true
		}
	}
	if len(seen) != n {
		t.Errorf("Wait reported %v, want all of %d slots", seen, n)
	}
	if n := r.Wait(nil, -1); n != 0 {
		t.Errorf("Wait without room returns %d, want 0", n)
	}
}

func TestWakeEndsWait(t *testing.T) {
	t.Parallel()
	r := newReactor(t, testBatch)
	returned := make(chan int)
	go func() { returned <- r.Wait(make([]uint32, 8), -1) }()
	r.Wake() // before or during the Wait: it must end either way
	if n := <-returned; n != 0 {
		t.Errorf("Wait reports %d slots on Wake, want none", n)
	}
}

func TestWaitTakesBackAllWakes(t *testing.T) {
	t.Parallel()
	r := newReactor(t, testBatch)
	for range 1000 {
		r.Wake()
	}
	for _, timeout := range []time.Duration{-1, 0, time.Nanosecond} {
		if n := r.Wait(make([]uint32, 8), timeout); n != 0 {
			t.Errorf("Wait(%v) reports %d slots, want none", timeout, n)
		}
	}
	if _, err := unix.Read(r.poll.wake, make([]byte, 8)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("reading the eventfd says %v, want that Wait has emptied it", err)
	}
}

// TestWaitOnAnOldKernel does without epoll_pwait2(2).
func TestWaitOnAnOldKernel(t *testing.T) {
	t.Parallel()
	r, l := newReactor(t, testBatch), newSocketPair(t)
	r.poll.coarse = true
	add(t, r, 0, l)
	if n := r.Wait(make([]uint32, 8), time.Nanosecond); n != 0 {
		t.Errorf("Wait reports %d slots, want none", n)
	}
	l.inject("")
	waitFor(t, r, 0)
}

func TestMilliseconds(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]int{
		-1: -1, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2,
		time.Second: 1000, 1<<63 - 1: 1<<31 - 1,
	} {
		if got := milliseconds(timeout); got != want {
			t.Errorf("%v is %d ms, want %d", timeout, got, want)
		}
	}
}

// TestClosedTooEarly closes an endpoint before Remove while another process, played by
// a second descriptor, still has it: epoll cannot forget it, but no slot is reported.
func TestClosedTooEarly(t *testing.T) {
	t.Parallel()
	r, l, next := newReactor(t, testBatch), newSocketPair(t), newSocketPair(t)
	add(t, r, 4, l)
	other, err := unix.FcntlInt(uintptr(l.Fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if err := l.closeEndpoint(); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(4); !errors.Is(err, unix.EBADF) {
		t.Errorf("Remove says %v, want that the descriptor is closed", err)
	}
	l.inject("for the other process")
	silent(t, r)
	add(t, r, 4, next)
	l.inject("for the other process")
	silent(t, r)
	next.inject("next")
	waitFor(t, r, 4)
	expect(t, r, 4, "next")
}
