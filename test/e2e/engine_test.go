package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

// forbidder is the name by which this test binary runs the command line that it is given where
// io_uring is forbidden.
const forbidder = "forbidder"

// forbidderMain has io_uring_setup(2) fail with EPERM, as Docker's seccomp profile does, for the
// program that it becomes, and all that this starts.
func forbidderMain() error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // struct seccomp_data: the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("forbid io_uring: %w", errno)
	}
	path, err := exec.LookPath(os.Args[1])
	if err != nil {
		return err
	}
	return syscall.Exec(path, os.Args[1:], os.Environ())
}

// forbidding is the command line that runs another where io_uring is forbidden.
func forbidding(t *testing.T, dir string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	place := dir + "/" + forbidder
	if err := os.Symlink(self, place); err != nil {
		t.Fatal(err)
	}
	return []string{place}
}

// Whatever the kernel permits, frames are carried, by what was asked for or by the next best, and
// vsctl show says why.
func TestEngines(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "prlimit")
	lab.RequireCommand(t, "setpriv")
	scarce := []string{"setpriv", "--bounding-set=-ipc_lock", "prlimit", "--memlock=65536"}
	for name, test := range map[string]struct {
		flags  []string
		by     func(dir string) []string
		io     string
		reason string
		log    string // a warning; empty: none
	}{
		"plain":      {flags: []string{"--io", "plain"}, io: "plain", reason: "it was asked for"},
		"ring":       {flags: []string{"--io", "ring"}, io: "ring", reason: "it was asked for"},
		"ring-fixed": {flags: []string{"--io", "ring-fixed"}, io: "ring-fixed"},
		"little locked memory": {
			flags: []string{"--io", "ring-fixed"}, by: func(string) []string { return scarce },
			io: "ring", reason: "RLIMIT_MEMLOCK is too small", log: "no registered buffers",
		},
		"io_uring forbidden": {
			by: func(dir string) []string { return forbidding(t, dir) },
			io: "plain", reason: "operation not permitted", log: "no io_uring",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newQuietHost(t)
			var by []string
			if test.by != nil {
				by = test.by(h.Dir)
			}
			h.StartBy(by, test.flags...)
			a, b := h.Attach("a"), h.Attach("b")
			a.Reaches(b.Addr().String())
			wantEngine(t, h.Host, test.io, test.reason)
			warned := strings.Count(h.Daemon.Output(), "level=WARN msg=\"no ")
			if test.log == "" && warned != 0 ||
				test.log != "" && (warned != 1 || !strings.Contains(h.Daemon.Output(), test.log)) {
				t.Errorf("the log has %d warnings, want %q:\n%s", warned, test.log, h.Daemon.Output())
			}
		})
	}
}

// wantEngine wants vsctl show, and the API, to say this of the worker.
func wantEngine(t *testing.T, h *lab.Host, io, reason string) {
	t.Helper()
	workers, err := h.Client.Workers(t.Context())
	if err != nil || len(workers) != 1 {
		t.Fatalf("the workers are %+v, %v, want one", workers, err)
	}
	if w := workers[0]; w.IO != io || !strings.Contains(w.Reason, reason) || (w.Reason == "") != (reason == "") {
		t.Errorf("the worker is %+v, want %s because %q", w, io, reason)
	}
	registered := slices.Contains(workers[0].Features, "registered-buffers")
	if registered != (io == "ring-fixed") {
		t.Errorf("the features are %q", workers[0].Features)
	}
	out := h.MustVsctl("show")
	if !strings.Contains(out, "\n        io: "+io+"\n") || !strings.Contains(out, reason) {
		t.Errorf("vsctl show lacks %q because %q:\n%s", io, reason, out)
	}
}
