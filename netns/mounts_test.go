package netns

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWatchMountsTellsOfWhatWasBefore: a namespace that ended while nobody watched
// is found by the first look, and one that ends later by the next.
func TestWatchMountsTellsOfWhatWasBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	looks, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- WatchMounts(ctx, func() {
			select {
			case looks <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	<-looks
	target := t.TempDir()
	if err := unix.Mount("tmpfs", target, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(os.NewSyscallError("mount", err))
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	<-looks
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
