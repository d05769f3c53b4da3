package peer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is how long a process has to end once it was asked to; Open vSwitch
// takes some seconds to give up hundreds of ports.
const stopTimeout = 15 * time.Second

// Process is a program that runs beside the harness, such as a daemon or a load generator.
type Process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer // kept open: some daemons end with it
	output tail
	lines  chan string   // what it prints to stdout, until nobody wants it
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; valid after done
}

// startProcess starts argv in a network namespace, with env added to the environment. The
// kernel kills it when the harness dies.
func startProcess(namespace string, env []string, argv ...string) (*Process, error) {
	cmd := command(context.Background(), namespace, argv...)
	cmd.Env = append(cmd.Environ(), env...)
	// A group of its own, for Ctrl-C is meant for the harness, which then takes
	// everything down in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{
		name: filepath.Base(argv[0]), cmd: cmd, lines: make(chan string, 64), done: make(chan struct{}),
	}
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

// Await returns when p prints a line with text in it to standard output. The error says that
// p or ctx has ended before.
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

// Err returns nil while p runs, and afterwards an error with its exit status and the end of
// its output.
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

// Pid returns the process id of p.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop asks p to end, by SIGTERM and by closing its standard input, and returns when it has
// ended. A process that still runs after 15 s is killed, which the error says. Stop may be
// called again.
func (p *Process) Stop() error {
	p.signal(syscall.SIGTERM)
	p.stdin.Close()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.name, stopTimeout)
	}
}

// signal reaches the whole group of p, which is the id that no other process can
// have while p has not been waited for.
func (p *Process) signal(s syscall.Signal) {
	if p.Err() == nil {
		_ = syscall.Kill(-p.Pid(), s) // it may just have ended
	}
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
