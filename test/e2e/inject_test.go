package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/store"
	"vswitch/test/lab"
)

// injectState has strace(1) tamper with the carrier's system calls on the state file,
// until the function that it returns is called.
func (h *host) injectState(fault string) (end func()) {
	h.Helper()
	return h.inject(h.Carrier(), fault, filepath.Join(h.StateDir, store.FileName))
}

// inject is as injectState for any process of the daemon and for other files, by their paths or
// as "socket:[INODE]"; without files it is for all system calls of the kind.
func (h *host) inject(pid int, fault string, files ...string) (end func()) {
	h.Helper()
	lab.RequireCommand(h, "strace")
	calls, _, _ := strings.Cut(fault, ":")
	args := []string{"-f", "-o", filepath.Join(h.TempDir(), "strace.log"), "-p", strconv.Itoa(pid)}
	for _, file := range files {
		args = append(args, "-P", file)
	}
	args = append(args, "-e", "trace="+calls, "-e", "inject="+fault)
	cmd := exec.Command("strace", args...)
	said := &strings.Builder{}
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended with the carrier
		_ = cmd.Wait()
	}
	h.Cleanup(end)
	h.Eventually("strace holds all threads of the process", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(threads) == 0 {
			h.Fatalf("the process has no threads: %v", err)
		}
		for _, status := range threads {
			text, err := os.ReadFile(status)
			if err == nil && !strings.Contains(string(text), fmt.Sprintf("TracerPid:\t%d\n", cmd.Process.Pid)) {
				return false
			}
		}
		return true
	})
	return end
}

// TestStateDiskErrors: a disk that fails while a change is written, or made
// durable, costs that change and no other, and no frame.
func TestStateDiskErrors(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"pwrite64", "fdatasync"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, b := h.furnish()
			h.Harmed()
			before := h.picture()
			mended := h.injectState(call + ":error=EIO")
			_, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: "refused"})
			if err == nil || !strings.Contains(err.Error(), "input/output error") {
				t.Errorf("a change on a disk that fails: %v, want input/output error", err)
			}
			mended() // and the carrier has its full speed back
			a.Reaches(b.Addr().String())
			if now := h.picture(); now != before {
				t.Errorf("after the refused change the switch was\n%s\nand is\n%s", before, now)
			}
			// Where nobody can know what is on the disk, the daemon takes no more
			// changes, and says what to do.
			if _, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: "later"}); err == nil {
				if _, err := h.Client.DeleteSegment(t.Context(), "later", false); err != nil {
					t.Error(err)
				}
			} else if !strings.Contains(err.Error(), "check the disk and restart") {
				t.Errorf("a change after the disk was mended: %v", err)
			}
			h.killDaemon()
			for _, line := range strings.Split(before, "\n") {
				if !strings.Contains(h.picture(), line) {
					t.Errorf("the restart has lost %s; there is\n%s", line, h.picture())
				}
			}
			a.Reaches(b.Addr().String())
		})
	}
}

// TestKilledAtEachWrite: the carrier is killed as it begins a write of the state
// file, or to make it durable. What was acknowledged stays.
func TestKilledAtEachWrite(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Harmed()
	kills := 0
	for _, call := range []string{"pwrite64", "fdatasync"} {
		for n := 1; n <= rounds(t, 4, 8); n++ {
			before := h.picture()
			end := h.injectState(fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n))
			victim := h.Carrier()
			name := fmt.Sprintf("s%d", kills)
			// An answer may be lost with the carrier; then only the state tells.
			_, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: name})
			h.Eventually("a carrier answers", func() bool {
				_, err := h.Client.Version(t.Context())
				return err == nil
			})
			end()
			if h.Carrier() != victim {
				kills++
			}
			after := h.picture()
			for _, line := range strings.Split(before, "\n") {
				if !strings.Contains(after, line) {
					t.Fatalf("killed at %s %d, it has lost %s; there is\n%s", call, n, line, after)
				}
			}
			made := strings.Contains(after, " "+name+" ")
			if err == nil && !made {
				t.Errorf("killed at %s %d, segment %s was acknowledged and is not there", call, n, name)
			}
			if made {
				if _, err := h.Client.DeleteSegment(t.Context(), name, false); err != nil {
					t.Error(err)
				}
			}
			a.Reaches(b.Addr().String())
		}
	}
	if kills < 2 {
		t.Errorf("the carrier was killed %d times: the test shows nothing", kills)
	}
	t.Logf("killed %d times", kills)
}

// TestLostPortIsReleasedAfterAClockJump: a clock that was ahead when the port was
// lost must not keep it for the difference.
func TestLostPortIsReleasedAfterAClockJump(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	a.Remove()
	h.Eventually("the port is lost", func() bool { return h.Port("a").State == api.PortLost })
	h.Stop()
	db, err := store.Open(h.StateDir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	state, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range state.Ports {
		if p.Name == "a" {
			p.LostSince = p.LostSince.Add(10 * 365 * 24 * time.Hour)
			if err := db.PutPort(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	h.Start("--lost-port-ttl", "300ms")
	h.Eventually("the port is released", func() bool {
		_, err := h.Client.Port(t.Context(), a.Port.ID)
		return api.KindOf(err) == api.NotFound
	})
	b.Reaches("172.17.0.1")
}

// TestOutOfMemory: a carrier that gets no more memory ends, another one takes
// over, and nothing is lost.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Harmed()
	before := h.picture()
	victim := h.Carrier()
	h.NS.Run("prlimit", "--pid", strconv.Itoa(victim), "--data=1")
	h.Eventually("the carrier has run out of memory and another has its place", func() bool {
		for range 50 { // each wants a little of it
			client := api.NewClient(h.Socket, lab.Patience)
			defer client.Close()
			_, _ = client.Ports(t.Context(), "")
		}
		v, err := h.Client.Version(t.Context())
		return err == nil && v.PID != victim
	})
	h.isStill(before)
	a.Reaches(b.Addr().String())
}
