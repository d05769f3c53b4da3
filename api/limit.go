package api

import (
	"errors"
	"net"
	"sync"
)

// limits bound how many connections are open.
type limits struct {
	all    int // further ones wait in the socket's backlog
	others int // of those that are not root's; less than all
	queue  int // of the latter that wait here, so that root's get past them; further ones are closed
}

// limitListener accepts a connection only while fewer than a limit are open, and keeps some
// places for root.
//
//	accept ─▶ root's, or one of the others' places free ─▶ Accept
//	             │ no                                         ▲
//	             ▼                                            │ a place
//	          waiting ────────────────────────────────────────┘
//
// [golang.org/x/net/netutil.LimitListener] would count all alike, and leave root's connection
// behind those of others that wait.
//
// The kernel says whose a connection is only once it is accepted.
type limitListener struct {
	net.Listener
	limits limits
	who    func(net.Conn) *Peer
	full   func() // called when connections begin to wait, or are closed

	places chan struct{} // one in it for each connection that is open
	ready  chan net.Conn // for Accept; never more than places
	failed chan error    // for Accept
	closed chan struct{} // by Close
	ended  chan struct{} // closed when nothing comes to ready any more
	once   sync.Once

	mu      sync.Mutex
	others  int          // that are open
	waiting []*limitConn // of them, for a place
}

// newLimitListener takes l, of whose connections who says whose they are. One goroutine accepts
// them until Close.
func newLimitListener(
	l net.Listener, limits limits, who func(net.Conn) *Peer, full func(),
) *limitListener {
	limited := &limitListener{
		Listener: l, limits: limits, who: who, full: full,
		places: make(chan struct{}, limits.all), ready: make(chan net.Conn, limits.all),
		failed: make(chan error), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	go limited.accept()
	return limited
}

// Accept waits for a connection that has a place. After Close it returns those that had one
// before it returns [net.ErrClosed].
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.ended:
	}
	select {
	case c := <-l.ready:
		return c, nil
	default:
		return nil, net.ErrClosed
	}
}

// accept takes connections while there are places, and hands them to Accept or has them wait. Close
// ends it.
func (l *limitListener) accept() {
	defer close(l.ended)
	for l.await() {
		c, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-l.places
			select {
			case l.failed <- err:
			case <-l.closed:
				return
			}
			continue
		}
		accepted := &limitConn{Conn: c, Peer: l.who(c)}
		accepted.release = sync.OnceFunc(func() { l.release(accepted) })
		if l.admit(accepted) {
			l.ready <- accepted
		} else {
			<-l.places
		}
	}
}

// await takes a place, and is false when the listener is closed.
func (l *limitListener) await() bool {
	select {
	case l.places <- struct{}{}:
		return true
	default:
		l.full()
	}
	select {
	case l.places <- struct{}{}:
		return true
	case <-l.closed:
		return false
	}
}

// admit says whether a connection may have the place that was taken for it. Another one is
// kept waiting, or closed.
func (l *limitListener) admit(c *limitConn) bool {
	if c.isRoot() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.others < l.limits.others {
		l.others++
		return true
	}
	if len(l.waiting) == 0 || len(l.waiting) == l.limits.queue {
		l.full()
	}
	if len(l.waiting) == l.limits.queue {
		c.Conn.Close()
	} else {
		l.waiting = append(l.waiting, c)
	}
	return false
}

// release gives the place of a connection to one that waits, or to any.
func (l *limitListener) release(c *limitConn) {
	if c.isRoot() {
		<-l.places
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.others--
		<-l.places
		return
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.ready <- next
}

// Close closes the listener below and the connections that wait; the others stay.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	err := l.Listener.Close()
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.waiting {
		c.Conn.Close()
	}
	l.waiting = nil
	return err
}

// limitConn gives its place back when it is closed.
type limitConn struct {
	net.Conn
	*Peer
	release func()
}

// Close may be called more than once.
func (c *limitConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
