package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// syncTimeout is how long [Notifier.Sync] waits when its context has no
	// deadline of its own, as sd_notify_barrier(3) is commonly called.
	syncTimeout = 5 * time.Second
	// confirmed is what our supervisor writes into the pipe of a barrier; systemd
	// only closes it.
	confirmed = "ok"
	// maxAnswer bounds what is read from, and written into, that pipe; it always
	// has room for it (PIPE_BUF, pipe(7)).
	maxAnswer = 1024
)

// Notifier tells the supervisor or systemd how this process is, as sd_notify(3)
// does. When nobody listens, or when it is nil, its methods do nothing and return
// nil. Messages are handled in the order in which they were sent; that one was
// sent without an error does not mean that it has been handled, see
// [Notifier.Sync].
type Notifier struct {
	socket   string        // path, or name of an abstract socket after '@'
	interval time.Duration // of the watchdog
	confirms bool          // the listener answers a barrier with confirmed
}

// Ready says that the process is up, or has finished reloading, and does its
// work. Status is one line for people, empty for none.
func (n *Notifier) Ready(status string) error {
	if status == "" {
		return n.send("READY=1")
	}
	return n.send("READY=1\nSTATUS=" + oneLine(status))
}

// Reloading says that the process changes its configuration and will say
// [Notifier.Ready] again.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the monotonic clock: %w", err)
	}
	// Type=notify-reload of systemd.service(5) wants the time.
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)))
}

// Stopping says that the process is about to end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Status says in one line, for people, what the process does.
func (n *Notifier) Status(status string) error { return n.send("STATUS=" + oneLine(status)) }

// Watchdog says that the process lives. Say it twice per [Notifier.WatchdogInterval].
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// WatchdogInterval is how long the listener waits for a [Notifier.Watchdog] before
// it kills the process; 0 when it does not.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.interval
}

// Keep has a duplicate of fd kept, to be handed to the next process under name,
// together with all others of that name. The name is printable ASCII without a
// colon, of 255 bytes at most. A descriptor that came from the listener is still
// kept by it: there is no need to hand it back.
func (n *Notifier) Keep(name string, fd int) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("keep descriptor %d: %w", fd, err)
	}
	// FDPOLL=0: a TAP whose namespace has died raises an error that the next
	// process must see; systemd would drop the descriptor instead.
	return n.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, fd)
}

// Drop has all descriptors of that name forgotten.
func (n *Notifier) Drop(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("drop descriptors: %w", err)
	}
	return n.send("FDSTOREREMOVE=1\nFDNAME=" + name)
}

// Sync returns when all that was said before has been handled, as
// sd_notify_barrier(3): after it a descriptor given to [Notifier.Keep] outlives
// this process. An error means that this is not certain, or, from our own
// supervisor, that something since the last Sync could not be kept, and why. A
// ctx without a deadline is given 5 seconds.
func (n *Notifier) Sync(ctx context.Context) error {
	if n == nil || n.socket == "" {
		return nil
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, syncTimeout)
		defer cancel()
	}
	answer, err := n.ask(ctx)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("wait until notifications are handled: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("wait until notifications are handled: %w", err)
	case answer == confirmed || answer == "" && !n.confirms:
		return nil
	case answer == "":
		return errors.New("wait until notifications are handled: the supervisor did not confirm it")
	}
	return errors.New(answer)
}

// ask sends a barrier and reads what is written into its pipe until it is closed.
func (n *Notifier) ask(ctx context.Context) (string, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return "", fmt.Errorf("make a pipe: %w", err)
	}
	r := os.NewFile(uintptr(ends[0]), "barrier")
	defer r.Close()
	err := n.barrier(ends[1])
	unix.Close(ends[1])
	if err != nil {
		return "", err
	}
	// A deadline in the past unblocks the read.
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	return string(answer), err
}

// barrier sends the write end of a pipe that the listener closes in its turn.
func (n *Notifier) barrier(w int) error { return n.send("BARRIER=1", w) }

// send sends one message. It makes a socket for each, as sd_notify does: they are
// rare, and there is nothing to close at the end.
func (n *Notifier) send(state string, fds ...int) error {
	if n == nil || n.socket == "" {
		return nil
	}
	name, _, _ := strings.Cut(state, "\n")
	if n.socket[0] != '/' && n.socket[0] != '@' {
		return fmt.Errorf("notify %s: socket %q is not supported: want a path or @name", name, n.socket)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: n.socket})
	if err != nil {
		return fmt.Errorf("notify %s: %w", name, err)
	}
	defer conn.Close()
	if err := transmit(conn, []byte(state), fds...); err != nil {
		return fmt.Errorf("notify %s: %w", name, err)
	}
	return nil
}

// oneLine keeps a status from being read as further assignments.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
