package netns

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// mountOf returns by which mount the namespace of this [Namespace.ID] is found, as a name if it is
// one of "ip netns list".
func mountOf(id string) (Ref, bool) {
	_, inode, _ := strings.Cut(id, ":")
	root := "net:[" + inode + "]"
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "nsfs" || m.Root != root, false
	})
	if err != nil {
		return Ref{}, false
	}
	for _, m := range mounts {
		ref := Ref{path: m.Mountpoint}
		if dir, name := filepath.Split(m.Mountpoint); slices.Contains(namedDirs[:], filepath.Clean(dir)) {
			ref = Ref{name: name}
		}
		if ref.Means(id) { // it may be under another mount
			return ref, true
		}
	}
	return Ref{}, false
}

// WatchMounts calls f whenever the mounts of this process have changed, and once
// when it begins, for what changed before; until ctx ends, and returns nil then.
// Named namespaces are mounts (ip-netns(8), and Docker's), so f may look whether one
// came or went: the kernel gives no other sign. It is poll(2) on /proc/self/mountinfo
// (fs/proc_namespace.c).
func WatchMounts(ctx context.Context, f func()) error {
	// Not by os.Open: the runtime would poll the file too, and the kernel tells of a
	// change only whoever asks first.
	mounts, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("watch mounts: open /proc/self/mountinfo: %w", err)
	}
	defer unix.Close(mounts)
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
		fds := []unix.PollFd{{Fd: int32(mounts), Events: unix.POLLPRI}, {Fd: int32(wake), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("watch mounts: %w", err)
		case fds[0].Revents != 0:
			f()
		}
	}
}
