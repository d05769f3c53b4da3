package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait. It only keeps a failing test from hanging, so it is
// long enough for a machine that is busy with other things.
const Patience = 30 * time.Second

// Process is a vswitchd, or a program that becomes one by exec.
type Process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	ready  chan struct{} // closed when it says that it serves
	exited chan struct{} // closed when it has ended and been waited for
	err    error         // of the wait; valid once exited is closed
	ending bool          // the test itself ends it, and looks at the result
	harmed bool          // the test makes it report errors

	mu  sync.Mutex
	log strings.Builder // guarded by mu
}

// Start runs argv in ns. If it still runs when the test ends it is told to stop,
// and must do so with exit status 0. A data race or an error in its log fails the
// test.
func Start(tb testing.TB, ns *Namespace, argv ...string) *Process {
	tb.Helper()
	p := &Process{tb: tb, ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd = ns.Exec(context.Background(), argv...)
	p.cmd.Env = append(os.Environ(), "GORACE=exitcode=66 atexit_sleep_ms=0")
	// It must not outlive a test process that dies without cleaning up.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start %q: %v", argv, err)
	}
	go p.follow(stderr)
	tb.Cleanup(p.end)
	return p
}

// follow reads what the process says until it has ended.
func (p *Process) follow(stderr io.Reader) {
	defer close(p.exited)
	said := sync.OnceFunc(func() { close(p.ready) })
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		if strings.Contains(lines.Text(), "msg=ready") {
			said()
		}
	}
	p.err = p.cmd.Wait()
}

// Said is all that the process has written to standard error.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// AwaitReady returns when the process says that it serves. The error says how it
// ended instead, or that it took longer than [Patience].
func (p *Process) AwaitReady() error {
	select {
	case <-p.ready:
		return nil
	case <-p.exited:
		return fmt.Errorf("vswitchd ended instead of serving: %w: %s", p.err, p.Said())
	case <-time.After(Patience):
		return fmt.Errorf("vswitchd does not serve after %s: %s", Patience, p.Said())
	}
}

// Harmed says that the test is about to harm the process, which may report errors
// from then on.
func (p *Process) Harmed() { p.harmed = true }

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends s to the process, whose end is then the caller's business.
func (p *Process) Signal(s os.Signal) error {
	p.ending = true
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to vswitchd: %w", s, err)
	}
	return nil
}

// Wait returns the exit status once the process has ended, -1 when a signal ended
// it. The error says that it has not within [Patience].
func (p *Process) Wait() (int, error) {
	p.ending = true
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(Patience):
		return 0, fmt.Errorf("vswitchd has not ended after %s: %s", Patience, p.Said())
	}
}

// Stop asks the process to end by SIGTERM and returns when it has. The error says
// that it ended with another exit status than 0, or not within [Patience].
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	code, err := p.Wait()
	if err == nil && code != 0 {
		err = fmt.Errorf("vswitchd stopped with exit status %d, want 0: %s", code, p.Said())
	}
	return err
}

// Kill ends the process by SIGKILL and returns when it has ended.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_, err := p.Wait()
	return err
}

// end stops the process at the end of its test and looks back at its life.
func (p *Process) end() {
	running := true
	select {
	case <-p.exited:
		running = false
	default:
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may end by itself just now
	}
	select {
	case <-p.exited:
	case <-time.After(Patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.tb.Errorf("vswitchd did not stop within %s of SIGTERM", Patience)
	}
	switch code := p.cmd.ProcessState.ExitCode(); {
	case p.ending:
	case !running:
		p.tb.Errorf("vswitchd ended by itself: %v", p.err)
	case code != 0:
		p.tb.Errorf("vswitchd stopped with exit status %d, want 0", code)
	}
	if strings.Contains(p.Said(), "DATA RACE") || !p.harmed && strings.Contains(p.Said(), "level=ERROR") {
		p.tb.Error("vswitchd reports an error or a data race")
	}
	if p.tb.Failed() {
		p.tb.Logf("vswitchd said:\n%s", p.Said())
	}
}
