package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRunStopsItsChildBySIGTERM(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	pid, _ := r.up()
	r.want("environment", "[]")
	r.want("watchdog", "0s")
	r.want("names", "[gate]") // which it has not taken
	r.want("standby", "<nil>")
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	r.hears("ending")
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("child %d is still there, if only as a zombie: %v", pid, err)
	}
}

func TestRunBeforeItsChildIsUp(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

// What is there while it runs would be there still after a kill.
func TestRunLeavesNoFiles(t *testing.T) {
	dir := shortDir(t)
	t.Setenv("TMPDIR", dir)
	r := start(t, "child", nil)
	r.up()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestDescriptorsOutliveTheirChild(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	first, _ := r.up()
	r.want("keep tap0 frames", "<nil>")
	r.want("keep tap0 more", "<nil>")
	r.want("keep tap1 others", "<nil>")
	kill(t, first)
	second, _ := r.up()
	if second == first {
		t.Fatal("the killed child says that it is up")
	}
	r.want("show tap0", "[frames@6 more@4]")
	r.want("show tap1", "[others@6]")

	r.want("drop tap0", "<nil>")
	r.send("exit 0")
	r.up()
	r.want("show tap0", "[]")
	r.want("show tap1", "[others@6]")
}

func TestWhatADyingChildKeptIsNotLost(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	r.up()
	r.send("keep-and-die tap0 frames")
	r.up()
	r.want("show tap0", "[frames@6]")
}

func TestSyncSaysWhatCannotBeKept(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	pid, _ := r.up()
	r.want("fill", `keep descriptor "xxx…`)
	r.want("drop tap0", "<nil>") // is said once
	kill(t, pid)
	r.up() // with as much as fits
}

func TestDescriptorsDoNotPileUp(t *testing.T) {
	r := start(t, "child", nil) // counts what this process has open, so it is not parallel
	pid, _ := r.up()
	r.want("keep tap0 frames", "<nil>")
	kill(t, pid)
	pid, _ = r.up()
	before, child := descriptors(t), r.do("descriptors")
	for range 2 {
		kill(t, pid)
		pid, _ = r.up()
	}
	if now := r.do("descriptors"); now != child {
		t.Errorf("the child has %s descriptors open, had %s", now, child)
	}
	lab.Eventually(t, fmt.Sprintf("the parent has %d descriptors open, as before", before), func() bool {
		return descriptors(t) == before
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestFirstChildThatFailsEndsRun(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, role string
		code       int
		want       string
		change     func(*Options)
	}{
		{"wrong usage", "usage", 2, "exit status 2", nil},
		{"exits", "child", 3, "exit status 3", func(o *Options) { o.Binary = program(t, "exits") }},
		{"never ready", "mute", -1, "was not ready within 50ms", func(o *Options) { o.StartTimeout = 50 * time.Millisecond }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := start(t, test.role, test.change).wait()
			failure, ok := errors.AsType[*ExitError](err)
			if !ok || failure.Code != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Run: %v (%+v), want status %d and %q", err, failure, test.code, test.want)
			}
		})
	}
}

// A child may be killed before the parent has heard that it is ready, which says nothing of its
// configuration.
func TestFirstChildThatIsKilledIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, "child", func(o *Options) { o.Binary = program(t, "gated") })
	for range 3 {
		kill(t, r.gated())
	}
	r.gated()
	r.open()
	r.up()
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

// gated waits until the next child is at its gate, and returns its number.
func (r *rig) gated() int {
	r.t.Helper()
	line := r.heard()
	pid, found := strings.CutPrefix(line, "gated ")
	if !found {
		r.t.Fatalf("the child says %q, want that it is gated", line)
	}
	return number(r.t, pid)
}

func TestRunWithWrongOptions(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text")
	write(t, text, []byte("no program"), 0o644)
	run := filepath.Join(t.TempDir(), "run")
	write(t, run, []byte("no program"), 0o755)
	closed, _ := pipe(t)
	closed.Close()
	for want, change := range map[string]func(*Options){
		"StopTimeout is -1s":           func(o *Options) { o.StopTimeout = -time.Second },
		"no such file":                 func(o *Options) { o.Binary = "/nonexistent/program" },
		"text is not executable":       func(o *Options) { o.Binary = text },
		"no regular file":              func(o *Options) { o.Binary = "/dev/null" },
		"exec format error":            func(o *Options) { o.Binary = run },
		"without a colon":              func(o *Options) { o.Files["a:b"] = o.Files["gate"] },
		"is the supervisor's own":      func(o *Options) { o.Files["supervisor"] = o.Files["gate"] },
		`file "closed": use of closed`: func(o *Options) { o.Files["closed"] = closed },
		`file "nil": no file`:          func(o *Options) { o.Files["nil"] = nil },
	} {
		err := start(t, "child", change).wait()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Run: %v, want one line with %q", err, want)
		}
	}
}

