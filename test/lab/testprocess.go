package lab

import (
	"context"
	"syscall"
	"testing"
)

// TestProcess is a [Process] of a test, whose failures fail the test.
type TestProcess struct {
	*Process
	tb testing.TB
}

// NewTestProcess starts a program; if it still runs when the test ends it is killed, with all
// that it has started.
func NewTestProcess(tb testing.TB, c ProcessConfig) *TestProcess {
	tb.Helper()
	p, err := StartProcess(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if p.Err() == nil {
			_ = p.signalGroup(syscall.SIGKILL) // it may have ended just now
		}
		<-p.exited
	})
	return &TestProcess{p, tb}
}

// Start starts a program in the container; see [NewTestProcess].
func (c *Container) Start(argv ...string) *TestProcess {
	c.Helper()
	return NewTestProcess(c, ProcessConfig{Namespace: c.Name(), Argv: argv})
}

// AwaitLine returns the first line that has all parts in it, as [Process.Await] does.
func (p *TestProcess) AwaitLine(from int, parts ...string) string {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.tb.Context(), Patience)
	defer cancel()
	line, err := p.Await(ctx, from, parts...)
	if err != nil {
		p.tb.Fatal(err)
	}
	return line
}

// AwaitExit returns the exit status once the process has ended, -1 when a signal ended it.
func (p *TestProcess) AwaitExit() int {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.tb.Context(), Patience)
	defer cancel()
	code, err := p.Wait(ctx)
	if err != nil {
		p.tb.Fatal(err)
	}
	return code
}
