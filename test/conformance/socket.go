package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// receiveBuffer is how many bytes of received frames the kernel keeps for a socket,
// bookkeeping included: more than any check sends before it reads.
const receiveBuffer = 16 << 20

// socket sends and receives whole Ethernet frames on all interfaces of the namespace
// that it was opened in (packet(7)), those that come and go included. It hears
// frames for other stations too, and none that went out.
type socket struct {
	fd       int
	buf, aux []byte // what one receive fills
}

// openSocket opens one in the calling thread's namespace.
func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer},
		{unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("set option %d of a packet socket: %w", option.name, err)
		}
	}
	return &socket{fd: fd, buf: make([]byte, 1<<16), aux: make([]byte, 128)}, nil
}

// close does nothing the second time.
func (s *socket) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}

// htons is for AF_PACKET, which wants the protocol in network order.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// send sends frames one after another on an interface, until the first that its
// kernel refuses.
//
// It does so from one processor, always the same: a veth hands its frames to the
// backlog of the processor that sends, so only frames from one stay in order.
func (s *socket) send(ifName string, frames ...[]byte) error {
	// The name is looked up each time, since a port may have got a new interface.
	ifr, err := unix.NewIfreq(ifName)
	if err == nil {
		err = unix.IoctlIfreq(s.fd, unix.SIOCGIFINDEX, ifr)
	}
	if err != nil {
		return fmt.Errorf("find interface %s: %w", ifName, err)
	}
	to := &unix.SockaddrLinklayer{Ifindex: int(ifr.Uint32())}
	return onOneProcessor(func() error {
		for _, b := range frames {
			err := unix.Sendto(s.fd, b, 0, to)
			for err == unix.EINTR {
				err = unix.Sendto(s.fd, b, 0, to)
			}
			if err != nil {
				return fmt.Errorf("send %d bytes on %s: %w", len(b), ifName, err)
			}
		}
		return nil
	})
}

// onOneProcessor runs f on the first of the processors that this process may use.
func onOneProcessor(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allowed, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("read the thread's processors: %w", err)
	}
	for i := range len(allowed) * 64 {
		if allowed.IsSet(i) {
			first.Set(i)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &first); err != nil {
		return fmt.Errorf("bind the thread to a processor: %w", err)
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &allowed))
}

// receive is the next frame, or nil if none comes before the deadline.
func (s *socket) receive(deadline time.Time) ([]byte, error) {
	for {
		n, auxLen, _, _, err := unix.Recvmsg(s.fd, s.buf, s.aux, unix.MSG_DONTWAIT)
		switch err {
		case nil:
			return withTag(s.buf[:n], s.aux[:auxLen]), nil
		case unix.EAGAIN:
			left := time.Until(deadline)
			if left <= 0 {
				return nil, nil
			}
			wait := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(wait, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
				return nil, fmt.Errorf("wait for a frame: %w", err)
			}
		case unix.EINTR, unix.ENETDOWN: // an interface that went down is no end
		default:
			return nil, fmt.Errorf("receive a frame: %w", err)
		}
	}
}

// auxdataLen is the size in bytes of struct tpacket_auxdata: status, length, snapped
// length, two offsets, and from byte 16 on the tag's control information and EtherType.
const auxdataLen = 20

// withTag puts the outer VLAN tag back, which the kernel takes out of the frame and
// tells beside it (PACKET_AUXDATA, packet(7)). What it returns is a copy.
func withTag(b, control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(b) < 14 {
		return bytes.Clone(b)
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < auxdataLen {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data)
		if status&unix.TP_STATUS_VLAN_VALID != 0 {
			t := dot1q(binary.NativeEndian.Uint16(m.Data[16:]))
			if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
				t.etherType = binary.NativeEndian.Uint16(m.Data[18:])
			}
			return tagged(b, t)
		}
	}
	return bytes.Clone(b)
}

// lost is how many frames the kernel had no room for since it was last asked.
func (s *socket) lost() (int, error) {
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read a packet socket's statistics: %w", err)
	}
	return int(stats.Drops), nil
}
