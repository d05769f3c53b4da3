package control

import (
	"bytes"
	"log/slog"
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
