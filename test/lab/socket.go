package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// SocketConfig says what a [Socket] sends on and receives.
type SocketConfig struct {
	// Namespace is the name of the network namespace.
	Namespace string
	// Interface is the name of the interface; empty is every one of the namespace, those that
	// come later included.
	Interface string
	// EtherType is that of the frames to receive, as unix.ETH_P_ARP; unix.ETH_P_ALL is all of
	// them, and 0 none.
	EtherType uint16
}

// Frame is what a [Socket] has received.
type Frame struct {
	Bytes []byte    // with all its VLAN tags
	At    time.Time // when the kernel took it
}

// Socket sends and receives whole Ethernet frames (packet(7)). It receives those for other hosts,
// too, which TAP and veth devices do not filter, and none that its own machine sends. Only one goroutine may receive at a time.
type Socket struct {
	conn     *packet.Conn
	raw      syscall.RawConn
	index    int    // of the interface; 0: any
	buf, aux []byte // what one receive fills
	drops    int    // so far
}

// receiveBuffer is how many bytes of received frames the kernel keeps for a socket, bookkeeping
// included: more than any test sends before it reads.
const receiveBuffer = 64 << 20

// OpenSocket opens a socket; it receives what comes from then on.
func OpenSocket(c SocketConfig) (*Socket, error) {
	var s *Socket
	err := InNamespace(c.Namespace, func() (err error) {
		s, err = openSocket(c)
		return err
	})
	return s, err
}

// openSocket opens one in the calling thread's namespace.
func openSocket(c SocketConfig) (*Socket, error) {
	link := &net.Interface{}
	if c.Interface != "" {
		var err error
		if link, err = net.InterfaceByName(c.Interface); err != nil {
			return nil, fmt.Errorf("interface %s: %w", c.Interface, err)
		}
	}
	// Nothing passes until all options are set.
	config := &packet.Config{Filter: filter(0)}
	conn, err := packet.Listen(link, packet.Raw, int(c.EtherType), config)
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: conn, index: link.Index, buf: make([]byte, 1<<16), aux: make([]byte, 256)}
	if err := s.configure(); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// filter is a program that takes the first n bytes of each frame (bpf(4)).
func filter(n uint32) []bpf.RawInstruction {
	program, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: n}})
	if err != nil {
		panic(err) // the program is constant
	}
	return program
}

func (s *Socket) configure() error {
	var err error
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return err
	}
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer},
		{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1},
		{unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		var failure error
		err := s.raw.Control(func(fd uintptr) {
			failure = unix.SetsockoptInt(int(fd), option.level, option.name, option.value)
		})
		if err = errors.Join(err, failure); err != nil {
			return fmt.Errorf("set option %d of a packet socket: %w", option.name, err)
		}
	}
	return s.conn.SetBPF(filter(1 << 18))
}

// Close closes the socket; the second time it does nothing.
func (s *Socket) Close() { _ = s.conn.Close() }

// Send sends frames one after another on the socket's interface, until the first that the
// sender's own kernel refuses.
func (s *Socket) Send(frames ...[]byte) error { return s.sendOn(s.index, frames) }

// SendOn is as Send, on the interface that has this name now.
func (s *Socket) SendOn(name string, frames ...[]byte) error {
	var index int
	var failure error
	err := s.raw.Control(func(fd uintptr) {
		var request *unix.Ifreq
		if request, failure = unix.NewIfreq(name); failure == nil {
			failure = unix.IoctlIfreq(int(fd), unix.SIOCGIFINDEX, request)
			index = int(request.Uint32())
		}
	})
	if err = errors.Join(err, failure); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return s.sendOn(index, frames)
}

// sendOn sends from one processor, always the same: a veth hands its frames to the backlog of
// the processor that sends, so only frames from one stay in order.
func (s *Socket) sendOn(index int, frames [][]byte) error {
	to := &unix.SockaddrLinklayer{Ifindex: index}
	return onOneProcessor(func() error {
		for _, b := range frames {
			var failure error
			err := s.raw.Write(func(fd uintptr) bool {
				for failure = unix.EINTR; failure == unix.EINTR; {
					failure = unix.Sendto(int(fd), b, 0, to)
				}
				return failure != unix.EAGAIN
			})
			if err = errors.Join(err, failure); err != nil {
				return fmt.Errorf("send %d bytes: %w", len(b), err)
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

// Receive returns the next frame; false says that none has come before the deadline, which may
// have passed already.
func (s *Socket) Receive(deadline time.Time) (Frame, bool, error) {
	for {
		n, control, err := s.receive(deadline)
		switch {
		case err == nil:
			f, err := received(s.buf[:n], s.aux[:control])
			return f, err == nil, err
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Frame{}, false, nil
		case errors.Is(err, unix.ENETDOWN): // the interface went down, and may come up again
		default:
			return Frame{}, false, fmt.Errorf("receive a frame: %w", err)
		}
	}
}

// receive fills buf and aux.
func (s *Socket) receive(deadline time.Time) (n, control int, err error) {
	var failure error
	once := func(fd uintptr) bool {
		for failure = unix.EINTR; failure == unix.EINTR; {
			n, control, _, _, failure = unix.Recvmsg(int(fd), s.buf, s.aux, unix.MSG_DONTWAIT)
		}
		return failure != unix.EAGAIN
	}
	// What has come already counts whatever the deadline, behind which Read does not look.
	if err = s.raw.Control(func(fd uintptr) { once(fd) }); err == nil && failure == unix.EAGAIN {
		if err = s.conn.SetReadDeadline(deadline); err == nil && !time.Now().Before(deadline) {
			err = os.ErrDeadlineExceeded
		}
		if err == nil {
			err = s.raw.Read(once)
		}
	}
	if err != nil {
		return 0, 0, err
	}
	return n, control, failure
}

// Lengths and offsets in bytes of struct tpacket_auxdata (include/uapi/linux/if_packet.h).
const (
	auxdataLen  = 20
	auxdataTCI  = 16
	auxdataTPID = 18
)

// received copies a frame and puts back its outer VLAN tag, which the kernel has taken out and
// describes beside it (PACKET_AUXDATA, packet(7)).
func received(b, control []byte) (Frame, error) {
	f := Frame{Bytes: bytes.Clone(b)}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return Frame{}, fmt.Errorf("read what came beside a frame: %w", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS:
			seconds := binary.NativeEndian.Uint64(m.Data)
			f.At = time.Unix(int64(seconds), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA &&
			len(m.Data) >= auxdataLen && len(b) >= 14:
			f.Bytes = withTag(f.Bytes, m.Data)
		}
	}
	return f, nil
}

func withTag(b, auxdata []byte) []byte {
	status := binary.NativeEndian.Uint32(auxdata)
	if status&unix.TP_STATUS_VLAN_VALID == 0 {
		return b
	}
	etherType := uint16(unix.ETH_P_8021Q)
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		etherType = binary.NativeEndian.Uint16(auxdata[auxdataTPID:])
	}
	tagged := binary.BigEndian.AppendUint16(bytes.Clone(b[:12]), etherType)
	tagged = binary.BigEndian.AppendUint16(tagged, binary.NativeEndian.Uint16(auxdata[auxdataTCI:]))
	return append(tagged, b[12:]...)
}

// Drops returns how many frames the kernel had no room for since the socket was opened: that a
// frame did not come proves nothing then.
func (s *Socket) Drops() (int, error) {
	stats, err := s.conn.Stats() // since it was last asked
	if err != nil {
		return 0, err
	}
	s.drops += int(stats.Drops)
	return s.drops, nil
}
