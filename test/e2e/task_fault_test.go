package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vswitch/test/lab"
)

// listeningNetlink returns the carrier's netlink sockets that hear of changes, as
// "socket:[INODE]": those in a multicast group, by the table of /proc/net/netlink.
func (h *host) listeningNetlink() (list []string) {
	h.Helper()
	const groups, inode = 3, 9 // columns
	carrier := h.Carrier()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/netlink", carrier))
	if err != nil {
		h.Fatal(err)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", carrier))
	if err != nil {
		h.Fatal(err)
	}
	for _, fd := range fds {
		socket, _ := os.Readlink(fd) // fails when it was closed meanwhile
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			if len(fields) > inode && socket == "socket:["+fields[inode]+"]" &&
				strings.Trim(fields[groups], "0") != "" {
				list = append(list, socket)
			}
		}
	}
	return list
}

// TestWatchersThatFail: the kernel has no memory for an event. The watchers are opened anew,
// what was missed is noticed, and the daemon goes on.
func TestWatchersThatFail(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newHost(t)
	a, b := h.furnish()
	carrier, link := h.Carrier(), h.Segment("bridge").HostLink.Name
	watchers := h.listeningNetlink()
	if len(watchers) != 3 {
		t.Fatalf("%d sockets hear of changes, want 3: for containers, the host, nftables", len(watchers))
	}
	end := h.inject(carrier, "recvmsg:error=ENOMEM", watchers...)
	from := h.Daemon.Lines()
	b.Run("ip", "link", "set", "eth0", "down")
	b.Run("ip", "link", "set", "eth0", "name", "net0", "up")
	h.NS.Run("ip", "addr", "flush", "dev", link)
	h.NS.Run("nft", "flush", "ruleset")
	for _, task := range []string{"containers' interfaces", "the host links", "nftables ruleset"} {
		h.AwaitLog(0, "level=WARN", "a task has failed", task, "cannot allocate memory")
	}
	end()
	h.restores(from, b, "net0", link)
	for _, socket := range h.listeningNetlink() {
		if slices.Contains(watchers, socket) {
			t.Errorf("%s is still there", socket)
		}
	}
	from = h.Daemon.Lines()
	b.Run("ip", "link", "set", "net0", "down")
	b.Run("ip", "link", "set", "net0", "name", "net1", "up")
	h.NS.Run("ip", "addr", "flush", "dev", link)
	h.NS.Run("nft", "flush", "ruleset")
	h.restores(from, b, "net1", link)
	if now := h.Carrier(); now != carrier {
		t.Errorf("process %d carries frames, want %d as before", now, carrier)
	}
	if n := strings.Count(h.Daemon.Output(), "a task has failed"); n != len(watchers) {
		t.Errorf("%d failed tasks were logged, want %d", n, len(watchers))
	}
	a.Reaches(b.Addr().String())
}

// restores waits until the log says, after its first from lines, that what was changed behind
// the daemon's back is noticed or put right, and wants it so.
func (h *host) restores(from int, c *lab.Container, name, link string) {
	h.Helper()
	h.AwaitLog(from, `msg="interface renamed in its namespace"`, "port="+c.Port.Name+" ", "to="+name)
	if p := h.Port(c.Port.Name); p.IfName != name {
		h.Errorf("the port's interface is %s, want %s", p.IfName, name)
	}
	h.AwaitLog(from, "host link was changed and is put right", "address 172.17.0.1/16")
	if out := h.NS.Run("ip", "addr", "show", "dev", link); !strings.Contains(out, "172.17.0.1/16") {
		h.Errorf("the host link has not its address again:\n%s", out)
	}
	h.AwaitLog(from, "nftables table was changed by others: put back")
	if out := h.NS.Run("nft", "list", "tables"); !strings.Contains(out, "inet vswitch") {
		h.Errorf("the nftables table is not there again:\n%s", out)
	}
}

// TestListenersThatFail: the kernel refuses connections for a while. Frames pass meanwhile, and
// requests are answered afterwards.
func TestListenersThatFail(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "curl")
	h := newQuietHost(t)
	docker := filepath.Join(h.Dir, "docker.sock")
	h.NS.Run("ip", "link", "set", "lo", "up")
	const metrics = "127.0.0.1:9475"
	h.Start("--metrics-listen", metrics, "--docker", "--docker-socket", docker, "--docker-host=")
	a, b := h.Attach("a"), h.Attach("b")
	carrier := h.Carrier()
	end := h.inject(carrier, "accept4:error=ENOMEM")
	onHost := h.onHost("bridge")
	for _, socket := range []string{docker, h.Socket} {
		onHost.Try("curl", "-s", "-m", "0.1", "--unix-socket", socket, "http://x/")
	}
	if page, err := get(onHost, metrics, silence); err == nil {
		t.Errorf("the metrics are %q while no connection can be accepted", page)
	}
	for _, task := range []string{"task=API", "task=metrics", "beside the daemon"} {
		h.AwaitLog(0, "level=WARN", "a task has failed", task, "cannot allocate memory")
	}
	a.Reaches(b.Addr().String())
	end()
	if now := h.Carrier(); now != carrier {
		t.Errorf("process %d carries frames, want %d as before", now, carrier)
	}
	if _, err := get(onHost, metrics, lab.Patience); err != nil {
		t.Errorf("metrics: %v", err)
	}
	onHost.Run("curl", "-s", "-f", "--unix-socket", docker, "-d", "{}", "http://x/Plugin.Activate")
}

// TestSupervisorWithoutMemory: what the carrier hands over is kept although the kernel had no
// memory for it at first.
func TestSupervisorWithoutMemory(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a := h.Attach("a")
	end := h.inject(h.Daemon.Pid(), "recvmsg:error=ENOMEM:when=1..2")
	b := h.Attach("b")
	// A call that strace leaves half tampered with fails as one that the kernel does not have.
	h.Eventually("all threads of the supervisor sleep", func() bool {
		return asleep(h, h.Daemon.Pid())
	})
	end()
	h.Harmed()
	h.KillCarrier()
	a.Reaches(b.Addr().String())
	h.MustVsctl("upgrade")
	a.Reaches(b.Addr().String())
}

// asleep says whether no thread of the process runs or is stopped.
func asleep(h *host, pid int) bool {
	h.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		h.Fatalf("the process has no threads: %v", err)
	}
	return !slices.ContainsFunc(threads, func(status string) bool {
		text, err := os.ReadFile(status)
		return err == nil && !strings.Contains(string(text), "State:\tS")
	})
}
