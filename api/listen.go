package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSocketPath is sun_path less its NUL (unix(7)).
const maxSocketPath = 107

// Modes of what Listen makes: root and the group may reach the daemon.
const (
	socketDirMode = 0o750
	socketMode    = 0o660
	lockMode      = 0o600
)

// Listen makes the daemon's unix socket at path, with mode 0660 whatever the
// umask, and its directory with mode 0750 when that is missing.
//
// A lock on path+".lock" is held until the listener is closed, so of two daemons
// started at once one gets the socket and the other an error; the kernel drops the
// lock when the daemon dies. A socket that a dead daemon left is replaced; anything
// else at path is refused and left alone. Closing removes the socket; the lock file
// stays, since removing it would let two daemons lock two files.
func Listen(path string) (net.Listener, error) {
	if path == "" || len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket path %q has %d bytes: want 1 to %d, choose another path", path, len(path), maxSocketPath)
	}
	if err := refuseOther(path); err != nil { // before the lock, so that a refusal leaves no file behind
		return nil, err
	}
	if err := makeSocketDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("making the directory of socket %s: %w", path, err)
	}
	lock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	l, err := listenLocked(path)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &socketListener{Listener: l, unlock: sync.OnceFunc(func() { lock.Close() })}, nil
}

// Inherit is the listener that Listen made in another process, which keeps the
// socket and its lock. file stays the caller's.
func Inherit(file *os.File) (net.Listener, error) {
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("taking over the socket: %w", bareError(err))
	}
	return l, nil
}

// socketListener holds the lock as long as the socket.
type socketListener struct {
	net.Listener
	unlock func()
}

// File is a copy of the descriptor, for [Inherit] in another process.
func (l *socketListener) File() (*os.File, error) { return l.Listener.(*net.UnixListener).File() }

// Close removes the socket and only then gives the lock back.
func (l *socketListener) Close() error {
	defer l.unlock()
	return l.Listener.Close()
}

// makeSocketDir leaves the mode of a directory that exists alone.
func makeSocketDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, socketDirMode); err != nil {
		return err
	}
	return os.Chmod(dir, socketDirMode)
}

func lockSocket(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, lockMode)
	if err != nil {
		return nil, fmt.Errorf("locking socket %s: %w", path, err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errAlreadyServing(path)
	}
	return nil, fmt.Errorf("locking socket %s: %w", path, err)
}

func errAlreadyServing(path string) error {
	return fmt.Errorf("another vswitchd is already serving on %s: stop it or choose another path", path)
}

// listenLocked is called with the lock held.
func listenLocked(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// unix_bind_bsd (net/unix/af_unix.c) gives the file the mode of the socket's own
	// inode less the umask: set before bind, there is no moment with a wider mode.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, bareError(err))
	}
	if err := os.Chmod(path, socketMode); err != nil { // the umask may have taken bits away
		l.Close()
		return nil, fmt.Errorf("setting the mode of socket %s: %w", path, err)
	}
	return l, nil
}

// refuseOther wants a socket at path or nothing.
func refuseOther(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking for a socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: remove it or choose another path", path)
	}
	return nil
}

// removeStale removes the socket of a daemon that is gone.
func removeStale(path string) error {
	if err := refuseOther(path); err != nil {
		return err
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return errAlreadyServing(path)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("looking for a daemon on socket %s: %w", path, bareError(err))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing a stale socket: %w", err)
	}
	return nil
}

// bareError strips package net's wrapping, which repeats the path.
func bareError(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
}
