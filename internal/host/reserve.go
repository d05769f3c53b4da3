package host

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Why a port cannot be reserved, for [errors.Is].
var (
	ErrInUse   = errors.New("port in use")
	ErrNotHost = errors.New("not an address of this host")
)

// Reservation keeps ports of the host from other programs for as long as they are
// published: the kernel would send what comes to them past those programs.
//
// Its sockets are bound and, for TCP, listen, since bound ones alone do not stop
// another program. A filter drops whatever comes to them. That is nothing while the
// rules are there; in the moment before [Table.Run] has put them back, a client
// tries again instead of being refused.
type Reservation struct {
	port    uint16
	sockets []int
}

// Reserve reserves count ports from port on, at one address of the host or, if it
// is zero or unspecified, at all. Port 0 is one that is free, for a count of 1.
func Reserve(p Protocol, host netip.Addr, port uint16, count int) (*Reservation, error) {
	if !host.IsValid() {
		host = netip.IPv4Unspecified()
	}
	if _, known := p.number(); !known || !host.Is4() || count < 1 || int(port)+count-1 > 65535 || port == 0 && count > 1 {
		return nil, fmt.Errorf("reserve %d ports from %d on of %s/%s: want IPv4, tcp or udp, and ports up to 65535", count, port, host, p)
	}
	r := &Reservation{port: port}
	for i := range count {
		if err := r.add(p, netip.AddrPortFrom(host, port+uint16(i))); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// Port is the first port, also when that was for us to choose.
func (r *Reservation) Port() uint16 { return r.port }

// Share has the reservation of one of the ports, made before all others, leave room
// for sockets of the same user that say so too (SO_REUSEPORT, socket(7)): such as
// our own, at one address and by one link.
func (r *Reservation) Share(port uint16) error {
	i := int(port) - int(r.port)
	if i < 0 || i >= len(r.sockets) {
		return fmt.Errorf("share port %d: it is not one of the %d from %d on", port, len(r.sockets), r.port)
	}
	if err := unix.SetsockoptInt(r.sockets[i], unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("share port %d: %w", port, err)
	}
	return nil
}

// Close gives the ports back.
func (r *Reservation) Close() {
	for _, fd := range r.sockets {
		_ = unix.Close(fd) // it has nothing to lose
	}
	r.sockets = nil
}

func (r *Reservation) add(p Protocol, at netip.AddrPort) error {
	kind := unix.SOCK_STREAM
	if p == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("reserve port %d/%s: %w", at.Port(), p, err)
	}
	r.sockets = append(r.sockets, fd)
	err = occupy(fd, kind, at)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w: %d/%s of %s belongs to another program", ErrInUse, at.Port(), p, at.Addr())
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w: %s", ErrNotHost, at.Addr())
	case err != nil:
		return fmt.Errorf("reserve port %d/%s of %s: %w", at.Port(), p, at.Addr(), err)
	}
	if at.Port() == 0 {
		own, err := unix.Getsockname(fd)
		if err != nil {
			return fmt.Errorf("look up the port that was free: %w", err)
		}
		r.port = uint16(own.(*unix.SockaddrInet4).Port)
	}
	return nil
}

func occupy(fd, kind int, at netip.AddrPort) error {
	dropAll := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &dropAll})
	if err != nil {
		return err
	}
	if kind == unix.SOCK_STREAM {
		// Else connections of the program before, in TIME_WAIT, would be in the way.
		// UDP has no such thing, and two sockets with this could share a port.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		return err
	}
	if kind == unix.SOCK_DGRAM {
		return nil
	}
	return unix.Listen(fd, 1)
}
