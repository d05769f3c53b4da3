package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// receive hands notifications to the loop, in their order. The listener's close
// unblocks it.
func (p *parent) receive() {
	for {
		m, err := p.listener.next()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.post(func() { p.stop(fmt.Errorf("receive notifications: %w", err)) })
			return
		}
		if !p.post(func() { p.notified(&m); m.close() }) {
			m.close()
		}
	}
}

// flush waits until the loop has handled all notifications that were sent before.
// After a child's death that is all that it ever sent, so what it had kept is in
// the store before the next one starts.
func (p *parent) flush() {
	own := &Notifier{socket: socketPath(p.listener.file), confirms: true}
	if err := own.Sync(context.Background()); err != nil {
		p.log.Warn("the child's last notifications may be lost", "error", err)
	}
}

// tell is for what was said to the manager: nothing here depends on whether it
// listens, but someone should know.
func (p *parent) tell(err error) {
	if err != nil {
		p.log.Warn("cannot notify the service manager", "error", err)
	}
}

// notified handles one notification: those of the active child, and our own flush.
func (p *parent) notified(m *message) {
	if m.pid == os.Getpid() && m.barrier {
		confirm(m.fds, nil)
		return
	}
	w := p.active
	if w == nil || w.process.Pid != m.pid {
		p.log.Debug("notification of another process ignored", "pid", m.pid)
		return
	}
	switch {
	case m.barrier:
		p.passBarrier(w, m)
	case m.store:
		p.keep(w, m)
	case m.remove:
		p.store.drop(m.name)
		p.tell(p.options.Notify.Drop(m.name))
	default:
		p.progress(w, m)
	}
}

// progress handles what a child says about itself.
func (p *parent) progress(w *worker, m *message) {
	if m.hasStatus {
		p.status = m.status
	}
	switch {
	case w.phase == stopping:
		if m.ready && w.replaced {
			w.askForRoom() // again: see there
		}
	case m.ready:
		p.becameReady(w)
	case m.reloading:
		p.tell(p.options.Notify.Reloading())
	case m.hasStatus:
		p.tell(p.options.Notify.Status(p.status))
	}
	if m.watchdog && w.phase == ready {
		w.within(p.options.Watchdog, noSign)
	}
}

// noSign is why a child is killed whose watchdog is overdue.
const noSign = "gave no sign of life (watchdog)"

func (p *parent) becameReady(w *worker) {
	if w.phase == starting {
		w.phase, w.readyAt = ready, time.Now()
		p.proven = true
		p.log.Info("child is ready", "pid", w.process.Pid)
		p.completeUpgrade(w)
		w.within(p.options.Watchdog, noSign)
	}
	p.tellReady()
}

func (p *parent) tellReady() { p.tell(p.options.Notify.Ready(cmp.Or(p.status, "Running"))) }

// keep puts descriptors into the store, and into the manager's.
func (p *parent) keep(w *worker, m *message) {
	var err error
	if len(m.fds) == 0 {
		err = fmt.Errorf("keep descriptor %q: it did not arrive: the supervisor may have too many open files", m.name)
	}
	for _, fd := range m.fds {
		added, failure := p.store.add(m.name, fd)
		if added {
			p.tell(p.options.Notify.Keep(m.name, fd))
		}
		err = errors.Join(err, failure)
	}
	m.fds = nil // the store has taken them
	if err != nil {
		p.log.Error("cannot keep a descriptor", "error", err)
		w.lost = err
	}
}

// passBarrier answers a child's barrier, and lets the manager, if there is one,
// have the last word: its barrier is the same pipe, which is closed for good only
// when the manager has closed it too.
func (p *parent) passBarrier(w *worker, m *message) {
	confirm(m.fds, w.lost)
	w.lost = nil
	if len(m.fds) > 0 {
		p.tell(p.options.Notify.barrier(m.fds[0]))
	}
}

// confirm writes into the pipe of a barrier. It cannot block: the pipe is empty.
// If the other side is gone, nobody waits.
func confirm(fds []int, failure error) {
	answer := confirmed
	if failure != nil {
		answer = oneLine(failure.Error())
	}
	for _, fd := range fds {
		_, _ = unix.Write(fd, []byte(answer[:min(len(answer), maxAnswer)]))
	}
}
