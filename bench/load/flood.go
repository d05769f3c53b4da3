package load

import (
	"fmt"
	"io"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sinkPort is where nobody reads the datagrams that come.
const sinkPort = 5302

// FloodTask is the task of the flood helper: to send UDP datagrams to a sink as fast as the
// kernel accepts them.
type FloodTask struct {
	To    netip.Addr `json:"to"`
	Bytes int        `json:"bytes"` // of UDP payload
}

// SinkTask is the task of the sink helper: to bind a UDP socket with the smallest receive
// buffer and never read from it, as a receiver does that has stopped.
type SinkTask struct {
	Listen netip.Addr `json:"listen"`
}

// run sends until it is killed.
func (t FloodTask) run(out io.Writer) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer); err != nil {
		return err
	}
	if err := unix.Connect(s, &unix.SockaddrInet4{Port: sinkPort, Addr: t.To.As4()}); err != nil {
		return fmt.Errorf("connect to %s: %w", t.To, err)
	}
	var iovecs [fullBatch]unix.Iovec
	var headers [fullBatch]mmsghdr
	payload := make([]byte, max(t.Bytes, 1))
	for i := range headers {
		iovecs[i] = unix.Iovec{Base: &payload[0], Len: uint64(len(payload))}
		headers[i].header = unix.Msghdr{Iov: &iovecs[i], Iovlen: 1}
	}
	if err := sayReady(out); err != nil {
		return err
	}
	for {
		_, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s), uintptr(unsafe.Pointer(&headers)), fullBatch, 0, 0, 0)
		switch errno {
		case 0, unix.EINTR, unix.ENOBUFS, unix.EAGAIN, unix.ECONNREFUSED:
		default:
			return fmt.Errorf("send datagrams: %w", errno)
		}
	}
}

// run holds the socket until it is killed.
func (t SinkTask) run(out io.Writer) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, 0); err != nil { // the kernel makes it the smallest
		return err
	}
	if err := unix.Bind(s, &unix.SockaddrInet4{Port: sinkPort, Addr: t.Listen.As4()}); err != nil {
		return fmt.Errorf("bind to %s: %w", t.Listen, err)
	}
	if err := sayReady(out); err != nil {
		return err
	}
	for {
		if err := unix.Pause(); err != unix.EINTR {
			return err
		}
	}
}
