package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaceDir is where "ip netns" keeps named network namespaces (ip-netns(8)).
const namespaceDir = "/run/netns"

// Namespace is a named network namespace that lives as long as one test.
type Namespace struct {
	tb   testing.TB
	name string
}

// NewNamespace makes a named network namespace, with lo down as in any new one,
// and removes it when the test ends, however it ends. It needs what [RequireRoot]
// and [RequireCommand] check.
//
// It calls ip(8) rather than mounting by hand, so that it takes part in the
// set-up of /run/netns as a shared mount that ip does on first use.
func NewNamespace(tb testing.TB) *Namespace {
	tb.Helper()
	RequireRoot(tb)
	RequireCommand(tb, "ip", "nsenter")
	n := &Namespace{tb: tb, name: UniqueName()}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		tb.Fatalf("make network namespace %s: %v: %s", n.name, err, out)
	}
	tb.Cleanup(n.Remove)
	return n
}

// sequence makes the names of this process differ. It begins anywhere, so that
// they differ from what a killed process of the same number left behind.
var sequence = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32())
	return &n
}()

// UniqueName is a fresh name that fits a link, with its 15 bytes at most, as well
// as a namespace, and that shows which process made it.
func UniqueName() string { return fmt.Sprintf("%s%05x", ownPrefix(), sequence.Add(1)&0xfffff) }

// Name is the name under /run/netns.
func (n *Namespace) Name() string { return n.name }

// Path is the file that stands for the namespace.
func (n *Namespace) Path() string { return filepath.Join(namespaceDir, n.name) }

// Remove takes the name away, as "ip netns delete" does; the kernel ends the
// namespace once no process, descriptor or socket holds it. It does nothing when
// the name is gone already.
func (n *Namespace) Remove() {
	n.tb.Helper()
	if _, err := os.Lstat(n.Path()); os.IsNotExist(err) {
		return
	}
	if out, err := exec.Command("ip", "netns", "delete", n.name).CombinedOutput(); err != nil {
		n.tb.Errorf("delete network namespace %s: %v: %s", n.name, err, out)
	}
}

// Do runs f on the calling goroutine with its thread inside the namespace, so f
// may call tb.Fatal. Goroutines that f starts, subtests among them, run outside.
// A thread that cannot go back stays locked and dies with the test's goroutine.
func (n *Namespace) Do(f func()) {
	n.tb.Helper()
	runtime.LockOSThread()
	origin := n.open("/proc/thread-self/ns/net")
	defer unix.Close(origin)
	inside := n.open(n.Path())
	err := unix.Setns(inside, unix.CLONE_NEWNET)
	unix.Close(inside)
	if err != nil {
		n.tb.Fatalf("enter network namespace %s: %v", n.name, err)
	}
	defer func() {
		if err := unix.Setns(origin, unix.CLONE_NEWNET); err != nil {
			n.tb.Errorf("leave network namespace %s: %v", n.name, err)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
}

func (n *Namespace) open(path string) int {
	n.tb.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		n.tb.Fatalf("open network namespace %s: %v", path, err)
	}
	return fd
}

// Exec is the command argv, to be run inside the namespace by nsenter(1) and
// killed when ctx ends.
func (n *Namespace) Exec(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path(), "--"}, argv...)...)
}

// Run runs argv inside the namespace, fails the test when the command does and
// returns what it printed.
func (n *Namespace) Run(argv ...string) string {
	n.tb.Helper()
	out, err := n.Exec(context.Background(), argv...).CombinedOutput()
	if err != nil {
		n.tb.Fatalf("in network namespace %s: %q: %v: %s", n.name, argv, err, out)
	}
	return string(out)
}
