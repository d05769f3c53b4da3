package control

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func TestLinesWaitForTheEndOfAChange(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newLines(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	log := slog.New(l)
	log.Info("before")
	l.hold()
	log.Info("first", "port", "a")
	log.With("port", "b").Info("second")
	log.Debug("not wanted")
	if got, want := out.String(), "msg=before\n"; got != want {
		t.Errorf("during a change the log has %q, want %q", got, want)
	}
	for range 2 {
		l.release()
		if got, want := out.String(), "msg=before\nmsg=first port=a\nmsg=second port=b\n"; got != want {
			t.Errorf("after it the log has %q, want %q", got, want)
		}
	}
	out.Reset()
	log.Info("after")
	if got, want := out.String(), "msg=after\n"; got != want {
		t.Errorf("later the log has %q, want %q", got, want)
	}
}

// TestLinesOfAGroup wait as well, and keep their attributes.
func TestLinesOfAGroup(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newLines(slog.NewJSONHandler(&out, nil))
	log := slog.New(l).WithGroup("group").With("a", 1)
	l.hold()
	log.Info("held", "b", 2)
	if out.Len() > 0 {
		t.Errorf("during a change the log has %s", &out)
	}
	l.release()
	if got := out.String(); !strings.Contains(got, `"msg":"held","group":{"a":1,"b":2}`) {
		t.Errorf("after it the log has %s", got)
	}
}

// TestLinesOfSeveral goroutines during changes are all written, each once.
func TestLinesOfSeveral(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newLines(slog.NewTextHandler(&out, nil))
	log := slog.New(l)
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for j := range 100 {
				log.Info("line", "of", i, "number", j)
			}
		})
	}
	for range 100 {
		l.hold()
		l.release()
	}
	writers.Wait()
	if n := strings.Count(out.String(), "msg=line"); n != 400 {
		t.Errorf("%d lines were written, want 400", n)
	}
}
