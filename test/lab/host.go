package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"vswitch/api"
)

// Host is a network namespace that plays a machine, with a vswitchd on it that [Build] has
// built. A method that cannot do what it says fails the test.
type Host struct {
	testing.TB

	NS *Namespace
	// Dir is an empty directory whose name leaves room for that of a socket.
	Dir string
	// Socket is where the daemon serves the API; see [Host.ServeAt].
	Socket string
	// StateDir is the daemon's; a test may choose another before it starts one.
	StateDir string
	// Daemon is the one that runs, or the last one that did.
	Daemon *Daemon
	// Client asks the daemon. What they exchange is held against the API's document.
	Client *api.Client

	proxied sync.Once
	proxy   string // socket of the proxy; see [Host.CheckedSocket]
}

// NewHost makes a host and starts vswitchd with these flags on it. If it still runs when the
// test ends it is told to stop, and must do so with exit status 0. A data race or an error in its
// log fails the test.
func NewHost(tb testing.TB, flags ...string) *Host {
	tb.Helper()
	h := NewQuietHost(tb)
	h.Start(flags...)
	return h
}

// NewQuietHost makes a host on which nothing runs yet.
func NewQuietHost(tb testing.TB) *Host {
	tb.Helper()
	dir := ShortDir(tb)
	h := &Host{TB: tb, NS: NewNamespace(tb), Dir: dir, StateDir: filepath.Join(dir, "state")}
	h.ServeAt(filepath.Join(dir, "vswitchd.sock"))
	return h
}

// ServeAt chooses where the host's daemon serves the API, before the first start.
func (h *Host) ServeAt(socket string) {
	h.Socket = socket
	h.Client = api.NewSocketClient(socket, Patience, api.WithTransport(h.check))
	h.Cleanup(h.Client.Close)
}

// ShortDir makes a temporary directory whose name leaves room for a socket's, which that of
// testing.T.TempDir may not (sun_path, unix(7)).
func ShortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "vs")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Start starts vswitchd and waits until it serves.
func (h *Host) Start(flags ...string) {
	h.Helper()
	h.StartBy(nil, flags...)
}

// StartBy is as Start, with a command line that runs vswitchd, whose own is appended to it.
func (h *Host) StartBy(program []string, flags ...string) {
	h.Helper()
	h.launch(program, flags)
	h.AwaitLog(0, "msg=ready")
}

// Launch starts vswitchd and does not wait until it serves.
func (h *Host) Launch(flags ...string) {
	h.Helper()
	h.launch(nil, flags)
}

// StartInVain starts a vswitchd that ends by itself, and returns its exit status and its output.
func (h *Host) StartInVain(flags ...string) (code int, output string) {
	h.Helper()
	h.launch(nil, flags)
	return h.AwaitExit(), h.Daemon.Output()
}

// launch starts a vswitchd that ends with the test.
func (h *Host) launch(program, flags []string) {
	h.Helper()
	d, err := StartDaemon(DaemonConfig{
		Program: Program("vswitchd"), Namespace: h.NS.Name(), Socket: h.Socket, StateDir: h.StateDir,
		Flags: flags, Via: program,
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Daemon = d
	h.Cleanup(func() { d.check(h.TB) })
}

// Harmed allows the daemon to report errors from now on, for the test is about to harm it.
func (h *Host) Harmed() { h.Daemon.harmed = true }

// AwaitExit returns the daemon's exit status once it has ended, -1 when a signal ended it.
func (h *Host) AwaitExit() int {
	h.Helper()
	h.Daemon.ending = true
	ctx, cancel := context.WithTimeout(h.Context(), Patience)
	defer cancel()
	code, err := h.Daemon.Wait(ctx)
	if err != nil {
		h.Fatal(err)
	}
	return code
}

// Stop ends the daemon by SIGTERM, and wants exit status 0.
func (h *Host) Stop() {
	h.Helper()
	if code := h.End(syscall.SIGTERM); code != 0 {
		h.Fatalf("vswitchd stopped with exit status %d, want 0: %s", code, h.Daemon.Output())
	}
}

// Kill ends the daemon by SIGKILL.
func (h *Host) Kill() {
	h.Helper()
	h.End(syscall.SIGKILL)
}

// End sends the daemon a signal that ends it, and returns its exit status.
func (h *Host) End(s syscall.Signal) int {
	h.Helper()
	h.Daemon.ending = true
	if err := h.Daemon.Signal(s); err != nil {
		h.Fatal(err)
	}
	return h.AwaitExit()
}

// Carrier returns the id of the process that carries frames, which the supervising one has
// started.
func (h *Host) Carrier() int {
	h.Helper()
	v, err := h.Client.Version(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return v.PID
}

// KillCarrier kills the process that carries frames, and returns when another one does.
func (h *Host) KillCarrier() {
	h.Helper()
	old := h.Carrier()
	WatchProcess(h.TB, old).Kill()
	// A request that comes while there is none waits for the next one.
	if now := h.Carrier(); now == old {
		h.Fatalf("process %d, which has ended, is said to carry frames", now)
	}
}

// AwaitLog returns the first line of the daemon's log that has all parts in it, among those
// after the first from ones; see [Process.Lines].
func (h *Host) AwaitLog(from int, parts ...string) string {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), Patience)
	defer cancel()
	line, err := h.Daemon.Await(ctx, from, parts...)
	if err != nil {
		h.Fatal(err)
	}
	return line
}

// LogAfter calls act, and returns the first line that the daemon logs from then on and that has
// all parts in it. The daemon must be the same one before and after.
func (h *Host) LogAfter(act func(), parts ...string) string {
	h.Helper()
	from := h.Daemon.Lines()
	act()
	return h.AwaitLog(from, parts...)
}

// Eventually is [Eventually] in the host's test.
func (h *Host) Eventually(what string, reached func() bool) {
	h.Helper()
	Eventually(h.TB, what, reached)
}

// Reaches sends three echo requests from the host and wants all answered.
func (h *Host) Reaches(to string, options ...string) {
	h.Helper()
	if r := Ping(h, h.NS, 3, to, options...); r.Received != r.Sent {
		h.Errorf("ping from the host to %s: %d of %d answered, want all:\n%s",
			to, r.Received, r.Sent, r.Output)
	}
}

// VsctlCommand returns the command vsctl with these arguments, for the host's daemon. What they
// exchange is held against the API's document.
func (h *Host) VsctlCommand(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.Context(), Program("vsctl"), args...)
	cmd.Env = append(os.Environ(), "VSWITCH_SOCKET="+h.CheckedSocket())
	return cmd
}

// Vsctl runs vsctl and returns its exit status and its output.
func (h *Host) Vsctl(args ...string) (status int, output string) {
	h.Helper()
	cmd := h.VsctlCommand(args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		h.Fatalf("run vsctl %q: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// MustVsctl returns vsctl's output, and fails the test at once unless it succeeds.
func (h *Host) MustVsctl(args ...string) string {
	h.Helper()
	status, out := h.Vsctl(args...)
	if status != 0 {
		h.Fatalf("vsctl %q: exit status %d: %s", args, status, out)
	}
	return out
}

// SocketExists says whether the daemon's socket does.
func (h *Host) SocketExists() bool {
	h.Helper()
	_, err := os.Lstat(h.Socket)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.Fatal(err)
	}
	return err == nil
}
