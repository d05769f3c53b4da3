package tap

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

// eventsPerWait bounds what one [Poller.Wait] reports; the rest waits in the kernel.
const eventsPerWait = 64

// Poller says which of its devices have become readable, and carries frames to
// and from devices several at a time. It belongs to one worker, the only one that
// calls Wait, Receive, Send and Flush; Add, Remove and Wake may be called from any
// goroutine at any time before Close.
type Poller struct {
	epoll  int
	wake   int // an eventfd, watched as long as it has been written to
	events [eventsPerWait]unix.EpollEvent
	coarse bool // no epoll_pwait2(2): sleeps end on milliseconds
	batch
}

// NewPoller makes a Poller without devices that carries up to frames at a time:
// two descriptors, and a third where the kernel lets it have an io_uring.
func NewPoller(frames int) (*Poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll set: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("make an eventfd to wake a poller: %w", err)
	}
	p := &Poller{epoll: epoll, wake: wake, batch: newBatch(frames)}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &event); err != nil {
		p.Close()
		return nil, fmt.Errorf("watch the eventfd of a poller: %w", err)
	}
	return p, nil
}

// interest is what to watch a device for. Edge-triggered: a device is reported
// again only after something new has happened on it, so its reader goes on until
// [frame.Again] or remembers to come back.
func interest(fd int, token uint32) unix.EpollEvent {
	return unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd), Pad: int32(token)}
}

// Add watches d, which Wait reports as token. If something waits in d already,
// the next Wait reports it. A device can be in a Poller once.
func (p *Poller) Add(d *Device, token uint32) error {
	event := interest(d.fd, token)
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, d.fd, &event); err != nil {
		return fmt.Errorf("poll tap device %q: %w", d.name, err)
	}
	return nil
}

// Remove stops watching d, which must still be open: call it before
// [Device.Close]. A Wait that runs meanwhile may report the token once more.
func (p *Poller) Remove(d *Device) error {
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, d.fd, nil); err != nil {
		return fmt.Errorf("stop polling tap device %q: %w", d.name, err)
	}
	return nil
}

// Wait fills ready with the tokens of devices that have become readable or were
// deleted, and returns how many. With timeout 0 it only looks; below 0 it sleeps
// until there is something or Wake is called; above 0 it sleeps no longer than
// that, rounded up to milliseconds before Linux 5.11. It may return 0 early, on a signal or on
// Wake, and does so at once when ready is empty. It does not allocate.
//
// A deleted device is reported by every Wait until it is removed; its Receive
// says [frame.Gone].
func (p *Poller) Wait(ready []uint32, timeout time.Duration) int {
	limit := min(len(ready), len(p.events))
	if limit == 0 {
		return 0
	}
	if timeout == 0 {
		n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events)), uintptr(limit), 0, 0, 0)
		if errno != 0 {
			return 0
		}
		return p.collect(ready, p.events[:n])
	}
	n, err := p.sleep(p.events[:limit], timeout)
	if err != nil {
		return 0
	}
	return p.collect(ready, p.events[:n])
}

// sleep waits for events. It makes no raw system call: the runtime must know that
// this thread sleeps, or the garbage collector waits for it.
func (p *Poller) sleep(events []unix.EpollEvent, timeout time.Duration) (int, error) {
	if timeout > 0 && !p.coarse {
		limit := unix.NsecToTimespec(timeout.Nanoseconds())
		n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
			uintptr(len(events)), uintptr(unsafe.Pointer(&limit)), 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.ENOSYS {
			return 0, errno
		}
		p.coarse = true
	}
	return unix.EpollWait(p.epoll, events, milliseconds(timeout))
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

// collect copies the tokens of events to ready, which has room for all of them.
func (p *Poller) collect(ready []uint32, events []unix.EpollEvent) int {
	n := 0
	for i := range events {
		e := &events[i]
		if int(e.Fd) == p.wake {
			p.drain()
			continue
		}
		if e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			p.rearm(e)
		}
		ready[n] = uint32(e.Pad)
		n++
	}
	return n
}

// rearm has a dying device reported once more. The kernel wakes us before it
// takes the queue from the descriptor (drivers/net/tun.c, tun_detach_all), and
// no second edge follows: a reader in between would see [frame.Again] and never
// hear of the device again. If the device was removed meanwhile this fails, and
// rightly does nothing.
func (p *Poller) rearm(e *unix.EpollEvent) {
	event := interest(int(e.Fd), uint32(e.Pad))
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, int(e.Fd), &event)
}

// drain takes back what Wake has written, all of it at once (eventfd(2)).
func (p *Poller) drain() {
	var count [8]byte
	_, _, _ = syscall.RawSyscall(syscall.SYS_READ, uintptr(p.wake), uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
}

// Wake makes the Wait that runs, or else the next one, return. It never blocks,
// and many calls before one Wait count as one.
func (p *Poller) Wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	// EAGAIN, on overflow, means that a wake is pending anyway.
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(p.wake), uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
}

// Close frees the descriptors; devices stay open. The caller warrants that
// nothing uses the Poller any more. A second Close does nothing.
func (p *Poller) Close() error {
	if p.epoll < 0 {
		return nil
	}
	err := errors.Join(unix.Close(p.epoll), unix.Close(p.wake), p.closeRing())
	p.epoll, p.wake = -1, -1
	if err != nil {
		return fmt.Errorf("close a poller: %w", err)
	}
	return nil
}
