package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// World is what the words of another process mean: the files below its root, its /proc and its
// process ids. It is valid as long as that process lives.
type World struct {
	pid   int      // of the process, in our /proc
	pidfd int      // of the process, to know that it still has that id
	proc  *os.File // /proc/PID
	root  *os.File // its root directory
}

// OpenWorld opens the world of a process that has this id in our /proc. pidfd is of the same
// process, and becomes the World's, also when OpenWorld fails. The error wraps [ErrOutOfSight]
// when we cannot see into that world.
func OpenWorld(pid, pidfd int) (_ *World, err error) {
	w := &World{pid: pid, pidfd: pidfd}
	defer func() {
		if err != nil {
			_ = w.Close()
		}
	}()
	if pid <= 0 {
		return nil, outOfSight("the process that asks is in a pid namespace that vswitchd cannot see: " +
			"ask from one that it can, or run vswitchd in the host's")
	}
	dir := fmt.Sprintf("/proc/%d", pid)
	if w.proc, err = openPath(dir); err == nil {
		w.root, err = openPath(dir + "/root")
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("look at process %d, which asks: %w: run as root", pid, err)
	}
	if err != nil {
		return nil, outOfSight(fmt.Sprintf("vswitchd cannot see what process %d, which asks, "+
			"sees: %v: ask from a process of the host", pid, err))
	}
	return w, w.alive()
}

// outOfSight returns an [ErrOutOfSight] in its own words.
func outOfSight(message string) error { return &kindError{message, ErrOutOfSight} }

// openPath opens a directory to begin at.
func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// alive returns an error if the process has ended, so that another may have its id.
func (w *World) alive() error {
	fds := []unix.PollFd{{Fd: int32(w.pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err != nil || n > 0 {
		return outOfSight("the process that asks has ended, so that nobody can tell what it means: " +
			"ask from one that waits for the answer")
	}
	return nil
}

// Close lets go of the world.
func (w *World) Close() error {
	var errs []error
	if w.pidfd >= 0 {
		errs = append(errs, unix.Close(w.pidfd))
		w.pidfd = -1
	}
	for _, f := range []*os.File{w.proc, w.root} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Locate opens the namespace that ref means in w, and returns by what this process, and the one
// after it, finds the same namespace. The error wraps [ErrNoNamespace] when there is none, and
// [ErrOutOfSight] when nothing leads to it from here.
func (w *World) Locate(ref Ref) (*Namespace, Ref, error) {
	if ref.pid > 0 {
		return w.locateProcess(ref.pid)
	}
	ns, err := open(ref, w.openFile)
	if err != nil {
		return nil, Ref{}, err
	}
	if err := w.alive(); err != nil {
		_ = ns.Close()
		return nil, Ref{}, err
	}
	here, err := ns.found(ref)
	if err != nil {
		_ = ns.Close()
		return nil, Ref{}, err
	}
	ns.ref = here
	return ns, here, nil
}

// locateProcess is Locate of a process of w.
func (w *World) locateProcess(pid int) (*Namespace, Ref, error) {
	here, err := w.pidHere(pid)
	if err != nil {
		return nil, Ref{}, err
	}
	ns, err := Open(PID(here))
	return ns, PID(here), err
}

// pidHere returns which id the process has here that has the id pid in w.
func (w *World) pidHere(pid int) (int, error) {
	theirs, err := unix.Openat(int(w.proc.Fd()), "ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, outOfSight(fmt.Sprintf("vswitchd cannot see the pid namespace of the process that asks: %v: "+
			"give a path instead of a process", err))
	}
	defer unix.Close(theirs)
	var their, our unix.Stat_t
	if err := errors.Join(unix.Fstat(theirs, &their), unix.Stat("/proc/self/ns/pid", &our)); err != nil {
		return 0, fmt.Errorf("compare pid namespaces: %w", err)
	}
	if their.Dev == our.Dev && their.Ino == our.Ino {
		return pid, nil
	}
	here, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(theirs), unix.NS_GET_PID_FROM_PIDNS, uintptr(pid))
	switch errno {
	case 0:
		return int(here), nil
	case unix.ESRCH:
		return 0, PID(pid).missing()
	default: // ENOTTY before Linux 6.11
		return 0, outOfSight(fmt.Sprintf("process %d is of another pid namespace than vswitchd's, and this "+
			"kernel does not say which it is (%v): give a path instead", pid, errno))
	}
}

// found returns by what the namespace is found here: as ref, if that means the same here, or else
// by a mount or by a process in it.
func (ns *Namespace) found(ref Ref) (Ref, error) {
	if !ref.ofAsker() && ref.Means(ns.id) {
		return ref, nil
	}
	if named, found := mountOf(ns.id); found {
		return named, nil
	}
	if pid, found := oldestProcess(ns.id); found {
		return PID(pid), nil
	}
	return Ref{}, outOfSight(fmt.Sprintf("network namespace %s is out of vswitchd's sight, so that a restart "+
		"would not find it: name a process in it, or make it a name where vswitchd runs "+
		"(\"ip netns attach\")", ns))
}

// ofAsker reports whether another process means another thing by r, or nothing, where all else is
// the same.
func (r Ref) ofAsker() bool {
	return under(r.path, "/proc/self") || under(r.path, "/proc/thread-self")
}

func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// oldestProcess returns the process in a namespace, given by its [Namespace.ID], that has run for
// longest: a container's first one, which is likely to outlive the others.
func oldestProcess(id string) (pid int, found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, false
	}
	var oldest uint64
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var stat unix.Stat_t
		if unix.Stat(PID(n).String(), &stat) != nil || idOf(&stat) != id {
			continue
		}
		if began, ok := startTime(n); ok && (!found || began < oldest) {
			pid, oldest, found = n, began, true
		}
	}
	return pid, found
}

// startTime returns when a process began, in clock ticks since the boot (proc_pid_stat(5)).
func startTime(pid int) (uint64, bool) {
	const behindName, field = 3, 22 // the first field behind the name, and that of the time
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= field-behindName {
		return 0, false
	}
	began, err := strconv.ParseUint(fields[field-behindName], 10, 64)
	return began, err == nil
}
