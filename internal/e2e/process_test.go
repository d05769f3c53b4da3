package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vswitch/internal/testenv"
)

// patience bounds every wait. It only keeps a failing test from hanging, so it
// is long enough for a machine that is busy with other things.
const patience = 30 * time.Second

// process is a vswitchd, or a program that becomes one by exec.
type process struct {
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

// start runs argv in ns. If it still runs when the test ends it is told to stop,
// and must do so with exit status 0.
func start(tb testing.TB, ns *testenv.Namespace, argv ...string) *process {
	tb.Helper()
	p := &process{tb: tb, ready: make(chan struct{}), exited: make(chan struct{})}
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
func (p *process) follow(stderr io.Reader) {
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

// said is all that the process has written to standard error.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *process) awaitReady() {
	p.tb.Helper()
	select {
	case <-p.ready:
	case <-p.exited:
		p.tb.Fatalf("vswitchd ended instead of serving: %v: %s", p.err, p.said())
	case <-time.After(patience):
		p.tb.Fatalf("vswitchd does not serve after %s: %s", patience, p.said())
	}
}

// wait returns the exit status, -1 when a signal ended the process.
func (p *process) wait() int {
	p.tb.Helper()
	p.ending = true
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.tb.Fatalf("vswitchd has not ended after %s: %s", patience, p.said())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.tb.Helper()
	p.ending = true
	if err := p.cmd.Process.Signal(s); err != nil {
		p.tb.Fatalf("send %s to vswitchd: %v", s, err)
	}
}

func (p *process) end() {
	running := true
	select {
	case <-p.exited:
		running = false
	default:
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may end by itself just now
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.tb.Errorf("vswitchd did not stop within %s of SIGTERM", patience)
	}
	switch code := p.cmd.ProcessState.ExitCode(); {
	case p.ending:
	case !running:
		p.tb.Errorf("vswitchd ended by itself: %v", p.err)
	case code != 0:
		p.tb.Errorf("vswitchd stopped with exit status %d, want 0", code)
	}
	if strings.Contains(p.said(), "DATA RACE") || !p.harmed && strings.Contains(p.said(), "level=ERROR") {
		p.tb.Error("vswitchd reports an error or a data race")
	}
	if p.tb.Failed() {
		p.tb.Logf("vswitchd said:\n%s", p.said())
	}
}
