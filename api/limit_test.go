package api

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// knocks is a listener that hands out a connection for each user that is sent on it.
type knocks chan uint32

// knock is a connection that says whose it is.
type knock struct {
	net.Conn
	*Peer
	closed *bool
}

func (k knock) Close() error {
	*k.closed = true
	return nil
}

func (k knocks) Accept() (net.Conn, error) {
	uid, open := <-k
	if !open {
		return nil, net.ErrClosed
	}
	return knock{Peer: &Peer{uid: uid}, closed: new(bool)}, nil
}

func (k knocks) Close() error   { close(k); return nil }
func (k knocks) Addr() net.Addr { return nil }

// gate is a limited listener in a test.
type gate struct {
	*testing.T
	*limitListener
	knocks
	full int
}

func newGate(t *testing.T, most limits) *gate {
	g := &gate{T: t, knocks: make(knocks)}
	who := func(c net.Conn) *Peer { return c.(knock).Peer }
	g.limitListener = newLimitListener(g.knocks, most, who, func() { g.full++ })
	return g
}

// comes has a user connect, if the kernel's backlog is asked for it.
func (g *gate) comes(uid uint32) (taken bool) {
	synctest.Wait()
	select {
	case g.knocks <- uid:
		synctest.Wait()
		return true
	default:
		return false
	}
}

// let is the next connection that gets in, or nil.
func (g *gate) let() *limitConn {
	synctest.Wait()
	select {
	case c := <-g.ready:
		return c.(*limitConn)
	default:
		return nil
	}
}

// lets wants a connection of that user to get in.
func (g *gate) lets(uid uint32) *limitConn {
	g.Helper()
	c := g.let()
	if c == nil || c.uid != uid {
		g.Fatalf("got in: %+v, want one of user %d", c, uid)
	}
	return c
}

func (g *gate) letsNone() {
	g.Helper()
	if c := g.let(); c != nil {
		g.Fatalf("a connection of user %d got in", c.uid)
	}
}

// end closes the listener and those connections.
func (g *gate) end(open ...*limitConn) {
	g.Helper()
	if err := g.limitListener.Close(); err != nil {
		g.Error(err)
	}
	if _, err := g.limitListener.Accept(); !errors.Is(err, net.ErrClosed) {
		g.Errorf("Close did not end Accept: %v", err)
	}
	for _, c := range open {
		c.Close()
	}
}

func TestLimitListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, limits{all: 2, others: 1, queue: 1})
		g.comes(0)
		g.comes(0)
		first, second := g.lets(0), g.lets(0)
		if g.comes(0) {
			t.Error("a third connection was accepted while two were open")
		}
		if g.full != 1 {
			t.Errorf("it said %d times that connections wait, want once", g.full)
		}
		first.Close()
		first.Close() // gives one place back, not two
		if !g.comes(0) {
			t.Error("no third connection was accepted after one was closed")
		}
		third := g.lets(0)
		if g.comes(0) {
			t.Error("a fourth connection was accepted while two were open")
		}
		g.end(second, third)
	})
}

// TestPlacesForRoot: others have a place less, wait for their own, and root gets past them.
func TestPlacesForRoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const user, other = 1000, 1001
		g := newGate(t, limits{all: 3, others: 2, queue: 2})
		for range 4 {
			g.comes(user)
		}
		first, second := g.lets(user), g.lets(user)
		g.letsNone()
		g.comes(other) // of whom too many wait
		g.comes(0)
		root := g.lets(0)
		if g.comes(0) {
			t.Error("a fourth connection was accepted while three were open")
		}
		root.Close()
		g.letsNone()
		if second.Close(); g.others != 2 {
			t.Errorf("%d places are taken, want both", g.others)
		}
		third := g.lets(user)
		first.Close()
		fourth := g.lets(user)
		third.Close()
		g.letsNone()
		g.comes(other)
		fifth := g.lets(other)
		g.comes(other)
		waits := g.waiting[0].Conn.(knock)
		g.end(fourth, fifth)
		if !*waits.closed {
			t.Error("a connection that waited was left open")
		}
		if g.full != 4 { // others' places, their queue, all places, others' places again
			t.Errorf("it said %d times that it is full, want 4", g.full)
		}
	})
}

// lines sends each line of a log.
type lines chan string

// Write implements [io.Writer].
func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// A server with as many connections as may be counts that and says so.
func TestFullServer(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	log := make(lines, 16)
	s := NewServer(nil, slog.New(slog.NewTextHandler(log, nil)))
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	for range maxConnections {
		if s.Full() != 0 {
			t.Fatal("full before it is")
		}
		conn, err := net.Dial("unix", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	line := <-log
	if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "open=256") {
		t.Errorf("it says %q", line)
	}
	if n := s.Full(); n != 1 {
		t.Errorf("it was full %d times, want once", n)
	}
	s.http.Close()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
