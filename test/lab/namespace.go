package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaceDir is where "ip netns" keeps named network namespaces (ip-netns(8)).
const namespaceDir = "/run/netns"

// sequence makes the names of this process differ. It begins anywhere, so that they differ from
// what a killed process of the same number left behind.
var sequence = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32())
	return &n
}()

// UniqueName returns a fresh name that fits a link, with its 15 bytes at most, as well as a
// namespace, and that shows which process made it.
func UniqueName() string { return fmt.Sprintf("%s%05x", ownPrefix(), sequence.Add(1)&0xfffff) }

// NamespacePath returns the file that stands for the network namespace of this name.
func NamespacePath(name string) string { return filepath.Join(namespaceDir, name) }

// AddNamespaces makes named network namespaces, or none of them. In a new one lo is down.
//
// It calls ip(8) rather than mounting by hand, so that it takes part in the set-up of
// /run/netns as a shared mount that ip does on first use.
func AddNamespaces(names ...string) error {
	for _, name := range names {
		if _, err := os.Lstat(NamespacePath(name)); err == nil {
			return fmt.Errorf("network namespace %s exists already", name)
		}
	}
	if err := ipBatch("netns add ", names); err != nil {
		_ = DeleteNamespaces(names...) // the first error says more
		return fmt.Errorf("make network namespaces: %w", err)
	}
	return nil
}

// DeleteNamespaces takes away the names of those namespaces that exist; the kernel ends a
// namespace once no process, descriptor or socket holds it.
func DeleteNamespaces(names ...string) error {
	var there []string
	for _, name := range names {
		if _, err := os.Lstat(NamespacePath(name)); err == nil {
			there = append(there, name)
		}
	}
	if err := ipBatch("netns delete ", there); err != nil {
		return fmt.Errorf("delete network namespaces: %w", err)
	}
	return nil
}

// ipBatch runs one command of ip(8) for each name, all in one process.
func ipBatch(command string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(command + strings.Join(names, "\n"+command) + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// InNamespace runs f with the calling thread inside the namespace of this name. Goroutines that
// f starts run outside. A thread that cannot go back stays locked and ends with its goroutine.
func InNamespace(name string, f func() error) (err error) {
	runtime.LockOSThread()
	origin, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the thread's network namespace: %w", err)
	}
	defer origin.Close()
	if err := enter(NamespacePath(name)); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	// Deferred, since f may end the goroutine, as testing.TB.Fatal does.
	defer func() {
		if back := unix.Setns(int(origin.Fd()), unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, fmt.Errorf("leave network namespace %s: %w", name, back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

func enter(path string) error {
	inside, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer inside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// Command returns the command argv, to be run inside the namespace of this name by nsenter(1)
// and killed when ctx ends.
func Command(ctx context.Context, namespace string, argv ...string) *exec.Cmd {
	enter := []string{"--net=" + NamespacePath(namespace), "--"}
	return exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
}

// Namespace is a named network namespace that lives as long as one test.
type Namespace struct {
	tb   testing.TB
	name string
}

// NewNamespace makes a network namespace and removes it when the test ends, however it ends. It
// needs what [RequireRoot] and [RequireCommand] check.
func NewNamespace(tb testing.TB) *Namespace {
	tb.Helper()
	RequireRoot(tb)
	RequireCommand(tb, "ip", "nsenter")
	n := &Namespace{tb: tb, name: UniqueName()}
	if err := AddNamespaces(n.name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.Remove)
	return n
}

// NewQuietNamespace makes a network namespace without IPv6, whose kernel sends multicasts of
// its own at any time.
func NewQuietNamespace(tb testing.TB) *Namespace {
	tb.Helper()
	n := NewNamespace(tb)
	n.Sysctl("net.ipv6.conf.default.disable_ipv6=1")
	return n
}

// Name returns the name under /run/netns.
func (n *Namespace) Name() string { return n.name }

// Path returns the file that stands for the namespace.
func (n *Namespace) Path() string { return NamespacePath(n.name) }

// Remove takes the name away, as "ip netns delete" does. It does nothing when the name is gone
// already.
func (n *Namespace) Remove() {
	n.tb.Helper()
	if err := DeleteNamespaces(n.name); err != nil {
		n.tb.Error(err)
	}
}

// Do runs f as [InNamespace] does; f may call tb.Fatal.
func (n *Namespace) Do(f func()) {
	n.tb.Helper()
	if err := InNamespace(n.name, func() error { f(); return nil }); err != nil {
		n.tb.Fatal(err)
	}
}

// Exec returns the command argv, as [Command] does.
func (n *Namespace) Exec(ctx context.Context, argv ...string) *exec.Cmd {
	return Command(ctx, n.name, argv...)
}

// Run runs argv inside the namespace, fails the test when the command does and returns what it
// printed.
func (n *Namespace) Run(argv ...string) string {
	n.tb.Helper()
	out, err := n.Exec(context.Background(), argv...).CombinedOutput()
	if err != nil {
		n.tb.Fatalf("in network namespace %s: %q: %v: %s", n.name, argv, err, out)
	}
	return string(out)
}

// Sysctl writes a kernel setting, as in "net.ipv4.ip_forward=1", inside the namespace.
func (n *Namespace) Sysctl(setting string) {
	n.tb.Helper()
	key, value, _ := strings.Cut(setting, "=")
	file := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	// Which namespace's setting the file is depends on the thread that opens it.
	n.Do(func() {
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			n.tb.Fatalf("in network namespace %s: %v", n.name, err)
		}
	})
}
