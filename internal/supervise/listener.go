package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxMessage is more than sd_notify(3) messages ever have; a longer one is cut.
const maxMessage = 4096

// listener is the socket that children notify. Its name is removed as soon as it
// has been made, and a descriptor of the nameless file handed to each child, which
// reaches the socket as /proc/self/fd/N. So nothing is left when the parent is
// killed, nobody tidies the name away, and unlike an abstract socket no other
// process can fill the queue.
type listener struct {
	conn *net.UnixConn
	file int // O_PATH
}

func listen() (*listener, error) {
	dir, err := makeDir()
	if err != nil {
		return nil, fmt.Errorf("make a directory for the notification socket: %w", err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		return nil, fmt.Errorf("make the notification socket %s: %w", name, err)
	}
	l := &listener{conn: conn}
	if err := l.wantSenders(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("have the senders of notifications told: %w", err)
	}
	if l.file, err = unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open the notification socket %s: %w", name, err)
	}
	return l, nil
}

// makeDir makes a directory of mode 0700.
func makeDir() (string, error) {
	const pattern = "vswitch-"
	dir, err := os.MkdirTemp("", pattern)
	if err == nil {
		return dir, nil
	}
	// A service may not be allowed to write to the directory for temporary files.
	if dir, err := os.MkdirTemp("/run", pattern); err == nil {
		return dir, nil
	}
	return "", err
}

// socketPath is what connects to a listener whose file is that descriptor of the
// process that connects.
func socketPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// wantSenders has the kernel tell who sent each message (SO_PASSCRED, unix(7)).
func (l *listener) wantSenders() error {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Control(func(fd uintptr) {
		failure = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	return errors.Join(err, failure)
}

// next waits for a message, whose descriptors are the caller's to close.
func (l *listener) next() (message, error) {
	var b [maxMessage]byte
	n, fds, pid, err := receive(l.conn, b[:])
	if err != nil {
		return message{}, err
	}
	m := parseMessage(string(b[:n]))
	m.fds, m.pid = fds, pid
	return m, nil
}

// close unblocks next with [net.ErrClosed].
func (l *listener) close() {
	l.conn.Close()
	unix.Close(l.file)
}
