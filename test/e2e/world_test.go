package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/test/lab"
)

// bindNamespace makes path another name of the namespace that a file is.
func (h *host) bindNamespace(file, path string) {
	h.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		h.Fatal(err)
	}
	if err := unix.Mount(file, path, "", unix.MS_BIND, ""); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		_ = unix.Unmount(path, unix.MNT_DETACH) // the test may have done that
		_ = os.Remove(path)
	})
}

// TestHostsOwnNamespaceIsNotAttached: whichever way it is named, the daemon's own namespace stays
// as it is unless a flag asks for it.
func TestHostsOwnNamespaceIsNotAttached(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	own := h.NS.Path()
	bound, link := filepath.Join(h.Dir, "bound"), filepath.Join(h.Dir, "link")
	h.bindNamespace(own, bound)
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	links, routes := h.NS.Links(), h.NS.Run("ip", "route")
	pid := strconv.Itoa(h.Daemon.Pid())
	for _, named := range [][]string{
		{"--netns", h.NS.Name()},
		{"--netns", own},
		{"--netns", bound},
		{"--netns", link},
		{"--netns", "/proc/" + pid + "/ns/net"},
		{"--netns", "/proc/" + pid + "/task/" + pid + "/ns/net"},
		{"--netns", "/proc/" + pid + "/root" + own},
		{"--pid", pid},
		{"--pid", strconv.Itoa(h.Carrier())},
	} {
		status, said := h.Vsctl(append([]string{"add-port", "p"}, named...)...)
		if status != 1 || !strings.Contains(said, "vswitchd's own network namespace") ||
			!strings.Contains(said, "--allow-host-netns") {
			t.Errorf("add-port %q ends with %d and says %q", named, status, said)
		}
	}
	for _, named := range []string{"/proc/self/ns/net", "/proc/thread-self/ns/net"} {
		out, err := h.NS.Exec(t.Context(), lab.Program("vsctl"), "--socket", h.Socket, "add-port", "p",
			"--netns", named).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "vswitchd's own network namespace") {
			t.Errorf("add-port --netns %s, asked by a process of the host, says %q, %v", named, out, err)
		}
	}
	handed, err := h.Client.AddPort(t.Context(), api.PortSpec{Name: "handed", Handover: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Client.UpdatePort(t.Context(), handed.ID, api.PortUpdate{NetNS: &own})
	if api.KindOf(err) != api.Invalid {
		t.Errorf("an interface may be handed over to the daemon's own namespace: %v", err)
	}
	h.MustVsctl("del-port", "handed") // whose interface, being in nobody's way, goes soon after
	h.NS.AwaitNetwork(fmt.Sprintf("has the interfaces %v and no others", links), func() bool {
		return slices.Equal(h.NS.Links(), links)
	})
	if now := h.NS.Run("ip", "route"); now != routes {
		t.Errorf("the host's routes were\n%s\nand are\n%s", routes, now)
	}
	c := h.Attach("c")
	h.MustVsctl("add-port", "host", "--netns", own, "--allow-host-netns", "--no-default-route", "--ifname", "vs0")
	c.Reaches(h.Port("host").IPs[0].Addr().String())
	h.Stop()
	h.Start()
	h.hasState("host", api.PortUp)
	h.MustVsctl("del-port", "host")
}

// TestNameBecomesTheHostsOwn: a namespace that comes in the place of a port's is not attached when
// it is the daemon's own.
func TestNameBecomesTheHostsOwn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c, waiting := h.Attach("c"), h.Attach("waiting")
	links := h.NS.Links()
	h.loses("c", c.Remove)
	h.LogAfter(func() { h.bindNamespace(h.NS.Path(), c.Path()) },
		"lost port not attached", "port=c ", "own network namespace")
	h.hasState("c", api.PortLost)
	h.Stop()
	waiting.Remove()
	h.bindNamespace(h.NS.Path(), waiting.Path())
	h.Start()
	for _, name := range []string{"c", "waiting"} {
		if p := h.Port(name); p.State != api.PortLost {
			t.Errorf("port %s is %s after a restart, want it lost", name, p.State)
		}
	}
	if now := h.NS.Links(); fmt.Sprint(now) != fmt.Sprint(links) {
		t.Errorf("the host's interfaces were %v and are %v", links, now)
	}
}

// engine is a container with mounts, process ids and a network namespace of its own, in which
// vsctl can run.
type engine struct {
	*host
	pid int // of its first process, which is number 1 inside
}

