package load

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/bench/stat"
)

// PingTask is the task of the ping helper: to send ICMP echo requests and to measure the
// round-trip times of their answers.
type PingTask struct {
	To       netip.Addr    `json:"to"`
	Interval time.Duration `json:"interval"` // between requests; 0: each follows the answer before
	For      time.Duration `json:"for"`      // how long to send
	Count    int           `json:"count"`    // if above 0, how many to send, and For is ignored
	Timeout  time.Duration `json:"timeout"`  // after which a request counts as lost
}

// Requests are sent in rounds: so many, or so few that time is kept, by one pinger.
const (
	pingRound = 1000
	pingWarm  = 20 // at first, and not counted
)

// run pings with the project's pinger over a socket of its own kind, which spends
// next to nothing beside the system calls: the runtime's poller would add the time
// it takes to wake a goroutine to each answer.
func (t PingTask) run() (stat.Latencies, error) {
	o := pingOptions{Interval: t.Interval, Timeout: t.Timeout, Listen: listenICMP}
	if t.Count > 0 {
		o.Count = t.Count
		stats, err := ping(context.Background(), t.To, o)
		return stat.NewLatencies(stats.RTTs, stats.Sent-stats.Received), err
	}
	warm := o
	warm.Count = pingWarm
	if _, err := ping(context.Background(), t.To, warm); err != nil {
		return stat.Latencies{}, err
	}
	times := make([]time.Duration, 0, 1<<20)
	lost := 0
	for start := time.Now(); time.Since(start) < t.For; {
		o.Count = pingRound
		if t.Interval > 0 {
			o.Count = max(1, min(pingRound, int((t.For-time.Since(start))/t.Interval)))
		}
		stats, err := ping(context.Background(), t.To, o)
		if err != nil {
			return stat.Latencies{}, err
		}
		times = append(times, stats.RTTs...)
		lost += stats.Sent - stats.Received
	}
	return stat.NewLatencies(times, lost), nil
}

// icmpConn is a raw ICMP socket. Reading blocks the thread.
type icmpConn struct {
	fd       int
	deadline atomic.Int64 // for reading, in ns since 1970; 0 is none
	buf      [65536]byte
	control  [64]byte
	stamp    time.Time
	from     unix.RawSockaddrInet4
	sender   net.IPAddr // what ReadFrom says; valid until the next
	ip       [4]byte
}

func listenICMP() (net.PacketConn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c := &icmpConn{fd: fd}
	c.sender.IP = c.ip[:]
	return c, nil
}

// ReadFrom implements [net.PacketConn]. What it finds at once it takes at once.
func (c *icmpConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, errno := c.receive()
		switch errno {
		case 0:
			header := int(c.buf[0]&15) * 4 // the IPv4 header comes along (raw(7))
			if n < header {
				continue
			}
			c.ip = c.from.Addr
			return copy(p, c.buf[header:n]), &c.sender, nil
		case unix.EINTR:
		case unix.EAGAIN:
			if err := c.wait(); err != nil {
				return 0, nil, err
			}
		default:
			return 0, nil, errno
		}
	}
}

func (c *icmpConn) receive() (int, unix.Errno) {
	iov := unix.Iovec{Base: &c.buf[0], Len: uint64(len(c.buf))}
	msg := unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&c.from)), Namelen: uint32(unsafe.Sizeof(c.from)),
		Iov: &iov, Iovlen: 1, Control: &c.control[0], Controllen: uint64(len(c.control)),
	}
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT)
	if errno == 0 {
		c.stamp = stampOf(c.control[:msg.Controllen])
	}
	return int(n), errno
}

// stampOf is the time in the one control message there is, or now.
func stampOf(control []byte) time.Time {
	h, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || h.Type != unix.SCM_TIMESTAMPNS || len(data) < int(unsafe.Sizeof(unix.Timespec{})) {
		return time.Now()
	}
	ts := (*unix.Timespec)(unsafe.Pointer(&data[0]))
	return time.Unix(ts.Unix())
}

// Stamp implements [stamper]: what is measured is the switch, and not the
// waking of the pinger, as with ping(8).
func (c *icmpConn) Stamp() time.Time { return c.stamp }

// wait blocks until there is something to read or the deadline is over.
func (c *icmpConn) wait() error {
	var timeout *unix.Timespec
	if d := c.deadline.Load(); d != 0 {
		left := d - time.Now().UnixNano()
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		ts := unix.NsecToTimespec(left)
		timeout = &ts
	}
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	_, err := unix.Ppoll(fds, timeout, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

// WriteTo implements [net.PacketConn]; to is a [*net.IPAddr] of IPv4.
func (c *icmpConn) WriteTo(p []byte, to net.Addr) (int, error) {
	ip, ok := to.(*net.IPAddr)
	if !ok || ip.IP.To4() == nil || len(p) == 0 {
		return 0, unix.EINVAL
	}
	sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte(ip.IP.To4())}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			0, uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Close implements [net.PacketConn].
func (c *icmpConn) Close() error { return unix.Close(c.fd) }

// LocalAddr implements [net.PacketConn].
func (c *icmpConn) LocalAddr() net.Addr { return &net.IPAddr{} }

// SetDeadline implements [net.PacketConn]; writing has no deadline.
func (c *icmpConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements [net.PacketConn]; a ReadFrom that waits keeps the old one.
func (c *icmpConn) SetReadDeadline(t time.Time) error {
	ns := int64(0)
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	c.deadline.Store(ns)
	return nil
}

// SetWriteDeadline implements [net.PacketConn]; writing never waits for long.
func (c *icmpConn) SetWriteDeadline(time.Time) error { return nil }
