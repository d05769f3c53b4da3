package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// mountsPause is the longest that f of [WatchMounts] is not called: under load a
// namespace was seen to go without a word.
const mountsPause = time.Second

// WatchMounts calls f whenever the mounts of this process have changed, and once
// when it begins, for what changed before, and after a second without a change;
// until ctx ends, and returns nil then. Named namespaces are mounts (ip-netns(8), and
// Docker's), so f may look whether one came or went: the kernel tells of no other
// sign. It is poll(2) on /proc/self/mountinfo (fs/proc_namespace.c).
func WatchMounts(ctx context.Context, f func()) error {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("watch mounts: %w", err)
	}
	defer mounts.Close()
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("make an eventfd to end watching mounts: %w", err)
	}
	defer unix.Close(wake)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-ended // wake must not be closed before it was written to
		}
	}()
	f()
	for {
		fds := []unix.PollFd{{Fd: int32(mounts.Fd()), Events: unix.POLLPRI}, {Fd: int32(wake), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(mountsPause.Milliseconds()))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("watch mounts: %w", err)
		case n == 0, fds[0].Revents != 0:
			f()
		}
	}
}