func TestWatchdogKillsASilentChild(t *testing.T) {
	t.Parallel()
	r := start(t, "child", func(o *Options) {
		o.Binary = program(t, "heartless")
		o.Watchdog = 50 * time.Millisecond
	})
	first, _ := r.up()
	if second, _ := r.up(); second == first {
		t.Error("the silent child has not been replaced")
	}
}

func TestWatchdogLeavesALivingChildAlone(t *testing.T) {
	t.Parallel()
	r := start(t, "child", func(o *Options) { o.Watchdog = patience })
	r.up()
	r.want("watchdog", patience.String())
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	r.hears("ending")
}

func TestChildThatDoesNotStopIsKilled(t *testing.T) {
	t.Parallel()
	r := start(t, "deaf", func(o *Options) { o.StopTimeout = 50 * time.Millisecond })
	pid, _ := r.up()
	err := r.stop()
	if failure, ok := errors.AsType[*ExitError](err); !ok || failure.Code != -1 || !strings.Contains(err.Error(), "did not end within 50ms") {
		t.Errorf("Run: %v, want that the child did not end", err)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("child %d is still there: %v", pid, err)
	}
}

func TestOthersAreNotObeyed(t *testing.T) {
	t.Parallel()
	r := start(t, "child", nil)
	pid, _ := r.up()
	// This process is not the child, if its parent.
	other := &Notifier{socket: strings.Replace(r.do("socket"), "self", strconv.Itoa(pid), 1), confirms: true}
	_, w := pipe(t)
	fd, err := duplicate(w)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := other.Keep("tap0", fd); err != nil {
		t.Fatal(err)
	}
	if err := other.Drop("commands"); err != nil {
		t.Fatal(err)
	}
	if err := other.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	kill(t, pid)
	r.up() // and it has commands still
	r.want("show tap0", "[]")
}

func TestChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	reader, report := pipe(t)
	r := &rig{t: t}
	r.listen(reader)
	// A shell, since what gets LISTEN_PID must know its own number.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=report exec "$0"`, self)
	cmd.Env = append(os.Environ(), envRole+"=parent", "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{report}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	report.Close()
	child, _ := r.up()
	kill(t, cmd.Process.Pid)
	if err := cmd.Wait(); err == nil {
		t.Error("the killed parent ended well")
	}
	// The pipe ends when nobody has its other end any more: parent and child.
	if r.reports.Scan() {
		t.Errorf("the orphan says %q", r.reports.Text())
	}
	if err := r.reports.Err(); err != nil {
		t.Errorf("child %d lives: %v", child, err)
	}
}

func TestInheritedBelowSystemd(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, w := pipe(t)
	for _, test := range []struct{ variables, want string }{ // how the output ends
		{"", "false  0s []\n"},
		{
			"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=b:a NOTIFY_SOCKET=/run/n WATCHDOG_USEC=5 WATCHDOG_PID=$$",
			"false /run/n 5µs []\na 4 true <nil>\nb 3 true <nil>\n",
		},
		{"LISTEN_PID=1 LISTEN_FDS=2", "false  0s []\n"},
		{"LISTEN_PID=$$ LISTEN_FDS=20", " (\"unknown\"): bad file descriptor\n"},
		{"VSWITCH_SUPERVISOR=$PPID", "inherit the supervisor's socket: 0 descriptors are named \"supervisor\": want one\n"},
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", test.variables+` exec "$0"`, self)
		cmd.Env = []string{envRole + "=inherit", "GORACE=atexit_sleep_ms=0"}
		cmd.ExtraFiles = []*os.File{w, w}
		out, _ := cmd.Output() // it says why it fails
		if !strings.HasSuffix(string(out), test.want) {
			t.Errorf("%s: got %q, want %q", test.variables, out, test.want)
		}
	}
}
