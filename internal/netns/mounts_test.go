package netns

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

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
	look := func(after string) {
		t.Helper()
		select {
		case <-looks:
		case <-time.After(30 * time.Second):
			cancel()
			t.Fatalf("no look after %s", after)
		}
	}
	look("the beginning")
	target := t.TempDir()
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	for n := range 500 { // one that is lost may be one of many
		if err := unix.Mount("tmpfs", target, "tmpfs", 0, "size=4k"); err != nil {
			t.Fatal(os.NewSyscallError("mount", err))
		}
		look(fmt.Sprintf("mount %d", n))
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Fatal(os.NewSyscallError("umount", err))
		}
		look(fmt.Sprintf("umount %d", n))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
