package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// task is long-lived work of the daemon without which frames are forwarded all the same: it
// cannot end the daemon. Run returns nil when ctx has ended, or when nothing is left to do. It
// may be called again after an error, and then makes up for what it has missed.
type task struct {
	name string
	run  func(ctx context.Context) error
}

// A failed task is run again after taskFirst, and after up to taskMost if it fails again. One
// that has run for taskMost counts as one that has not failed before.
const (
	taskFirst = 100 * time.Millisecond
	taskMost  = 30 * time.Second
)

// keep runs the task until ctx ends, and again after each failure. A series of failures is
// logged once.
func (t task) keep(ctx context.Context, log *slog.Logger) {
	delays := &backoff.ExponentialBackOff{
		InitialInterval: taskFirst, Multiplier: 2, MaxInterval: taskMost,
	}
	level := slog.LevelWarn
	delays.Reset()
	for {
		begun := time.Now()
		err := t.run(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= taskMost {
			delays.Reset()
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "a task has failed and is tried again until it works",
			"task", t.name, "error", err)
		level = slog.LevelDebug
		select {
		case <-ctx.Done():
			return
		case <-time.After(delays.NextBackOff()):
		}
	}
}

// Relisten returns a listener of its own on l's socket, for a server that closes its listener
// when accepting fails, which it does for as little as a moment without memory.
func Relisten(l net.Listener) (net.Listener, error) {
	socket, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("listener on %s has no socket to share", l.Addr())
	}
	file, err := socket.File()
	if err != nil {
		return nil, fmt.Errorf("share the socket %s: %w", l.Addr(), err)
	}
	defer file.Close() // FileListener has a duplicate
	shared, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("share the socket %s: %w", l.Addr(), err)
	}
	return shared, nil
}