// newEngine starts one whose shell has run a script.
func (h *host) newEngine(script string) *engine {
	h.Helper()
	lab.RequireCommand(h, "unshare", "nsenter")
	p, err := lab.StartProcess(lab.ProcessConfig{Argv: []string{
		"unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
		"unshare", "--net", "sh", "-ec", script + "\necho ready\nexec cat",
	}})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := p.Stop(); err != nil {
			h.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(h.Context(), lab.Patience)
	defer cancel()
	if _, err := p.Await(ctx, 0, "ready"); err != nil {
		h.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.Pid(), p.Pid()))
	if err != nil {
		h.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		h.Fatal(err)
	}
	return &engine{h, pid}
}

// command is one that runs inside.
func (e *engine) command(argv ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(e.pid), "--mount", "--pid", "--net", "--"}
	return exec.CommandContext(e.Context(), "nsenter", append(enter, argv...)...)
}

// vsctl runs vsctl inside, in a directory.
func (e *engine) vsctl(dir string, args ...string) (said string, ok bool) {
	cmd := e.command(append([]string{"env", "-C", dir, lab.Program("vsctl"), "--socket", e.Socket}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// interfaces lists those inside, but lo.
func (e *engine) interfaces() string {
	e.Helper()
	out, err := e.command("ip", "-o", "link").CombinedOutput()
	if err != nil {
		e.Fatalf("list interfaces: %v: %s", err, out)
	}
	return string(out)
}

// TestContainersWords: what a container names is what it means by that, found again by a restart,
// or refused with the reason.
func TestContainersWords(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	theirs, ours := lab.NewNamespace(t), lab.NewNamespace(t) // ours has a name that they use for theirs
	dir := lab.ShortDir(t)
	e := h.newEngine(strings.NewReplacer("DIR", dir, "THEIRS", theirs.Path(), "OURS", ours.Name()).Replace(`
		touch DIR/theirs
		mount --bind THEIRS DIR/theirs
		mount -t tmpfs none /run/netns
		touch /run/netns/OURS
		mount --bind DIR/theirs /run/netns/OURS
		mkdir -p DIR/sub
		touch DIR/lone
		unshare --net=DIR/lone true
		ln -s /proc/self/ns/net DIR/link`))
	links := h.NS.Links()
	for i, test := range []struct {
		named []string
		in    func() []string // the interfaces where it should be
	}{
		{[]string{"--netns", "/proc/self/ns/net"}, nil},
		{[]string{"--netns", "/proc/thread-self/ns/net"}, nil},
		{[]string{"--netns", "/proc/1/ns/net"}, nil},
		{[]string{"--netns", "../link"}, nil},
		{[]string{"--pid", "1"}, nil},
		{[]string{"--netns", ours.Name()}, theirs.Links},
		{[]string{"--netns", "/run/netns/" + ours.Name()}, theirs.Links},
		{[]string{"--netns", "../theirs"}, theirs.Links},
	} {
		port, ifname := fmt.Sprintf("p%d", i), fmt.Sprintf("w%d", i)
		add := append([]string{"add-port", port, "--no-default-route", "--ifname", ifname}, test.named...)
		if said, ok := e.vsctl(dir+"/sub", add...); !ok {
			t.Errorf("%q: %s", test.named, said)
			continue
		}
		there := e.interfaces()
		if test.in != nil {
			there = strings.Join(test.in(), " ")
		}
		if !strings.Contains(there, ifname) {
			t.Errorf("%q: it has the interfaces %s", test.named, there)
		}
		h.Stop() // whoever asked is gone by now
		h.Start()
		if p := h.Port(port); p.State != api.PortUp {
			t.Errorf("%q, found by %s: after a restart it is %s, %s", test.named, p.NetNS, p.State, p.Reason)
		}
		h.MustVsctl("del-port", port)
	}
	for _, test := range []struct{ named, why string }{
		{dir + "/lone", "out of vswitchd's sight"},
		{theirs.Path(), "does not exist"},
		{"/proc/" + strconv.Itoa(h.Daemon.Pid()) + "/ns/net", "does not exist"},
	} {
		if said, ok := e.vsctl(dir, "add-port", "p", "--netns", test.named); ok || !strings.Contains(said, test.why) {
			t.Errorf("%s: vsctl says %q, want %q", test.named, said, test.why)
		}
	}
	if said, ok := e.vsctl(dir, "add-port", "p", "--pid", strconv.Itoa(h.Daemon.Pid())); ok || !strings.Contains(said, "is not running") {
		t.Errorf("the number that the daemon has outside: vsctl says %q", said)
	}
	if now := h.NS.Links(); fmt.Sprint(now) != fmt.Sprint(links) {
		t.Errorf("the host's interfaces were %v and are %v", links, now)
	}
	if now := ours.Links(); len(now) > 0 {
		t.Errorf("the namespace that has the name for the host got %v", now)
	}
}
