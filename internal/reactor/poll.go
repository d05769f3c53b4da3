package reactor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// eventsPerWait bounds what one [Reactor.Wait] reports; the rest waits in the kernel.
const eventsPerWait = 64

// poll is an epoll(7) set with an eventfd(2) in it that ends a wait.
type poll struct {
	epoll  int
	wake   int // an eventfd, readable from a Wake to the next Wait
	events [eventsPerWait]unix.EpollEvent
	coarse bool // no epoll_pwait2(2): sleeps end on milliseconds
}

func (p *poll) open() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make an epoll set: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epoll)
		return fmt.Errorf("make an eventfd: %w", err)
	}
	p.epoll, p.wake = epoll, wake
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &event); err != nil {
		p.close()
		return fmt.Errorf("watch an eventfd: %w", err)
	}
	return nil
}

func (p *poll) close() error {
	if p.epoll < 0 {
		return nil
	}
	err := errors.Join(unix.Close(p.epoll), unix.Close(p.wake))
	p.epoll, p.wake = -1, -1
	return err
}

// interest is what to watch an endpoint for. Edge-triggered: an endpoint is
// reported again only after something new has happened on it, so its reader goes
// on until [frame.Again] or remembers to come back.
func interest(fd int32, slot uint32) unix.EpollEvent {
	return unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: fd, Pad: int32(slot)}
}

func (p *poll) add(fd int32, slot uint32) error {
	event := interest(fd, slot)
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, int(fd), &event); err != nil {
		return fmt.Errorf("watch descriptor %d: %w", fd, err)
	}
	return nil
}

func (p *poll) remove(fd int32) error {
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, int(fd), nil); err != nil {
		return fmt.Errorf("stop watching descriptor %d: %w", fd, err)
	}
	return nil
}

// Wait fills ready with watched slots whose endpoints have become readable or have
// ended, and returns how many. With timeout 0 it only looks; below 0 it sleeps
// until there is something or Wake is called; above 0 it sleeps no longer than
// that, rounded up to milliseconds before Linux 5.11. It may return 0 early, on a
// signal or on Wake, and does so at once when ready is empty. It does not allocate.
//
// A slot is reported again only after something new has happened on its endpoint:
// go on with [Reactor.Receive] until [frame.Again], or remember to come back. An
// endpoint that has ended is reported by every Wait until Unwatch or Remove.
func (r *Reactor) Wait(ready []uint32, timeout time.Duration) int {
	p := &r.poll
	limit := min(len(ready), len(p.events))
	if limit == 0 {
		return 0
	}
	var n int
	var errno syscall.Errno
	if timeout == 0 {
		n, errno = p.look(p.events[:limit])
	} else {
		n, errno = p.sleep(p.events[:limit], timeout)
	}
	if errno != 0 {
		return 0
	}
	return r.collect(ready, p.events[:n])
}

// look returns the events that are there already.
func (p *poll) look(events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return int(n), errno
}

// sleep waits for events. It makes no raw system call: the runtime must know that
// this thread sleeps, or the garbage collector waits for it.
func (p *poll) sleep(events []unix.EpollEvent, timeout time.Duration) (int, syscall.Errno) {
	if timeout > 0 && !p.coarse {
		limit := unix.NsecToTimespec(timeout.Nanoseconds())
		n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll),
			uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
			uintptr(unsafe.Pointer(&limit)), 0, 0)
		if errno != unix.ENOSYS {
			return int(n), errno
		}
		p.coarse = true
	}
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
		uintptr(milliseconds(timeout)), 0, 0)
	return int(n), errno
}

// milliseconds is a timeout for epoll_wait(2).
func milliseconds(timeout time.Duration) int {
	if timeout < 0 {
		return -1
	}
	ms := timeout / time.Millisecond
	if timeout%time.Millisecond != 0 {
		ms++
	}
	return int(min(ms, math.MaxInt32))
}

// collect copies the slots of events to ready, which has room for all of them.
func (r *Reactor) collect(ready []uint32, events []unix.EpollEvent) int {
	n := 0
	for i := range events {
		event := &events[i]
		if int(event.Fd) == r.poll.wake {
			r.poll.drain()
			continue
		}
		slot := uint32(event.Pad)
		// An endpoint that was closed too early, while another process held a copy
		// of its descriptor, cannot be taken out of the set any more.
		e := r.lookup(slot)
		if e == nil || !e.watched || e.fd != event.Fd {
			continue
		}
		if event.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			e.ending++
			r.poll.rearm(event.Fd, slot)
		} else {
			e.ending = 0
		}
		ready[n] = slot
		n++
	}
	return n
}

// rearm has an ending endpoint reported once more. The kernel wakes us before it
// takes the queue of a TAP from the descriptor (drivers/net/tun.c, tun_detach_all),
// and no second edge follows: a reader in between would see [frame.Again] and never
// hear of the device again.
func (p *poll) rearm(fd int32, slot uint32) {
	event := interest(fd, slot)
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, int(fd), &event)
}

// drain takes back what Wake has written, all of it at once (eventfd(2)).
func (p *poll) drain() {
	var count [8]byte
	_, _, _ = syscall.RawSyscall(syscall.SYS_READ, uintptr(p.wake),
		uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
}

// Wake makes the Wait that runs, or else the next one, return. Any goroutine may
// call it before Close. It never blocks, and many calls before one Wait count as one.
func (r *Reactor) Wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	// EAGAIN, on overflow, means that a wake is pending anyway.
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(r.poll.wake),
		uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
}
