package lab

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Watched is a process that somebody else has started (pidfd_open(2)).
type Watched struct {
	tb  testing.TB
	pid int
	fd  int // -1: it had ended before it was watched
}

// WatchProcess begins to watch the process of this id. Call it before whatever ends the process:
// later the id may be another's.
func WatchProcess(tb testing.TB, pid int) *Watched {
	tb.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return &Watched{tb, pid, -1}
	}
	if err != nil {
		tb.Fatalf("watch process %d: %v", pid, os.NewSyscallError("pidfd_open", err))
	}
	tb.Cleanup(func() { unix.Close(fd) })
	return &Watched{tb, pid, fd}
}

// Kill kills the process, and returns when it has ended.
func (w *Watched) Kill() {
	w.tb.Helper()
	if w.fd >= 0 {
		if err := unix.PidfdSendSignal(w.fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			w.tb.Fatalf("kill process %d: %v", w.pid, err)
		}
	}
	w.Await()
}

// Await returns when the process has ended, with all its threads.
func (w *Watched) Await() {
	w.tb.Helper()
	if !w.endsWithin(Patience) {
		w.tb.Fatalf("process %d still runs after %s", w.pid, Patience)
	}
}

// Ended reports whether the process has ended.
func (w *Watched) Ended() bool {
	w.tb.Helper()
	return w.endsWithin(0)
}

func (w *Watched) endsWithin(d time.Duration) bool {
	w.tb.Helper()
	if w.fd < 0 {
		return true
	}
	for deadline := time.Now().Add(d); ; {
		left := max(0, time.Until(deadline))
		fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left.Milliseconds()))
		if err == nil {
			return n > 0
		}
		if !errors.Is(err, unix.EINTR) {
			w.tb.Fatalf("wait for process %d to end: %v", w.pid, os.NewSyscallError("poll", err))
		}
	}
}
