package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/bench/stat"
)

// rrPort is where the server of requests listens.
const rrPort = 5301

// RRServerTask is the task of the rr-server helper: to answer each byte that comes over TCP
// with that byte.
type RRServerTask struct {
	Listen netip.Addr `json:"listen"`
}

// RRTask is the task of the rr helper: to measure round-trip times of requests of one byte
// to an rr-server, one at a time on one connection, as netperf's TCP_RR does.
type RRTask struct {
	To  netip.Addr    `json:"to"`
	For time.Duration `json:"for"` // how long to send
}

// rrTimeout is how long the client waits for one answer.
const rrTimeout = 15 * time.Second

// rrWarm requests come first and are not counted.
const rrWarm = 100

// run answers one connection after another until it is killed.
func (t RRServerTask) run(out io.Writer) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(s, &unix.SockaddrInet4{Port: rrPort, Addr: t.Listen.As4()}); err != nil {
		return fmt.Errorf("listen on %s: %w", t.Listen, err)
	}
	if err := unix.Listen(s, 1); err != nil {
		return err
	}
	if err := sayReady(out); err != nil {
		return err
	}
	for {
		c, _, err := unix.Accept4(s, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		answer(c)
		unix.Close(c)
	}
}

// answer sends each byte back until the client has gone.
func answer(c int) {
	_ = unix.SetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	var b [1]byte
	for transfer(unix.SYS_READ, c, &b) == nil && transfer(unix.SYS_WRITE, c, &b) == nil {
	}
}

// transfer reads or writes one byte, blocking the thread.
func transfer(call uintptr, fd int, b *[1]byte) error {
	for {
		n, _, errno := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(b)), 1)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return errno
		case n == 0:
			return io.EOF
		default:
			return nil
		}
	}
}

func (t RRTask) run() (stat.Latencies, error) {
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return stat.Latencies{}, err
	}
	defer unix.Close(c)
	timeout := unix.NsecToTimeval(int64(rrTimeout))
	err = errors.Join(
		unix.SetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
	)
	if err != nil {
		return stat.Latencies{}, err
	}
	if err := unix.Connect(c, &unix.SockaddrInet4{Port: rrPort, Addr: t.To.As4()}); err != nil {
		return stat.Latencies{}, fmt.Errorf("connect to %s: %w", t.To, err)
	}
	times := make([]time.Duration, 0, 1<<20)
	var b [1]byte
	for i, start := 0, time.Now(); ; i++ {
		sent := time.Now()
		if i == rrWarm {
			start = sent
		}
		if i > rrWarm && sent.Sub(start) >= t.For {
			return stat.NewLatencies(times, 0), nil
		}
		if err := transfer(unix.SYS_WRITE, c, &b); err != nil {
			return stat.Latencies{}, fmt.Errorf("send request: %w", err)
		}
		if err := transfer(unix.SYS_READ, c, &b); err != nil {
			return stat.Latencies{}, fmt.Errorf("wait for answer: %w", err)
		}
		if i >= rrWarm {
			times = append(times, time.Since(sent))
		}
	}
}
