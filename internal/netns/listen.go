package netns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// LinkSocket takes datagrams and connections that come in by one link.
type LinkSocket struct {
	UDP net.PacketConn
	TCP net.Listener
}

// Close closes both; it may be called more than once.
func (s LinkSocket) Close() {
	_ = s.UDP.Close()
	_ = s.TCP.Close()
}

// listenBuffer is the room in bytes for datagrams that have not been read: some thousands that
// are as short as questions for a name.
const listenBuffer = 4 << 20

// ListenOnLink listens at an address for what comes in by a link of the calling
// thread's namespace, and nothing else (SO_BINDTODEVICE, socket(7)). The link may
// be without the address for now (IP_FREEBIND, ip(7)). Sockets of the same user
// that have SO_REUSEPORT as well do not stand in the way. lost is called by who reads
// datagrams, with the number of those before that found no room.
func ListenOnLink(link string, at netip.AddrPort, lost func(n uint64)) (LinkSocket, error) {
	config := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		var err error
		controlled := c.Control(func(fd uintptr) {
			err = prepareListen(int(fd), link, network == "udp4")
		})
		return errors.Join(controlled, err)
	}}
	var s LinkSocket
	udp, err := config.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return s, fmt.Errorf("listen on interface %q: %w", link, err)
	}
	s.UDP = &datagrams{
		UDPConn: udp.(*net.UDPConn), control: make([]byte, unix.CmsgSpace(4)), onLost: lost,
	}
	if s.TCP, err = config.Listen(context.Background(), "tcp4", at.String()); err != nil {
		_ = s.UDP.Close()
		return s, fmt.Errorf("listen on interface %q: %w", link, err)
	}
	return s, nil
}

func prepareListen(fd int, link string, udp bool) error {
	err := errors.Join(
		unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, link),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	if udp {
		// Without it the default must do.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, listenBuffer)
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1))
	}
	return err
}

// datagrams is a UDP socket that says how many datagrams found no room in it (SO_RXQ_OVFL,
// socket(7)). One goroutine may read it.
type datagrams struct {
	*net.UDPConn
	control []byte
	lost    uint32 // as the kernel counts
	onLost  func(n uint64)
}

// ReadFrom implements [net.PacketConn].
func (d *datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	n, cn, _, from, err := d.ReadMsgUDP(b, d.control)
	if err != nil {
		return n, nil, err
	}
	d.count(d.control[:cn])
	return n, from, nil
}

// count reads the control data that came with a datagram: none as long as none is lost.
func (d *datagrams) count(control []byte) {
	if len(control) == 0 {
		return
	}
	h, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || h.Level != unix.SOL_SOCKET || h.Type != unix.SO_RXQ_OVFL || len(data) < 4 {
		return
	}
	if lost := binary.NativeEndian.Uint32(data); lost != d.lost {
		d.onLost(uint64(lost - d.lost))
		d.lost = lost
	}
}
