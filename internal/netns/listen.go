package netns

import (
	"context"
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

// ListenOnLink listens at an address for what comes in by a link of the calling
// thread's namespace, and nothing else (SO_BINDTODEVICE, socket(7)). The link may
// be without the address for now (IP_FREEBIND, ip(7)). Sockets of the same user
// that have SO_REUSEPORT as well do not stand in the way.
func ListenOnLink(link string, at netip.AddrPort) (LinkSocket, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		controlled := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, link),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		})
		return errors.Join(controlled, err)
	}}
	var s LinkSocket
	var err error
	if s.UDP, err = config.ListenPacket(context.Background(), "udp4", at.String()); err != nil {
		return s, fmt.Errorf("listen on interface %q: %w", link, err)
	}
	if s.TCP, err = config.Listen(context.Background(), "tcp4", at.String()); err != nil {
		_ = s.UDP.Close()
		return s, fmt.Errorf("listen on interface %q: %w", link, err)
	}
	return s, nil
}
