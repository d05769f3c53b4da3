package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Build builds vswitchd and vsctl into dir, vswitchd with the race detector if the test has it,
// and puts the document of their API beside them. It needs the go command and a directory inside
// the module.
func Build(dir string) error {
	for _, name := range []string{"vswitchd", "vsctl"} {
		argv := []string{"build", "-buildvcs=false", "-o", filepath.Join(dir, name)}
		if RaceDetector && name == "vswitchd" {
			argv = append(argv, "-race")
		}
		argv = append(argv, "vswitch/cmd/"+name)
		if out, err := exec.Command("go", argv...).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	return copyDocument(dir)
}

// copyDocument copies the API's document into dir.
func copyDocument(dir string) error {
	source, err := exec.Command("go", "list", "-f", "{{.Dir}}", "vswitch/api").Output()
	if err != nil {
		return fmt.Errorf("find the API's document: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(source)), "openapi.yaml"))
	if err != nil {
		return fmt.Errorf("copy the API's document: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, documentFile), text, 0o644)
}

// DaemonConfig says how to run a vswitchd.
type DaemonConfig struct {
	// Program is the path of vswitchd.
	Program string
	// Namespace is the name of the network namespace that plays its machine.
	Namespace string
	// Socket is where it serves the API, StateDir where it keeps its state.
	Socket, StateDir string
	// Flags are added to those for the above. With --log-level above info it never says that
	// it is ready.
	Flags []string
	// Via is a command line that runs the one that is appended to it, such as prlimit(1).
	Via []string
}

// Daemon is a vswitchd: the process that supervises, and with it the one that carries frames.
type Daemon struct {
	*Process

	ending bool // the test itself ends it, and checks the result
	harmed bool // the test makes it report errors
}

// StartDaemon starts a vswitchd and returns at once; see [Daemon.AwaitReady].
func StartDaemon(c DaemonConfig) (*Daemon, error) {
	argv := slices.Concat(
		c.Via,
		[]string{c.Program, "--socket", c.Socket, "--state-dir", c.StateDir},
		c.Flags,
	)
	p, err := StartProcess(ProcessConfig{
		Namespace: c.Namespace, Argv: argv, Name: "vswitchd",
		Env: []string{"GORACE=exitcode=66 atexit_sleep_ms=0"},
	})
	if err != nil {
		return nil, err
	}
	return &Daemon{Process: p}, nil
}

// AwaitReady returns when the daemon says that it serves. The error says how it ended instead,
// or that ctx did.
func (d *Daemon) AwaitReady(ctx context.Context) error {
	_, err := d.Await(ctx, 0, "msg=ready")
	return err
}

// check stops the daemon at the end of its test, if it still runs, and fails the test for what
// it did or wrote and should not have.
func (d *Daemon) check(tb testing.TB) {
	tb.Helper()
	running := d.Err() == nil
	if err := d.Stop(); err != nil {
		tb.Error(err)
	}
	switch code := d.cmd.ProcessState.ExitCode(); {
	case d.ending:
	case !running:
		tb.Errorf("vswitchd ended by itself: %v", d.err)
	case code != 0:
		tb.Errorf("vswitchd stopped with exit status %d, want 0", code)
	}
	said := d.Output()
	if strings.Contains(said, "DATA RACE") || !d.harmed && strings.Contains(said, "level=ERROR") {
		tb.Error("vswitchd reports an error or a data race")
	}
	if tb.Failed() {
		tb.Logf("vswitchd wrote:\n%s", said)
	}
}
