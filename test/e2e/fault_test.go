package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
	"vswitch/test/lab/seed"
)

// soakVariable has the fault tests run for longer than make test has time for.
const soakVariable = "VSWITCH_SOAK"

// soak is how long the fault tests shall run, and brief when nobody has said.
func soak(tb testing.TB, brief time.Duration) time.Duration {
	tb.Helper()
	text := os.Getenv(soakVariable)
	if text == "" {
		return brief
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		tb.Fatalf("$%s: %v", soakVariable, err)
	}
	return d
}

// TestFaultsInTurn does one bad thing after another under a stream, in an order
// that is told when it fails, and wants the switch to be as before each time.
func TestFaultsInTurn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.furnish()
	h.Harmed()
	before := h.picture()
	s := openStream(t, a, b)
	random := seed.New(t)
	faults := []struct {
		name string
		do   func()
	}{
		{"kill the carrier", func() { h.KillCarrier() }},
		{"kill the daemon", func() { h.killDaemon() }},
		{"upgrade", func() { h.upgradeInPlace() }},
		{"attach and detach", func() { h.churn(3) }},
		{"stop the carrier for a moment", func() { h.freezeCarrier(200 * time.Millisecond) }},
		{"stall and babble at the socket", func() { h.babble() }},
		{"many requests at once", func() { h.storm(rounds(t, 1000, 10_000)) }},
	}
	var done []string
	for begin := time.Now(); len(done) < len(faults) || time.Since(begin) < soak(t, 0); {
		f := faults[len(done)%len(faults)]
		if len(done) >= len(faults) {
			f = faults[random.IntN(len(faults))]
		}
		done = append(done, f.name)
		f.do()
		s.runs(50 * time.Millisecond)
		if after := h.picture(); after != before {
			t.Fatalf("after %q the switch was\n%s\nand is\n%s", done, before, after)
		}
	}
	s.finish()
	t.Logf("%d faults", len(done))
}

func (h *host) killDaemon() {
	h.Helper()
	h.Kill()
	h.Start()
	h.Harmed()
}

func (h *host) upgradeInPlace() {
	h.Helper()
	h.upgradeTo("")
}

// upgradeTo returns when another upgrade may begin, which is a moment after the new
// process has begun to serve.
func (h *host) upgradeTo(binary string) {
	h.Helper()
	from := h.Daemon.Lines()
	if err := h.Client.Upgrade(h.Context(), api.UpgradeSpec{Binary: binary}); err != nil {
		h.Fatal(err)
	}
	h.AwaitLog(from, "msg=upgraded")
}

func (h *host) churn(n int) {
	h.Helper()
	c := h.Container()
	defer c.Remove()
	for range n {
		h.Connect(c, "churn")
		h.DelPort("churn")
	}
}

func (h *host) freezeCarrier(d time.Duration) {
	h.Helper()
	carrier := h.Carrier()
	if err := syscall.Kill(carrier, syscall.SIGSTOP); err != nil {
		h.Fatal(err)
	}
	<-time.After(d)
	if err := syscall.Kill(carrier, syscall.SIGCONT); err != nil {
		h.Fatal(err)
	}
}

// babble leaves connections half open and sends what is no request.
func (h *host) babble() {
	h.Helper()
	for _, text := range []string{"", "GET /v1/ports HTTP/1.1\r\nHost: x\r\n", "POST /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{", "\x00\xff\x16\x03\x01garbage\r\n\r\n"} {
		conn, err := net.Dial("unix", h.Socket)
		if err != nil {
			h.Fatal(err)
		}
		h.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			h.Fatal(err)
		}
	}
}

// storm asks n times at once; each gets an answer.
func (h *host) storm(n int) {
	h.Helper()
	var asking sync.WaitGroup
	failed := make(chan error, n)
	for range n {
		asking.Go(func() {
			client := api.NewSocketClient(h.Socket, lab.Patience)
			defer client.Close()
			if _, err := client.Ports(h.Context(), ""); err != nil {
				failed <- err
			}
		})
	}
	asking.Wait()
	if len(failed) > 0 {
		h.Errorf("%d of %d requests failed: %v", len(failed), n, <-failed)
	}
}

// TestStateDiskFull has the state on a disk without room.
func TestStateDiskFull(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	if err := os.Mkdir(h.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A mount of the daemon's own, to which the containers' names still come.
	mount := fmt.Sprintf("mount -t tmpfs -o size=512k,mode=700 tmpfs %s && exec \"$@\"", h.StateDir)
	h.StartBy([]string{"unshare", "--mount", "--propagation", "slave", "sh", "-c", mount, "sh"})
	h.Harmed()
	a, b := h.Attach("a"), h.Attach("b")
	inMount := func(argv ...string) {
		t.Helper()
		h.NS.Run(append([]string{"nsenter", "--mount", "--target", strconv.Itoa(h.Daemon.Pid())}, argv...)...)
	}
	fill := filepath.Join(h.StateDir, "fill")
	inMount("sh", "-c", "cat /dev/zero >"+fill+" 2>/dev/null || true")
	full := func() (failed error) {
		for i := range 200 { // until the file must grow
			if _, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: fmt.Sprintf("s%d", i), Subnet: netip.MustParsePrefix(fmt.Sprintf("10.9.%d.0/24", i))}); err != nil {
				return err
			}
		}
		return nil
	}
	err := full()
	if err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Fatalf("on a full disk: %v, want that there is no space", err)
	}
	a.Reaches(b.Addr().String())
	before := h.picture()
	inMount("rm", fill)
	if _, err := h.Client.AddSegment(t.Context(), api.SegmentSpec{Name: "later", Subnet: netip.MustParsePrefix("10.10.0.0/24")}); err != nil {
		t.Errorf("after space was freed: %v", err)
	}
	if _, err := h.Client.DeleteSegment(t.Context(), "later", false); err != nil {
		t.Error(err)
	}
	h.KillCarrier()
	h.isStill(before)
}

