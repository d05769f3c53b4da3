package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// idleTimeout is how long a connection may be silent (RFC 7766 §6.2.3).
const idleTimeout = 10 * time.Second

// maxUnanswered is how many questions that were read from a socket may wait to be answered.
const maxUnanswered = 4096

// datagram is a question as it was read from a socket.
type datagram struct {
	query []byte
	from  net.Addr
}

// ServeUDP answers what comes to conn until it is closed by the caller. It reads faster than it
// answers: in the socket what one client asks would be in the way of all others. An answer goes by
// conn if aside, which knows another way, returns false.
func (r *Resolver) ServeUDP(conn net.PacketConn, aside func(to net.Addr, answer []byte) bool) error {
	done := make(chan struct{})
	var answering sync.WaitGroup
	answering.Go(func() { r.answerUDP(conn, aside, done) })
	defer answering.Wait()
	defer close(done)
	buf := make([]byte, mdns.MaxMsgSize)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		client := addrOf(from)
		if !r.unanswered.Put(client, datagram{bytes.Clone(buf[:n]), from}) {
			r.meet(QueueFull, client, 1)
		}
	}
}

// answerUDP answers what is read from conn until done is closed.
func (r *Resolver) answerUDP(
	conn net.PacketConn, aside func(to net.Addr, answer []byte) bool, done <-chan struct{},
) {
	for {
		select {
		case <-done:
			return
		case <-r.unanswered.Ready():
		}
		d, ok := r.unanswered.Take()
		if !ok {
			continue
		}
		r.Handle(d.query, addrOf(d.from), maxUDP, func(answer []byte) {
			if !aside(d.from, answer) {
				_, _ = conn.WriteTo(answer, d.from) // a client that is gone misses nothing
			}
		})
	}
}

// Unanswered returns how many questions that were read from a socket wait to be answered.
func (r *Resolver) Unanswered() int { return r.unanswered.Len() }

// ServeTCP answers who connects to l until it is closed by the caller. Each
// connection's queries are answered one after the other.
func (r *Resolver) ServeTCP(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		from := addrOf(conn.RemoteAddr())
		if !r.inSegment(from) {
			_ = conn.Close()
			continue
		}
		t := r.conns.enter(from)
		if t == nil {
			r.meet(TooManyConnections, from, 1)
			_ = conn.Close()
			continue
		}
		spawned := r.spawn(func() {
			defer t.leave()
			r.serveConn(conn, from)
		})
		if !spawned {
			t.leave()
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
		if errors.Is(err, errTooLong) {
			r.meet(TooLong, from, 1)
		}
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

// maxQuery is the size in bytes of a message that is read over TCP, many times that of any
// question. Many clients may each hold one back that is not complete.
const maxQuery = 4096

var errTooLong = errors.New("the message is too long for a question")

// readStream reads a message behind its length (RFC 1035 §4.2.2).
func readStream(conn io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > maxQuery {
		return nil, errTooLong
	}
	query := make([]byte, n)
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
