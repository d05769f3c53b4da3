package lab

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell starts a script that ends with the test.
func shell(t *testing.T, script string) *Process {
	t.Helper()
	p, err := StartProcess(ProcessConfig{Argv: []string{"sh", "-c", script}, Env: []string{"WORD=hello"}, Group: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Signal(syscall.SIGKILL)
		if _, err := p.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestProcessAwaitsALine(t *testing.T) {
	t.Parallel()
	p := shell(t, `echo "one $WORD"; echo two >&2; read line; echo "got $line"; read line`)
	if line, err := p.Await(t.Context(), 0, "one", "hello"); err != nil || line != "one hello" {
		t.Errorf("got %q, %v; want the first line", line, err)
	}
	if _, err := p.Await(t.Context(), 0, "two"); err != nil {
		t.Errorf("a line on standard error: %v", err)
	}
	from := p.Lines()
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Await(soon, from, "one"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a line from before is awaited: %v, want the deadline", err)
	}
	if _, err := p.Write([]byte("word\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := p.Await(t.Context(), from, "got"); err != nil || line != "got word" {
		t.Errorf("got %q, %v; want the line that came later", line, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestProcessThatEndsFailsWhoAwaits(t *testing.T) {
	t.Parallel()
	p := shell(t, `echo last words; exit 3`)
	if _, err := p.Await(t.Context(), 0, "words"); err != nil {
		t.Errorf("a line from just before the end: %v", err)
	}
	_, err := p.Await(t.Context(), 0, "never")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "last words") {
		t.Errorf("got %v, want how it ended and its last words", err)
	}
	if code, err := p.Wait(t.Context()); err != nil || code != 3 {
		t.Errorf("got exit status %d, %v; want 3", code, err)
	}
	if p.Output() != "last words\n" {
		t.Errorf("output is %q", p.Output())
	}
}

func TestProcessThatDoesNotStopIsKilled(t *testing.T) {
	t.Parallel()
	p := shell(t, `trap "" TERM; echo ready; while :; do sleep 1000; done`)
	if _, err := p.Await(t.Context(), 0, "ready"); err != nil {
		t.Fatal(err)
	}
	p.grace = time.Millisecond
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("got %v, want it killed", err)
	}
	if p.Err() == nil {
		t.Error("it still runs")
	}
}

func TestTestProcessEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var parent, child *Watched
	t.Run("", func(t *testing.T) {
		p := NewTestProcess(t, ProcessConfig{Argv: []string{"sh", "-c", `sleep 1000 & echo "child $!"; wait`}})
		pid, err := strconv.Atoi(strings.TrimPrefix(p.AwaitLine(0, "child "), "child "))
		if err != nil {
			t.Fatal(err)
		}
		parent, child = WatchProcess(t, p.Pid()), WatchProcess(t, pid)
		if parent.Ended() || child.Ended() {
			t.Error("a process of a test that runs has ended")
		}
		if code := NewTestProcess(t, ProcessConfig{Argv: []string{"sh", "-c", "exit 3"}}).AwaitExit(); code != 3 {
			t.Errorf("exit status %d, want 3", code)
		}
	})
	parent.Await()
	child.Await()
}
