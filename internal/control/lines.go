package control

import (
	"context"
	"log/slog"
	"sync"
)

// lines is a [slog.Handler] that holds back what is logged during a change until readers find
// the change: whoever learns of something by the log and then asks, is told the same.
type lines struct {
	slog.Handler
	*held
}

// held is shared by a handler and those made of it.
type held struct {
	mu      sync.Mutex
	holding bool
	lines   []line
}

type line struct {
	to     slog.Handler
	record slog.Record
}

func newLines(to slog.Handler) *lines { return &lines{to, new(held)} }

// Handle implements [slog.Handler].
func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holding {
		l.lines = append(l.lines, line{l.Handler, r.Clone()})
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lines{l.Handler.WithAttrs(attrs), l.held}
}

// WithGroup implements [slog.Handler].
func (l *lines) WithGroup(name string) slog.Handler {
	return &lines{l.Handler.WithGroup(name), l.held}
}

// hold keeps lines back until release.
func (h *held) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holding = true
}

// release writes what was held back.
func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lines {
		_ = l.to.Handle(context.Background(), l.record) // nobody is there to be told
	}
	h.holding, h.lines = false, nil
}
