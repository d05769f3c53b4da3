package reactor

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slice is for how long a worker asks to run at a time (sched_setattr(2)). Its share
// of the processor stays the same: with shorter slices it has its turn more often, and soon
// after it has something to do (EEVDF, Documentation/scheduler/sched-eevdf.rst).
const slice = 100 * time.Microsecond

// ShortenSlice has the calling thread, which must be locked to its goroutine, scheduled in short
// slices, by Linux 6.12 and later. What the kernel or a sandbox does not allow is left as it is.
func ShortenSlice() {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		return // somebody has chosen
	}
	attr.Runtime = uint64(slice)
	_ = unix.SchedSetAttr(0, attr, 0)
}

// Yield lets other threads run that wait for this one's processor. It returns at once if none
// does, and else soon: the thread stays runnable, and has given up no more than a slice.
func (r *Reactor) Yield() { _, _, _ = syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
