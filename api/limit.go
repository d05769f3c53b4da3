package api

import (
	"net"
	"sync"
)

// limitListener accepts a connection only while fewer than a limit are open.
type limitListener struct {
	net.Listener
	slots  chan struct{}
	full   func() // called when it begins to wait for a slot
	closed chan struct{}
	once   sync.Once
}

func newLimitListener(l net.Listener, limit int, full func()) *limitListener {
	return &limitListener{
		Listener: l, slots: make(chan struct{}, limit), full: full, closed: make(chan struct{}),
	}
}

// Accept waits for a slot and then for a connection; Close ends both waits.
func (l *limitListener) Accept() (net.Conn, error) {
	if err := l.await(); err != nil {
		return nil, err
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitConn{
		Conn: c, caller: callerOf(c), release: sync.OnceFunc(func() { <-l.slots }),
	}, nil
}

// await takes a slot.
func (l *limitListener) await() error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
		l.full()
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-l.closed:
		return net.ErrClosed
	}
}

// Close closes the listener below; open connections stay.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitConn gives its slot back when it is closed.
type limitConn struct {
	net.Conn
	caller
	release func()
}

// Close may be called more than once.
func (c *limitConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
