package supervise

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// rig is a supervisor with a child that obeys the test.
type rig struct {
	t        *testing.T
	commands *os.File
	reports  *bufio.Scanner
	gate     *os.File // a byte lets a gated child through
	upgrade  chan struct{}
	cancel   context.CancelFunc
	result   chan error
	stopped  bool
}

// start runs a supervisor, whose children play role, until the test ends.
func start(t *testing.T, role string, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, upgrade: make(chan struct{}), result: make(chan error, 1)}
	var commands, report, gate *os.File
	commands, r.commands = pipe(t)
	gate, r.gate = pipe(t)
	reader, report := pipe(t)
	r.listen(reader)
	o := Options{
		Env:          append(os.Environ(), envRole+"="+role, "GORACE=atexit_sleep_ms=0"),
		Files:        map[string]*os.File{"commands": commands, "report": report, "gate": gate},
		Log:          slog.New(slog.NewTextHandler(io.Discard, nil)),
		Upgrade:      r.upgrade,
		StartTimeout: patience,
		StopTimeout:  patience,
	}
	if change != nil {
		change(&o)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.result <- Run(ctx, o) }()
	t.Cleanup(func() {
		if !r.stopped {
			_ = r.stop()
		}
	})
	return r
}

// listen has what children say read from reader.
func (r *rig) listen(reader *os.File) {
	r.t.Helper()
	if err := reader.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	r.reports = bufio.NewScanner(reader)
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// stop ends the supervisor and returns what Run did.
func (r *rig) stop() error {
	r.stopped = true
	r.cancel()
	return r.wait()
}

// wait is for a Run that ends by itself.
func (r *rig) wait() error {
	r.t.Helper()
	r.stopped = true
	select {
	case err := <-r.result:
		return err
	case <-time.After(patience):
		r.t.Error("Run does not return")
		return errors.New("no result")
	}
}

// heard is the next line that a child says.
func (r *rig) heard() string {
	r.t.Helper()
	if !r.reports.Scan() {
		r.t.Fatalf("nothing is heard of the child: %v", r.reports.Err())
	}
	return r.reports.Text()
}

// hears fails unless that is the next line; a want that ends in "…" is how it begins.
func (r *rig) hears(want string) {
	r.t.Helper()
	got := r.heard()
	prefix, open := strings.CutSuffix(want, "…")
	if open && strings.HasPrefix(got, prefix) || got == want {
		return
	}
	r.t.Fatalf("the child says %q, want %q", got, want)
}

// up waits until the next child is ready, and returns its process number and the
// name of its program.
func (r *rig) up() (pid int, program string) {
	r.t.Helper()
	line := r.heard()
	fields := strings.Fields(line)
	if len(fields) != 4 || fields[0] != "up" {
		r.t.Fatalf("the child says %q, want that it is up", line)
	}
	if len(fields[2]) <= 15 && fields[3] != fields[2] {
		r.t.Errorf("the kernel calls the process %q, want %q", fields[3], fields[2])
	}
	return number(r.t, fields[1]), fields[2]
}

func (r *rig) do(command string) string {
	r.t.Helper()
	r.send(command)
	return r.heard()
}

func (r *rig) send(command string) {
	r.t.Helper()
	if _, err := r.commands.WriteString(command + "\n"); err != nil {
		r.t.Fatal(err)
	}
}

// want fails unless the child answers like that.
func (r *rig) want(command, answer string) {
	r.t.Helper()
	r.send(command)
	r.hears(answer)
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// program is a copy of this test binary under a name that says what it shall do.
func program(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	write(t, path, b, 0o755)
	return path
}

// write makes a file that appears under its name complete, as an installer does.
func write(t *testing.T, path string, b []byte, mode os.FileMode) {
	t.Helper()
	// A process that is forked meanwhile would have the file open for writing until it
	// runs its program, and this one could not be run (ETXTBSY, https://go.dev/issue/22315).
	syscall.ForkLock.RLock()
	err := os.WriteFile(path+".new", b, mode)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
