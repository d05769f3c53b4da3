package apitest

import (
	"context"
	"log/slog"
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
