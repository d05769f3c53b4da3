package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	mdns "github.com/miekg/dns"
)

// Bounds of what is served over TCP (RFC 7766 §6.2.2, §6.2.3).
const (
	maxConns     = 64 // of a segment
	maxConnsEach = 16 // of a client
	idleTimeout  = 10 * time.Second
)

// ServeUDP answers what comes to conn until it is closed by the caller.
func (r *Resolver) ServeUDP(conn net.PacketConn) error {
	buf := make([]byte, mdns.MaxMsgSize)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		r.Handle(buf[:n], addrOf(from), maxUDP, func(answer []byte) {
			_, _ = conn.WriteTo(answer, from) // a client that is gone misses nothing
		})
	}
}

// ServeTCP answers who connects to l until it is closed by the caller. Each
// connection's queries are answered one after the other.
func (r *Resolver) ServeTCP(l net.Listener) error {
	conns := newSlots(maxConns, maxConnsEach)
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		from := addrOf(conn.RemoteAddr())
		if !r.config.Subnet.Contains(from) || !conns.take(from) {
			_ = conn.Close()
			continue
		}
		spawned := r.spawn(func() {
			defer conns.give(from)
			r.serveConn(conn, from)
		})
		if !spawned {
			_ = conn.Close()
			return nil
		}
	}
}

// serveConn answers one connection's queries until the client closes it, is idle
// for too long, or the resolver is closed.
func (r *Resolver) serveConn(conn net.Conn, from netip.Addr) {
	defer conn.Close()
	defer context.AfterFunc(r.ctx, func() { _ = conn.Close() })()
	for {
		_ = conn.SetDeadline(time.Now().Add(idleTimeout))
		query, err := readStream(conn)
		if err != nil {
			return
		}
		answer := r.handleStream(query, from)
		if answer == nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(idleTimeout))
		framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer)))
		if _, err := conn.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

// readStream reads a message behind its length (RFC 1035 §4.2.2).
func readStream(conn io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, query)
	return query, err
}

// addrOf is the address of a socket's end; the zero Addr, which is in no subnet,
// for one that has none.
func addrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
