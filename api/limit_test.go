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

// endless hands out a new connection at each call.
type endless struct{ net.Listener }

func (endless) Accept() (net.Conn, error) { c, _ := net.Pipe(); return c, nil }
func (endless) Close() error              { return nil }

func TestLimitListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := 0
		l := newLimitListener(endless{}, 2, func() { full++ })
		accepted := make(chan net.Conn)
		var end error
		go func() {
			defer close(accepted)
			for {
				c, err := l.Accept()
				if err != nil {
					end = err
					return
				}
				accepted <- c
			}
		}()
		first, second := <-accepted, <-accepted
		third := func() bool {
			synctest.Wait()
			select {
			case <-accepted:
				return true
			default:
				return false
			}
		}
		if third() {
			t.Error("a third connection came in while two were open")
		}
		if full != 1 {
			t.Errorf("it said %d times that connections wait, want once", full)
		}
		first.Close()
		first.Close() // gives one slot back, not two
		if !third() {
			t.Error("no third connection came in after one was closed")
		}
		if third() {
			t.Error("a fourth connection came in while two were open")
		}
		l.Close()
		l.Close()
		if _, open := <-accepted; open || !errors.Is(end, net.ErrClosed) {
			t.Errorf("Close did not end Accept: %v", end)
		}
		second.Close()
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