// TestAttachCyclesLeaveNothing counts what the daemon's processes hold.
func TestAttachCyclesLeaveNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.Container()
	cycle := func(n int) {
		for range n {
			h.Connect(c, "c")
			h.DelPort("c")
		}
	}
	cycles, warm := 20, 5
	if os.Getenv(soakVariable) != "" {
		cycles, warm = 10_000, 1000 // the runtime's heap has its size by then
	}
	cycle(warm)
	pids := []int{h.Daemon.Pid(), h.Carrier()}
	count := func() string {
		var all []string
		for _, pid := range pids {
			fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
			if err != nil {
				t.Fatal(err)
			}
			var open []string
			for _, fd := range fds {
				target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
				kind, _, _ := strings.Cut(target, ":[")
				if kind != "socket" || len(open) == 0 { // connections come and go
					open = append(open, kind)
				}
			}
			slices.Sort(open)
			all = append(all, strings.Join(open, " "))
		}
		return strings.Join(append(all, h.NS.Links()...), "\n")
	}
	before := count()
	var rss []int // what a collection leaves differs from one to the next: many samples tell
	for range 20 {
		cycle(cycles / 20)
		rss = append(rss, residentKiB(t, pids[1]))
	}
	h.Eventually("descriptors and links are as before", func() bool { return count() == before })
	t.Logf("%d cycles; resident memory, KiB, after each twentieth of them: %v", cycles, rss)
	if p := h.Connect(c, "c"); !p.IPs[0].IsValid() {
		t.Error("no address for the next port")
	}
}

// residentKiB is VmRSS of a process.
func residentKiB(tb testing.TB, pid int) int {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	tb.Fatalf("process %d has no VmRSS", pid)
	return 0
}

// TestDeletedNamespaceIsReallyGone ends a namespace under traffic. Half of a veth
// pair tells when the kernel has taken it down, which it does only once nothing
// keeps it.
func TestDeletedNamespaceIsReallyGone(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(h *host){
		"as attached":           func(*host) {},
		"opened anew":           func(h *host) { h.killDaemon() },
		"opened anew, and kept": func(h *host) { h.killDaemon(); h.KillCarrier() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, b := h.furnish()
			doomed := h.Attach("doomed")
			ends(h)
			s := openStream(t, a, b)
			flood := openStream(t, doomed, a)
			h.NS.Run("ip", "link", "add", "witness", "type", "veth", "peer", "name", "inside", "netns", doomed.Name())
			begin, from := time.Now(), h.Daemon.Lines()
			h.NS.Run("ip", "netns", "delete", doomed.Name())
			// A socket keeps its namespace as well, so it must end at once.
			if err := flood.conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			flood.conn.Close()
			h.AwaitLog(from, `msg="port lost"`, "port=doomed ")
			t.Logf("lost %s after the deletion", time.Since(begin).Round(time.Millisecond))
			h.hasState("doomed", api.PortLost)
			h.NS.AwaitNetwork("the kernel has taken the namespace down", func() bool {
				return !slices.Contains(h.NS.Links(), "witness")
			})
			s.finish()
			h.NS.Run("ip", "netns", "add", doomed.Name()) // for the test's own end
		})
	}
}

// TestDescriptorsRunOut adds ports until the daemon may open no more files.
func TestDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "prlimit")
	h := newQuietHost(t)
	h.StartBy([]string{"prlimit", "--nofile=48"})
	h.Harmed()
	a, b := h.Attach("a"), h.Attach("b")
	var failed error
	var last *lab.Container
	n := 0
	for ; failed == nil && n < 64; n++ {
		last = h.Container()
		_, failed = h.Client.AddPort(t.Context(), api.PortSpec{Name: fmt.Sprintf("p%d", n), NetNS: last.Name()})
	}
	if failed == nil || !strings.Contains(failed.Error(), "too many open files") || strings.Contains(failed.Error(), "\n") {
		t.Fatalf("after %d ports: %v, want one line that there are too many open files", n, failed)
	}
	if left := append(last.Links(), h.NS.Links()...); len(left) != 0 {
		t.Errorf("links %v are left of a port that was refused", left)
	}
	a.Reaches(b.Addr().String())
	h.DelPort("p0")
	h.DelPort("p1")
	h.Connect(last, "again")
	last.Reaches(a.Addr().String())
}
