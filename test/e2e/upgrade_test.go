package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

// shellProgram makes a program that a shell runs.
func shellProgram(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(lab.ShortDir(t), "vswitchd")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

// endsInItsTurn makes a program that comes up as vswitchd does, and ends when its turn has come.
func endsInItsTurn(t *testing.T) string {
	t.Helper()
	return shellProgram(t, fmt.Sprintf("exec %s \"$@\" --state-dir /proc/nothing\n", lab.Program("vswitchd")))
}

// TestUpgradeThatIsRolledBackFails: the program comes up, is given its turn and ends before it is
// ready. The program before is started again, and vsctl says so.
func TestUpgradeThatIsRolledBackFails(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Harmed()
	bad := endsInItsTurn(t)
	status, output := h.Vsctl("upgrade", bad)
	want := fmt.Sprintf("vsctl: upgrade: not upgraded: %s ended before it was ready: exit status 1: "+
		"the program before goes on as process %d\n", bad, h.Carrier())
	if status != 1 || output != want {
		t.Errorf("exit status %d with\n%swant 1 with\n%s", status, output, want)
	}
	reachesNow(a, b)

	// To what stands there now, and by a signal.
	binary := filepath.Join(lab.ShortDir(t), "vswitchd")
	copyFile(t, binary, lab.Program("vswitchd"))
	h.MustVsctl("upgrade", binary)
	if err := os.Rename(bad, binary); err != nil {
		t.Fatal(err)
	}
	status, output = h.Vsctl("upgrade")
	want = fmt.Sprintf("not upgraded: %s ended before it was ready", binary)
	if status != 1 || !strings.Contains(output, want) {
		t.Errorf("exit status %d with %q, want 1 with %q", status, output, want)
	}
	line := h.LogAfter(func() {
		if err := h.Daemon.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}, "upgrade failed, going back to the program before")
	if !strings.Contains(line, binary) || !strings.Contains(line, "exit status 1") {
		t.Errorf("the log says %q, want the program and its exit status", line)
	}
	h.MustVsctl("upgrade", lab.Program("vswitchd"))
	reachesNow(a, b)
}

// TestUpgradesAtOnce: of each it is said truly whether it has replaced the daemon.
func TestUpgradesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed() // refusals are logged
	const askers = 4
	outputs, codes := make([]string, askers), make([]int, askers)
	var tasks sync.WaitGroup
	for i := range askers {
		tasks.Go(func() { codes[i], outputs[i] = h.Vsctl("upgrade") })
	}
	tasks.Wait()
	replaced := 0
	for i, code := range codes {
		if code == 0 {
			replaced++
		} else if !strings.Contains(outputs[i], "not upgraded: ") {
			t.Errorf("vsctl %d says %q, want why there was no upgrade", i, outputs[i])
		}
	}
	if upgraded := strings.Count(h.Daemon.Output(), "msg=upgraded"); replaced == 0 || upgraded != replaced {
		t.Errorf("%d of %d say that they have replaced the daemon, which was replaced %d times:\n%s",
			replaced, askers, upgraded, strings.Join(outputs, ""))
	}
}

// TestUpgradeDuringAStopFails, while the new program comes up.
func TestUpgradeDuringAStopFails(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	gate := filepath.Join(lab.ShortDir(t), "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	slow := shellProgram(t, fmt.Sprintf("read line < %s\n", gate))
	type result struct {
		code   int
		output string
	}
	results := make(chan result)
	go func() {
		code, output := h.Vsctl("upgrade", slow)
		results <- result{code, output}
	}()
	opened, err := os.OpenFile(gate, os.O_WRONLY, 0) // once the program reads
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	h.Stop()
	if r := <-results; r.code != 1 || !strings.Contains(r.output, "not upgraded") {
		t.Errorf("exit status %d with %q, want 1 with the reason", r.code, r.output)
	}
}

// ownedBy makes a vswitchd in dir that belongs to a user and has a mode.
func ownedBy(t *testing.T, dir, name string, user int, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	copyFile(t, path, lab.Program("vswitchd"))
	if err := errors.Join(os.Chown(path, user, 0), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgradeByAMemberOfTheGroup: who may use the socket and is not root has a program run that
// root has installed, and no other.
func TestUpgradeByAMemberOfTheGroup(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Harmed()
	installed, err := os.MkdirTemp("/run", "vst-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(installed) })
	for _, dir := range []string{h.Dir, installed} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	vsctl := filepath.Join(installed, "vsctl")
	copyFile(t, vsctl, lab.Program("vsctl"))
	member := func(args ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), vsctl, append([]string{"--socket", h.Socket}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 0}}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	touched, anywhere := filepath.Join(installed, "touched"), ownedBy(t, lab.ShortDir(t), "vswitchd", 0, 0o755)
	for name, test := range map[string]struct{ program, why string }{
		"its own program":         {shellProgram(t, "touch "+touched), "is not trusted from anyone but root: "},
		"another of root's":       {vsctl, "is taken from root alone: it is a build of vswitch/cmd/vsctl"},
		"a vswitchd anywhere":     {anywhere, "is not trusted from anyone but root: "},
		"a vswitchd of a user":    {ownedBy(t, installed, "users", 65534, 0o755), "belongs to user 65534: want root"},
		"one that a group writes": {ownedBy(t, installed, "groups", 0, 0o775), "has mode 0775: want"},
		"one that all write":      {ownedBy(t, installed, "everyones", 0, 0o757), "has mode 0757: want"},
	} {
		status, output := member("upgrade", test.program)
		if status != 1 || !strings.Contains(output, test.why) {
			t.Errorf("%s: exit status %d with %q, want 1 with %q", name, status, output, test.why)
		}
	}
	if _, err := os.Stat(touched); err == nil {
		t.Error("the program of a user who is not root has run as root")
	}
	if status, output := member("upgrade", ownedBy(t, installed, "vswitchd", 0, 0o755)); status != 0 {
		t.Errorf("root's vswitchd: exit status %d with %q, want 0", status, output)
	}
	h.MustVsctl("upgrade", anywhere) // root may name any
}
