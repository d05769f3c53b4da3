package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

// patience bounds every wait.
const patience = lab.Patience

// host is a network namespace that plays a machine, with a vswitchd on it.
type host struct {
	*testing.T
	ns     *lab.Namespace
	socket string
	daemon *lab.Process
	client *api.Client
}

// newHost makes a host and starts vswitchd with these flags on it.
func newHost(t *testing.T, flags ...string) *host {
	t.Helper()
	h := newQuietHost(t)
	h.start(flags...)
	return h
}

// newQuietHost makes a host on which nothing runs yet.
func newQuietHost(t *testing.T) *host {
	t.Helper()
	h := &host{T: t, ns: lab.NewNamespace(t), socket: filepath.Join(shortDir(t), "vswitchd.sock")}
	h.client = api.NewClient(h.socket, patience)
	t.Cleanup(h.client.Close)
	return h
}

// shortDir is a temporary directory whose name leaves room for a socket's, which
// that of testing.T.TempDir may not (sun_path, unix(7)).
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "vs")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (h *host) start(flags ...string) {
	h.Helper()
	h.startArgv(h.argv(flags...))
}

// startBy has a program start vswitchd, whose command line follows the arguments.
func (h *host) startBy(program ...string) {
	h.Helper()
	h.startArgv(append(program, h.argv()...))
}

func (h *host) startArgv(argv []string) {
	h.Helper()
	h.daemon = lab.Start(h, h.ns, argv...)
	if err := h.daemon.AwaitReady(); err != nil {
		h.Fatal(err)
	}
}

// startInVain starts a vswitchd that ends by itself, and returns its exit status
// and what it has said.
func (h *host) startInVain(flags ...string) (code int, said string) {
	h.Helper()
	p := lab.Start(h, h.ns, h.argv(flags...)...)
	code, err := p.Wait()
	if err != nil {
		h.Fatal(err)
	}
	return code, p.Said()
}

// stop ends vswitchd by SIGTERM, kill by SIGKILL.
func (h *host) stop() {
	h.Helper()
	if err := h.daemon.Stop(); err != nil {
		h.Fatal(err)
	}
}

func (h *host) kill() {
	h.Helper()
	if err := h.daemon.Kill(); err != nil {
		h.Fatal(err)
	}
}

// argv is the command line of a vswitchd on the host's socket.
func (h *host) argv(flags ...string) []string {
	return append([]string{
		filepath.Join(binaries, "vswitchd"), "--socket", h.socket, "--state-dir", h.stateDir(),
	}, flags...)
}

func (h *host) stateDir() string { return filepath.Join(filepath.Dir(h.socket), "state") }

// attach makes a container and connects it to the default segment, unless edit
// says otherwise.
func (h *host) attach(name string, edit ...func(*api.PortSpec)) *container {
	h.Helper()
	c := h.container()
	h.connect(c, name, edit...)
	return c
}

// connect adds a port of this name to the container.
func (h *host) connect(c *container, name string, edit ...func(*api.PortSpec)) api.Port {
	h.Helper()
	spec := api.PortSpec{Name: name, NetNS: c.Name()}
	for _, f := range edit {
		f(&spec)
	}
	p, err := h.client.AddPort(h.Context(), spec)
	if err != nil {
		h.Fatalf("add port %s: %v", name, err)
	}
	c.port = p
	return p
}

// on chooses a segment for attach and connect.
func on(segment string) func(*api.PortSpec) {
	return func(s *api.PortSpec) { s.Segment = segment }
}

func (h *host) addSegment(name string, edit ...func(*api.SegmentSpec)) api.Segment {
	h.Helper()
	spec := api.SegmentSpec{Name: name}
	for _, f := range edit {
		f(&spec)
	}
	s, err := h.client.AddSegment(h.Context(), spec)
	if err != nil {
		h.Fatalf("add segment %s: %v", name, err)
	}
	return s
}

func (h *host) delPort(name string) {
	h.Helper()
	if _, err := h.client.DeletePort(h.Context(), name); err != nil {
		h.Fatalf("delete port %s: %v", name, err)
	}
}

func (h *host) port(name string) api.Port {
	h.Helper()
	p, err := h.client.Port(h.Context(), name)
	if err != nil {
		h.Fatalf("port %s: %v", name, err)
	}
	return p
}

func (h *host) counters(name string) api.Counters {
	h.Helper()
	return h.port(name).Counters
}

// awaitDrops waits until so many frames of the port have been dropped for a reason.
func (h *host) awaitDrops(name, reason string, want uint64) {
	h.Helper()
	h.await(fmt.Sprintf("%d drops for %s at port %s", want, reason, name), func() bool {
		return h.counters(name).Drops[reason] >= want
	})
}

// await asks until the answer is yes, for what neither the daemon nor the kernel
// announces.
func (h *host) await(what string, reached func() bool) {
	h.Helper()
	await(h, what, reached)
}

func await(tb testing.TB, what string, reached func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("still not so after %s: %s", patience, what)
		}
	}
}

// socketThere says whether the daemon's socket exists.
func (h *host) socketThere() bool {
	h.Helper()
	_, err := os.Lstat(h.socket)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.Fatal(err)
	}
	return err == nil
}

// hostLink matches the name of an interface by which a host reaches a segment.
var hostLink = regexp.MustCompile(`^vs-[0-9a-f]{11}$`)

// links are the names of the interfaces in a namespace, loopback and those by
// which the host reaches its segments left out.
func links(ns *lab.Namespace) []string {
	var names []string
	for line := range strings.Lines(ns.Run("ip", "-o", "link")) {
		// "2: eth0: <BROADCAST,...", for one half of a pair "3: v0@if4: <..."
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		if name = strings.TrimSuffix(name, ":"); name != "lo" && !hostLink.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}
