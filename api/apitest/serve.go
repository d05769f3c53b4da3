// Package apitest serves an [api.Backend] on a socket, for tests of whatever speaks to one.
package apitest

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"vswitch/api"
)

// Socket returns a path for a socket that is short enough wherever the test runs;
// its directory goes at the test's end.
func Socket(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "vs")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return filepath.Join(dir, "vswitchd.sock")
}

// Serve offers b on a socket until the test's end and returns the socket's path.
func Serve(tb testing.TB, b api.Backend) string {
	tb.Helper()
	path := Socket(tb)
	l, err := api.Listen(path)
	if err != nil {
		tb.Fatal(err)
	}
	server := api.NewServer(b, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // requests that a test left hanging are cut off
		_ = server.Shutdown(ctx)
		if err := <-served; err != nil {
			tb.Errorf("serving: %v", err)
		}
	})
	return path
}

// ServeRaw has f answer each connection on a socket, one after the other, until the
// test's end, and closes the connection behind it. It returns the socket's path.
func ServeRaw(tb testing.TB, f func(net.Conn)) string {
	tb.Helper()
	path := Socket(tb)
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	tb.Cleanup(func() { l.Close(); <-done })
	return path
}
