package kerneltest

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"vswitch/internal/netns"
)

// Packet is a datagram with where it comes from or goes to.
type Packet struct {
	Addr net.Addr
	Data []byte
}

// Socket is what is open at the gateway's address of a host link: UDP, and TCP.
type Socket struct {
	net.PacketConn // none: what a test does not use fails

	Link   string
	At     netip.AddrPort
	In     chan Packet   // what it receives
	Out    chan Packet   // what it sends
	Errs   chan error    // what a read fails with
	Conns  chan net.Conn // what it accepts
	Closed chan struct{} // closed with the socket
	Lost   func(uint64)  // tells that so many datagrams were lost
	once   sync.Once
}

// ReadFrom implements [net.PacketConn].
func (s *Socket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-s.Closed:
		return 0, nil, net.ErrClosed
	case err := <-s.Errs:
		return 0, nil, err
	case p := <-s.In:
		return copy(b, p.Data), p.Addr, nil
	}
}

// WriteTo implements [net.PacketConn].
func (s *Socket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.Out <- Packet{to, slices.Clone(b)}
	return len(b), nil
}

// Close implements [net.PacketConn] and [net.Listener].
func (s *Socket) Close() error { s.once.Do(func() { close(s.Closed) }); return nil }

func (s *Socket) open() bool {
	select {
	case <-s.Closed:
		return false
	default:
		return true
	}
}

// listener is the TCP half.
type listener struct{ *Socket }

func (l listener) Accept() (net.Conn, error) {
	select {
	case <-l.Closed:
		return nil, net.ErrClosed
	case c := <-l.Conns:
		return c, nil
	}
}

func (listener) Addr() net.Addr { return &net.TCPAddr{} }

// ListenOnLink implements [kernel.HostStack]. It is called "listen".
func (k Kernel) ListenOnLink(
	link string, at netip.AddrPort, lost func(uint64),
) (netns.LinkSocket, error) {
	if err := k.failure("listen"); err != nil {
		return netns.LinkSocket{}, err
	}
	if _, err := k.Own.LinkByName(link); err != nil {
		return netns.LinkSocket{}, fmt.Errorf("listen on interface %q: %w", link, err)
	}
	s := &Socket{
		Link: link, At: at, In: make(chan Packet), Out: make(chan Packet, 16), Errs: make(chan error),
		Conns: make(chan net.Conn), Closed: make(chan struct{}), Lost: lost,
	}
	k.With(func() { k.Sockets = append(k.Sockets, s) })
	return netns.LinkSocket{UDP: s, TCP: listener{s}}, nil
}

// SocketsAt returns the open sockets at an address.
func (m *Machine) SocketsAt(addr string) (open []*Socket) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	for _, s := range m.Sockets {
		if s.open() && s.At.Addr().String() == addr {
			open = append(open, s)
		}
	}
	return open
}
