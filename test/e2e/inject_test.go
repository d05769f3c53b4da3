package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/store"
	"vswitch/test/lab"
)

// injectState has strace(1) tamper with the carrier's system calls on the state file,
// until the function that it returns is called.
func (h *host) injectState(fault string) (end func()) {
	h.Helper()
	return h.inject(h.Carrier(), fault, h.stateFile())
}

// inject is as injectState for any process of the daemon and for other files, by their paths or
// as "socket:[INODE]"; without files it is for all system calls of the kind.
func (h *host) inject(pid int, fault string, files ...string) (end func()) {
	h.Helper()
	calls, _, _ := strings.Cut(fault, ":")
	_, end = h.strace(pid, []string{"-e", "trace=" + calls, "-e", "inject=" + fault}, files...)
	return end
}

// strace has strace(1) write those system calls of a process that the options and the files say
// to log, until the function that it returns is called.
func (h *host) strace(pid int, options []string, files ...string) (log string, end func()) {
	h.Helper()
	lab.RequireCommand(h, "strace")
	log = filepath.Join(h.TempDir(), "strace.log")
	args := append([]string{"strace", "-f", "-o", log, "-p", strconv.Itoa(pid)}, options...)
	for _, file := range files {
		args = append(args, "-P", file)
	}
	strace := lab.NewTestProcess(h, lab.ProcessConfig{Argv: args})
	strace.AwaitLine(0, fmt.Sprintf("Process %d attached", pid))
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		h.Fatalf("the process has no threads: %v", err)
	}
	for _, status := range threads {
		text, err := os.ReadFile(status)
		if err == nil && !strings.Contains(string(text), fmt.Sprintf("TracerPid:\t%d\n", strace.Pid())) {
			h.Fatalf("strace has not attached to each thread of the process: %s", text)
		}
	}
	return log, func() {
		if err := strace.Stop(); err != nil { // it may have ended with the process
			h.Error(err)
		}
	}
}

func (h *host) stateFile() string { return filepath.Join(h.StateDir, store.FileName) }

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
			victim := lab.WatchProcess(t, h.Carrier())
			name := fmt.Sprintf("s%d", kills)
			// An answer may be lost with the carrier; then only the state tells.
			_, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: name})
			if err != nil {
				victim.Await()
			}
			end()
			if victim.Ended() {
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
	h.loses("a", a.Remove)
	h.Stop()
	h.lostAt("a", 10*365*24*time.Hour)
	h.Start("--lost-port-ttl", "300ms")
	h.AwaitLog(0, `msg="lost port released"`, "port=a ")
	h.isReleased(a)
	b.Reaches("172.17.0.1")
}

// TestLostPortStaysAfterAClockJump: one whose clock was set ahead meanwhile is not released, and
// its address does not go to another.
func TestLostPortStaysAfterAClockJump(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, _ := h.furnish()
	h.loses("a", a.Remove)
	h.Stop()
	h.lostAt("a", -10*365*24*time.Hour)
	h.Start()
	h.hasState("a", api.PortLost)
	if other := h.Attach("other"); other.Addr() == a.Addr() {
		t.Error("another port has its address")
	}
	h.hasState("a", api.PortLost)
}

// lostAt moves, in the state on disk, the time at which a port was lost, as the clock has moved.
func (h *host) lostAt(name string, move time.Duration) {
	h.Helper()
	db, err := store.Open(h.StateDir, store.Options{})
	if err != nil {
		h.Fatal(err)
	}
	p, found := db.State().PortNamed(name)
	if !found {
		h.Fatalf("port %s is not stored", name)
	}
	p.LostSince = p.LostSince.Add(move)
	if err := db.Apply(model.PutPort(p)); err != nil {
		h.Fatal(err)
	}
	if err := db.Close(); err != nil {
		h.Fatal(err)
	}
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
	watched := lab.WatchProcess(t, victim)
	h.NS.Run("prlimit", "--pid", strconv.Itoa(victim), "--data=1")
	h.Eventually("the carrier, of which each turn wants more memory, has ended", func() bool {
		for range 50 { // each wants a little of it
			client := api.NewSocketClient(h.Socket, lab.Patience)
			defer client.Close()
			_, _ = client.Ports(t.Context(), "")
		}
		return watched.Ended()
	})
	h.isStill(before)
	a.Reaches(b.Addr().String())
}
