package reactor

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// TestBuffersStay lets the garbage collector run, and stacks grow, between Send and
// Flush and before the kernel writes into buffers that only the call knows.
func TestBuffersStay(t *testing.T) {
	t.Parallel()
	r, l := newReactor(t, testBatch), newSocketPair(t)
	add(t, r, 0, l)
	enter := r.ring.enter
	r.ring.enter = func(fd int, n, flags uint32) (taken uint32, errno unix.Errno) {
		runtime.GC()
		growStack(1000)
		_ = numbered(1000) // takes what was freed
		return enter(fd, n, flags)
	}
	for _, text := range []string{"one", "two", "three"} {
		r.Send(0, frameOf(r, text))
	}
	flush(t, r, frame.OK, frame.OK, frame.OK)
	l.arrived("one", "two", "three")
	l.inject("four", "five")
	var room [2][256]byte
	bufs := [2][]byte{room[0][:], room[1][:]}
	n, _ := r.Receive(0, bufs[:])
	got, want := [2]string{payload(bufs[0]), payload(bufs[1])}, [2]string{"four", "five"}
	if n != 2 || got != want {
		t.Errorf("received %d frames, %q, want %q", n, got, want)
	}
}

// growStack makes the goroutine's stack move.
func growStack(n int) byte {
	var space [1024]byte
	if n > 0 {
		space[n] = growStack(n - 1)
	}
	return space[n]
}
