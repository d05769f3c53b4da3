package peer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"vswitch/bench/load"
)

// stopTimeout is how long a process has to end once it was asked to; Open vSwitch
// takes some seconds to give up hundreds of ports.
const stopTimeout = 15 * time.Second

// Process is a program that runs beside the harness: a daemon or a load generator.
type Process struct {
	name   string
	lab    *Lab
	cmd    *exec.Cmd
	stdin  io.Closer // kept open: some daemons end with it
	output tail
	lines  chan string   // what it prints to stdout, until nobody wants it
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; valid after done
}

// Start starts argv in a namespace. It belongs to the lab, which kills it at the
// end of the measurement if nobody has stopped it before.
func (l *Lab) Start(namespace string, env []string, argv ...string) (*Process, error) {
	cmd := inside(context.Background(), namespace, argv...)
	cmd.Env = append(cmd.Environ(), env...)
	// A group of its own, for Ctrl-C is meant for the harness, which then takes
	// everything down in order; and no orphans, should the harness be killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{name: filepath.Base(argv[0]), lab: l, cmd: cmd, lines: make(chan string, 64), done: make(chan struct{})}
	cmd.Stderr = &p.output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	l.mu.Lock()
	l.processes[p] = struct{}{}
	l.mu.Unlock()
	go p.watch(stdout)
	return p, nil
}

// watch reads what p prints until it has ended; that ends watch.
func (p *Process) watch(stdout io.Reader) {
	r := bufio.NewReaderSize(stdout, 64<<10)
	for {
		line, err := r.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.output.note(line)
			select {
			case p.lines <- line:
			default: // nobody reads; the tail has it
			}
		}
		if err != nil {
			break
		}
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// Await waits until p prints a line with text in it.
func (p *Process) Await(ctx context.Context, text string) error {
	for {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return nil
			}
		case <-p.done:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to say %q: %w", p.name, text, ctx.Err())
		}
	}
}

// Err is nil while p runs, and afterwards says how it ended.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.failure()
	default:
		return nil
	}
}

func (p *Process) failure() error {
	return fmt.Errorf("%s ended (%v): %s", p.name, p.cmd.ProcessState, p.output.String())
}

// Pid is the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop ends p, kindly at first, and returns when it has ended.
func (p *Process) Stop() error {
	p.signal(syscall.SIGTERM)
	p.stdin.Close()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-p.done:
	case <-timer.C:
		err = fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.name, stopTimeout)
		p.signal(syscall.SIGKILL)
		<-p.done
	}
	p.lab.mu.Lock()
	delete(p.lab.processes, p)
	p.lab.mu.Unlock()
	return err
}

// signal reaches the whole group of p, which is the id that no other process can
// have while p has not been waited for.
func (p *Process) signal(s syscall.Signal) {
	if p.Err() == nil {
		_ = syscall.Kill(-p.Pid(), s) // it may just have ended
	}
}

// killAll ends all processes of the stage.
func (l *Lab) killAll() error {
	l.mu.Lock()
	left := make([]*Process, 0, len(l.processes))
	for p := range l.processes {
		left = append(left, p)
	}
	l.mu.Unlock()
	var err error
	for _, p := range left {
		err = errors.Join(err, p.Stop())
	}
	return err
}

// Run runs argv in a namespace to its end and returns what it printed to stdout.
func (l *Lab) Run(ctx context.Context, namespace string, env []string, argv ...string) ([]byte, error) {
	cmd := inside(ctx, namespace, argv...)
	cmd.Env = append(cmd.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(argv[0]), ctx.Err())
	}
	if err != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %w: %s", filepath.Base(argv[0]), err, LastLines(append(stderr.Bytes(), stdout.Bytes()...)))
	}
	return stdout.Bytes(), nil
}

// helperCommand is the command line of a helper with its task.
func (l *Lab) helperCommand(name string, task any) ([]string, error) {
	text, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(l.self), name, string(text)), nil
}

// RunHelper runs a helper in a namespace to its end and decodes what it found.
func (l *Lab) RunHelper(ctx context.Context, namespace, name string, task, found any) error {
	argv, err := l.helperCommand(name, task)
	if err != nil {
		return err
	}
	out, err := l.Run(ctx, namespace, nil, argv...)
	if err != nil {
		return fmt.Errorf("helper %s: %w", name, err)
	}
	if err := json.Unmarshal(out, found); err != nil {
		return fmt.Errorf("helper %s: read what it found: %w", name, err)
	}
	return nil
}

// StartHelper starts a helper in a namespace and waits until it is ready.
func (l *Lab) StartHelper(ctx context.Context, namespace, name string, task any) (*Process, error) {
	argv, err := l.helperCommand(name, task)
	if err != nil {
		return nil, err
	}
	p, err := l.Start(namespace, nil, argv...)
	if err != nil {
		return nil, err
	}
	p.name = "helper " + name
	if err := p.Await(ctx, load.Ready); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// tail keeps the end of what a process prints.
type tail struct {
	mu  sync.Mutex
	end []byte
}

// Write implements [io.Writer]; it never fails.
func (t *tail) Write(b []byte) (int, error) {
	const most = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b...)
	if len(t.end) > most {
		t.end = append(t.end[:0], t.end[len(t.end)-most:]...)
	}
	return len(b), nil
}

func (t *tail) note(line string) { _, _ = t.Write([]byte(line + "\n")) }

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return LastLines(t.end)
}
