package netns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Identity tells this namespace from all others, those that have ended included:
// the boot's id and the namespace's cookie (SO_NETNS_COOKIE, since Linux 5.14).
// Unlike the inode, which is [Namespace.ID] and stands in where there is no cookie,
// it is never used again. An error, such as that no descriptor is left, says nothing about the
// namespace.
func (ns *Namespace) Identity() (string, error) {
	boot := bootID()
	if boot == "" {
		return ns.id, nil
	}
	id := boot + ":"
	var cookie uint64
	err := ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	switch {
	case errors.Is(err, unix.ENOPROTOOPT):
		return id + ns.id, nil
	case err != nil:
		return "", fmt.Errorf("tell network namespace %s from others: %w", ns, err)
	}
	return id + strconv.FormatUint(cookie, 10), nil
}

// Boot returns what tells this boot of the machine from all others, empty where the kernel does not
// say, and for how long it has lasted, the machine's sleep included (CLOCK_BOOTTIME).
func Boot() (id string, uptime time.Duration) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return "", 0
	}
	return bootID(), time.Duration(now.Nano())
}

// bootIDLen is the length of a UUID as text.
const bootIDLen = 36

// bootID returns what tells this boot of the machine from all others; empty where the kernel does
// not say.
var bootID = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(boot) < bootIDLen {
		return ""
	}
	return string(boot[:bootIDLen])
})

// OfDevice opens the namespace that an open TAP's link is in (TUNGETDEVNETNS,
// drivers/net/tun.c). The error wraps [ErrNoLink] when the link was deleted.
func OfDevice(fd int, name string) (*Namespace, error) {
	ns, err := unix.IoctlRetInt(fd, unix.TUNGETDEVNETNS)
	if errors.Is(err, unix.EBADFD) {
		return nil, &kindError{fmt.Sprintf("the interface of device %q was deleted", name), ErrNoLink}
	}
	if err != nil {
		return nil, fmt.Errorf("open the network namespace of device %q: %w", name, err)
	}
	unix.CloseOnExec(ns)
	return newNamespace(ns, "the one of device "+name, Ref{path: "the one of device " + name})
}

// OriginOf opens the namespace that an open TAP's descriptor was opened in, and keeps alive for as
// long as it is open, wherever the link is (SIOCGSKNS, Linux 5.2; drivers/net/tun.c).
func OriginOf(fd int, name string) (*Namespace, error) {
	ns, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	if err != nil {
		return nil, fmt.Errorf("open the network namespace that device %q was opened in: %w", name, err)
	}
	unix.CloseOnExec(ns)
	return newNamespace(ns, "the one of device "+name, Ref{path: "the one of device " + name})
}

// Process is a process by whose end somebody wants to know.
type Process struct{ file *os.File }

// OpenProcess opens a process by its id (pidfd_open(2)). The error wraps
// [ErrNoNamespace] when there is none.
func OpenProcess(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, PID(pid).missing()
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return &Process{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Wait returns when the process has ended, or with an error after Close.
func (p *Process) Wait() error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	first := true
	return conn.Read(func(fd uintptr) bool {
		if !first {
			return true
		}
		first = false
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n > 0
	})
}

// Close ends a Wait.
func (p *Process) Close() error { return p.file.Close() }
