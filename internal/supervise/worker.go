package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// phase is how far a child has come:
//
//	standby ──STANDBY──▶ waiting ──its turn──▶ starting ──READY──▶ ready ──asked to end──▶ stopping
//
// A child that replaces nobody begins at starting. From each of them it may die.
type phase int

const (
	standby phase = iota
	waiting
	starting
	ready
	stopping
)

// worker is a child as its parent sees it. It belongs to the parent's loop.
type worker struct {
	binary  *binary
	process *os.Process
	conn    *net.UnixConn // to its Control
	given   []entry       // what it was handed at its start
	post    func(func()) bool

	phase    phase
	readyAt  time.Time
	replaced bool  // it was asked to make room
	lost     error // what could not be kept since its last barrier

	timer  *time.Timer
	due    int   // counts deadlines, to tell an old timer's call
	killed error // why we killed it

	state *os.ProcessState // after its end
}

// within kills the child for that reason unless it is called again before d has
// passed; 0 is no limit.
func (w *worker) within(d time.Duration, reason string) {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.due++
	if d == 0 {
		return
	}
	due := w.due
	w.timer = time.AfterFunc(d, func() {
		w.post(func() {
			if w.due == due {
				w.kill(fmt.Errorf("%s within %v", reason, d))
			}
		})
	})
}

// makeRoom is the signal by which a child learns that it is replaced, and not stopped:
// see [Control.Replaced].
const makeRoom = unix.SIGUSR1

// stop asks the child to end, also one that was asked to make room.
func (w *worker) stop(timeout time.Duration) {
	_ = w.process.Signal(unix.SIGTERM) // it may be dead already
	w.expectEnd(timeout)
}

// makeRoom asks the child to end and to leave all to its successor.
func (w *worker) makeRoom(timeout time.Duration) {
	if w.phase != stopping {
		w.replaced = true
		w.askForRoom()
		w.expectEnd(timeout)
	}
}

// askForRoom signals the child that it is replaced. A child that is just starting misses that
// between the start of its runtime, which ignores the signal, and its [Inherited].
func (w *worker) askForRoom() { _ = w.process.Signal(makeRoom) } // it may be dead already

// expectEnd kills the child unless it ends within timeout.
func (w *worker) expectEnd(timeout time.Duration) {
	if w.phase != stopping {
		w.phase = stopping
		w.within(timeout, "did not end")
	}
}

func (w *worker) kill(reason error) {
	if w.killed == nil {
		w.killed = reason
	}
	_ = w.process.Kill() // it may be dead already
}

// close frees what belongs to the child, after its end.
func (w *worker) close() {
	w.within(0, "")
	w.conn.Close()
}

// failure says how the child ended; nil: as it was asked to. That includes death
// by the very signal that asked, before it had a handler.
func (w *worker) failure() error {
	status, _ := w.state.Sys().(syscall.WaitStatus) //nolint:forbidigo // a type that package os hands out
	if w.killed == nil && w.phase == stopping && (w.state.Success() || status.Signaled() && (status.Signal() == unix.SIGTERM || status.Signal() == makeRoom)) {
		return nil
	}
	e := &ExitError{Code: w.state.ExitCode(), reason: w.killed}
	if e.reason == nil {
		e.reason = errors.New(w.state.String())
	}
	return e
}

// killedByOthers reports whether the child ended by a SIGKILL that was not ours, as from the
// kernel when memory is short. No program ends like that by its own fault.
func (w *worker) killedByOthers() bool {
	status, _ := w.state.Sys().(syscall.WaitStatus) //nolint:forbidigo // a type that package os hands out
	return w.killed == nil && status.Signal() == unix.SIGKILL
}

// ExitError says how a child ended that [Run] gave up on, or that did not stop
// when it was asked to.
type ExitError struct {
	// Code is the child's exit status; -1 when a signal ended it, as when it was
	// killed because it took too long.
	Code   int
	reason error
}

func (e *ExitError) Error() string { return e.reason.Error() }

// launch starts a child with the descriptors that the store has now. The child
// keeps b, but does not own it.
func (p *parent) launch(b *binary, first phase) (*worker, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket to the child: %w", err)
	}
	defer unix.Close(ends[1])
	conn, err := openSocket(ends[0])
	if err != nil {
		return nil, fmt.Errorf("open the socket to the child: %w", err)
	}
	w := &worker{binary: b, conn: conn, phase: first, post: p.post, given: p.store.snapshot()}
	names := []string{controlName, notifyName}
	fds := []uintptr{0, 1, 2, uintptr(ends[1]), uintptr(p.listener.file)}
	for _, e := range w.given {
		names, fds = append(names, e.name), append(fds, uintptr(e.fd))
	}
	env := p.options.environment(socketPath(firstFD+1), names, p.history, first == standby)
	started := make(chan error)
	p.tasks.Go(func() { p.hold(w, env, fds, started) })
	if err := <-started; err != nil {
		conn.Close()
		return nil, fmt.Errorf("start %s: %w", b.path, err)
	}
	p.tasks.Go(func() { p.converse(w) })
	p.log.Debug("child started", "binary", b.path, "pid", w.process.Pid, "descriptors", len(w.given), "standby", first == standby)
	return w, nil
}

// hold starts the child and waits for its end, on one thread: the kernel sends
// the signal of PR_SET_PDEATHSIG when the thread ends that forked, not when the
// process does, and the runtime may end any thread that no goroutine is locked to.
func (p *parent) hold(w *worker, env []string, fds []uintptr, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	w.process, err = fork(w.binary, p.options.Args, env, fds)
	started <- err
	if err != nil {
		return
	}
	state, err := w.process.Wait()
	if err != nil {
		p.log.Error("wait for the child", "pid", w.process.Pid, "error", err)
		state = new(os.ProcessState)
	}
	p.flush()
	p.post(func() { w.state = state; p.ended(w) })
}

// fork starts a program with its descriptors from 0 on. It does not use package
// os, which wants an [os.File] for each, and so would have the runtime watch what
// arrives on them.
func fork(b *binary, args, env []string, fds []uintptr) (*os.Process, error) {
	//nolint:forbidigo // see above
	pid, err := syscall.ForkExec(b.file(), append([]string{b.path}, args...), &syscall.ProcAttr{
		Env:   env,
		Files: fds,
		Sys: &syscall.SysProcAttr{
			Pdeathsig: unix.SIGKILL, // two processes must not move packets at once
			Setpgid:   true,         // the terminal's ^C and hang-up are for the parent
		},
	})
	if err != nil {
		return nil, err
	}
	return os.FindProcess(pid) // finds it even if it has ended: nobody else waits for it
}

// converse hands what the child says to the loop. The child's end, or close,
// unblocks it.
func (p *parent) converse(w *worker) {
	for {
		packet, err := readPacket(w.conn)
		if err != nil {
			return
		}
		if packet.fd >= 0 {
			unix.Close(packet.fd)
		}
		p.post(func() { p.said(w, packet) })
	}
}
