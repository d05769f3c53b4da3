package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ProcessConfig says what to run, and where.
type ProcessConfig struct {
	// Namespace is the name of the network namespace; empty is the caller's own.
	Namespace string
	// Argv is the command line, with the program's name first.
	Argv []string
	// Name is what errors call the process; empty is the program's.
	Name string
	// Env is added to the caller's environment.
	Env []string
	// Group has signals reach all processes that the program has started, too.
	Group bool
	// StopTimeout is how long it may take to end once it is asked to; 0 is [Patience].
	StopTimeout time.Duration
}

// Process is a program that runs beside a test or a measurement. The kernel kills it when the
// caller dies, so that none is left behind.
type Process struct {
	name   string
	group  bool
	grace  time.Duration // to end in
	cmd    *exec.Cmd
	stdin  io.WriteCloser // kept open: some daemons end with it
	output output
	exited chan struct{} // closed when it has ended and been waited for
	err    error         // of the wait; valid once exited is closed
}

// StartProcess starts a program.
func StartProcess(c ProcessConfig) (*Process, error) {
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	if c.Namespace != "" {
		cmd = Command(context.Background(), c.Namespace, c.Argv...)
	}
	name := cmp.Or(c.Name, filepath.Base(c.Argv[0]))
	grace := cmp.Or(c.StopTimeout, Patience)
	p := &Process{name: name, group: c.Group, grace: grace, cmd: cmd, exited: make(chan struct{})}
	p.output.more = make(chan struct{})
	cmd.Env = append(cmd.Environ(), c.Env...)
	// A group of its own: Ctrl-C is for the caller, which then ends everything in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	// A process that it has left behind may hold its output open.
	cmd.WaitDelay = Patience
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Pid returns the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Write writes to the process's standard input.
func (p *Process) Write(b []byte) (int, error) { return p.stdin.Write(b) }

// Output returns all that the process has written so far to standard output and standard error.
func (p *Process) Output() string { return p.output.text() }

// Lines returns how many lines the process has written so far, for [Process.Await].
func (p *Process) Lines() int { return len(p.output.since(0)) }

// Await returns the first line that has all parts in it, among those that the process has
// written after the first from ones or is still to write. The error says that ctx or the process
// has ended before.
func (p *Process) Await(ctx context.Context, from int, parts ...string) (string, error) {
	for {
		exited := p.Err() != nil // before the lines are read: then there will be no others
		more := p.output.signal()
		lines := p.output.since(from)
		for _, line := range lines {
			if hasAll(line, parts) {
				return line, nil
			}
		}
		from += len(lines)
		if exited {
			return "", p.Err()
		}
		select {
		case <-more:
		case <-p.exited:
		case <-ctx.Done():
			return "", fmt.Errorf("wait for %s to write %q: %w", p.name, parts, ctx.Err())
		}
	}
}

func hasAll(line string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
}

// Err is nil while the process runs, and afterwards says how it ended.
func (p *Process) Err() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended (%v): %s", p.name, p.cmd.ProcessState, p.output.tail())
	default:
		return nil
	}
}

// Signal sends a signal to the process, or to its group if it was started so. A process that
// has ended gets none.
func (p *Process) Signal(s syscall.Signal) error {
	if p.Err() != nil {
		return nil
	}
	if p.group {
		return p.signalGroup(s)
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s: %w", s, p.name, err)
	}
	return nil
}

// signalGroup sends a signal to the process, which has not ended, and to all that it has started.
func (p *Process) signalGroup(s syscall.Signal) error {
	// No other process can have the id of the group while this one has not been waited for.
	if err := syscall.Kill(-p.Pid(), s); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("send %s to %s: %w", s, p.name, err)
	}
	return nil
}

// Wait returns the exit status once the process has ended, -1 when a signal ended it. The error
// says that ctx has ended before.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for %s to end: %w: %s", p.name, ctx.Err(), p.output.tail())
	}
}

// Stop asks the process to end by SIGTERM and by closing its standard input, and returns when it
// has. One that still runs after its StopTimeout is killed, which the error says.
func (p *Process) Stop() error {
	err := p.Signal(syscall.SIGTERM)
	p.stdin.Close()
	if err != nil {
		return err
	}
	timer := time.NewTimer(p.grace)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timer.C:
		_ = p.Signal(syscall.SIGKILL) // it may have ended just now
		<-p.exited
		return fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.name, p.grace)
	}
}

// output keeps what a process writes, and tells of each new line.
type output struct {
	mu    sync.Mutex
	lines []string      // guarded by mu; complete ones
	rest  []byte        // guarded by mu; what came after the last of them
	more  chan struct{} // guarded by mu; closed, and replaced, with each new line
}

// Write implements [io.Writer]; it never fails.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, b...)
	for {
		line, rest, found := bytes.Cut(o.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		o.lines, o.rest = append(o.lines, string(line)), rest
		close(o.more)
		o.more = make(chan struct{})
	}
}

// since returns the complete lines after the first n.
func (o *output) since(n int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines[min(n, len(o.lines)):])
}

// text returns everything.
func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for _, line := range o.lines {
		b.WriteString(line + "\n")
	}
	b.Write(o.rest)
	return b.String()
}

// signal returns a channel that is closed with the next line.
func (o *output) signal() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.more
}

// tail returns the end of the output.
func (o *output) tail() string { return LastLines(o.text()) }

// LastLines returns the end of a program's output as one line, for an error.
func LastLines(text string) string {
	const most = 400
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	switch {
	case text == "":
		return "no output"
	case len(text) > most:
		return "…" + text[len(text)-most:]
	}
	return text
}
