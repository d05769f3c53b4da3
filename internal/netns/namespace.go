package netns

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// currentPath is the namespace of the thread that opens it.
const currentPath = "/proc/thread-self/ns/net"

// Namespace is an open network namespace. While it is open the kernel keeps the
// namespace alive, also after its last process has ended, so do not hold it
// longer than a change takes. Its methods may be called from many goroutines;
// Close may not run beside them.
type Namespace struct {
	fd   int
	id   string
	path string
	ref  Ref

	mu   sync.Mutex
	look *netlink.Handle // in the namespace, once link states have been asked for
}

// Open opens the namespace that ref means. The error wraps [ErrNoNamespace] when
// there is none.
func Open(ref Ref) (*Namespace, error) { return open(ref, openNamed) }

// open is Open by what opens a path.
func open(ref Ref, openPath func(path string) (int, error)) (*Namespace, error) {
	if ref == (Ref{}) || ref.pid < 0 {
		return nil, fmt.Errorf("process id %d stands for no network namespace: give one above 0", ref.pid)
	}
	for _, path := range ref.paths() {
		fd, err := openPath(path)
		switch {
		case err == nil:
			return newNamespace(fd, path, ref)
		case isMissing(err):
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			return nil, fmt.Errorf("open network namespace %q: %w: run as root", path, err)
		case errors.Is(err, ErrNotNamespace):
			return nil, fmt.Errorf("%q is not a network namespace: %w", path, err)
		default:
			return nil, fmt.Errorf("open network namespace %q: %w", path, err)
		}
	}
	return nil, ref.missing()
}

// Current opens the namespace of the calling thread.
func Current() (*Namespace, error) {
	fd, err := openFile(currentPath)
	if err != nil {
		return nil, fmt.Errorf("open the current network namespace: %w", err)
	}
	return newNamespace(fd, currentPath, Ref{path: currentPath})
}

// openNamed opens the namespace at a path that somebody has given. A file of another kind is
// not opened at all: with some devices that does something, such as starting a watchdog.
func openNamed(path string) (int, error) {
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	if err := checkNamespace(at); err != nil {
		return -1, err
	}
	return openFile(fmt.Sprintf("/proc/self/fd/%d", at))
}

func openFile(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// newNamespace owns fd, also when it fails.
func newNamespace(fd int, path string, ref Ref) (*Namespace, error) {
	var stat unix.Stat_t
	err := checkKind(fd)
	if err == nil {
		err = unix.Fstat(fd, &stat)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%q is not a network namespace: %w", path, err)
	}
	return &Namespace{fd: fd, id: idOf(&stat), path: path, ref: ref}, nil
}

// isMissing reports whether an error of open(2) or stat(2) says that there is no such file.
func isMissing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ESRCH)
}

func idOf(stat *unix.Stat_t) string { return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino) }

var errOtherFile = &kindError{
	"it is a file of another kind; give a path such as /run/netns/NAME or /proc/PID/ns/net",
	ErrNotNamespace,
}

// checkNamespace tells a namespace from other files.
func checkNamespace(fd int) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type != unix.NSFS_MAGIC {
		return errOtherFile
	}
	return nil
}

// checkKind tells a network namespace from other files and other namespaces
// (ioctl_ns(2)).
func checkKind(fd int) error {
	if err := checkNamespace(fd); err != nil {
		return err
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return err
	}
	if kind != unix.CLONE_NEWNET {
		return &kindError{"it is a namespace of another kind; give a path such as /proc/PID/ns/net", ErrNotNamespace}
	}
	return nil
}

// Close lets go of the namespace. A second Close does nothing.
func (ns *Namespace) Close() error {
	if ns.fd < 0 {
		return nil
	}
	fd := ns.fd
	ns.fd = -1
	if ns.look != nil {
		ns.look.Close()
	}
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close network namespace %s: %w", ns, err)
	}
	return nil
}

// ID is equal for two open namespaces exactly when they are the same: device and
// inode (namespaces(7)). The kernel may use it again once the namespace has ended.
func (ns *Namespace) ID() string { return ns.id }

// Path is the file that the namespace was opened by.
func (ns *Namespace) Path() string { return ns.path }

// String is the name or path in quotation marks, for messages.
func (ns *Namespace) String() string { return fmt.Sprintf("%q", ns.ref.String()) }

// Do runs f on a thread inside the namespace and returns its error. The thread is
// not the caller's; goroutines that f starts run outside. A thread that cannot go
// back is thrown away.
func (ns *Namespace) Do(f func() error) error {
	err := errors.New("the function ended its goroutine")
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = ns.enter(f)
	}()
	<-done
	return err
}

// enter locks the goroutine to its thread. The runtime ends the thread with the
// goroutine unless it was unlocked.
func (ns *Namespace) enter(f func() error) error {
	runtime.LockOSThread()
	origin, err := openFile(currentPath)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("remember the current network namespace: %w", err)
	}
	defer unix.Close(origin)
	if err := unix.Setns(ns.fd, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", ns, err)
	}
	defer func() {
		if unix.Setns(origin, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// handle opens a netlink socket in the namespace, where it stays whatever thread
// uses it. netlink.NewHandleAt would do so on the caller's thread and not notice
// when that cannot go back.
func (ns *Namespace) handle() (*netlink.Handle, error) {
	var h *netlink.Handle
	err := ns.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink in network namespace %s: %w", ns, err)
	}
	return h, nil
}

// lookHandle returns a netlink socket in the namespace that is open as long as ns is.
func (ns *Namespace) lookHandle() (*netlink.Handle, error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.look == nil {
		h, err := ns.handle()
		if err != nil {
			return nil, err
		}
		ns.look = h
	}
	return ns.look, nil
}
