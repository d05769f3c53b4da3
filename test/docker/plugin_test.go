package docker

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"vswitch/test/lab"
)

// What "make docker-plugin" builds is run by the engine itself, with the config.json
// that users get.
func TestManagedPlugin(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	h.ownRun = true
	h.ServeAt(h.path("run/docker/vswitch/vswitchd.sock"))
	h.startDocker()
	if err := os.WriteFile(h.path("run/others"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.docker("import", lab.Program(image), "busybox:local")
	plugin := h.driver
	h.docker("plugin", "create", plugin, h.makePlugin())
	if err := os.Mkdir(h.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.docker("plugin", "set", plugin, "state.source="+h.path("state"))
	h.docker("plugin", "enable", plugin)
	h.driver += ":latest"
	h.network("blue")
	h.network("red", "--ipam-driver", h.driver)
	h.run("one", "blue", "--restart", "always")
	h.run("two", "blue", "--restart", "always")
	h.run("three", "red", "--restart", "always")
	works := func(after string) {
		t.Helper()
		h.wantNoLoss("one", h.address("two", "blue"), after)
		h.wantNoLoss("two", "one", after) // by Docker's resolver
		h.wantNoReach("three", h.address("one", "blue"))
	}
	works("the start")
	if p := h.port("three"); p.Segment != "red" { // it asks the engine for names
		t.Errorf("port %+v", p)
	}
	h.refused("is in use", "plugin", "disable", plugin)
	h.wantPublished()
	h.wantHardLinks()

	h.wantInHostNetwork(h.Carrier())
	if _, err := os.Lstat(fmt.Sprintf("/proc/%d/root/run/others", h.Carrier())); !os.IsNotExist(err) {
		t.Errorf("the plugin sees what others have in /run: %v", err)
	}
	h.KillCarrier()
	works("the death of the process that carries frames")

	h.docker("plugin", "disable", "-f", plugin)
	h.wantNoReach("one", h.address("two", "blue"))
	h.docker("plugin", "enable", plugin)
	works("an end and a new start of the plugin")

	h.reboot()
	for _, name := range []string{"one", "two", "three"} {
		h.Eventually("the engine says that "+name+" runs again", func() bool {
			return h.docker("inspect", "-f", "{{.State.Running}}", name) == "true"
		})
	}
	works("a new start of the machine")

	h.wantCleanEnd("blue", "red")
	h.docker("plugin", "disable", plugin)
	h.docker("plugin", "set", plugin, "args=--stop-removes-ports")
	h.docker("plugin", "enable", plugin)
	h.docker("plugin", "disable", plugin)
	h.docker("plugin", "rm", plugin)
	if links := strings.TrimSpace(h.NS.Run("ip", "-o", "link")); strings.Contains(links, "\n") { // more than lo
		t.Errorf("interfaces are left:\n%s", links)
	}
}

// wantInHostNetwork wants a process in the network namespace that plays the machine.
func (h *host) wantInHostNetwork(pid int) {
	h.Helper()
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		h.Fatal(err)
	}
	if network, err := os.Stat(h.NS.Path()); err != nil || !os.SameFile(its, network) {
		h.Errorf("process %d is not in the host's network: %v", pid, err)
	}
}

// reboot starts dockerd again with nothing in /run.
func (h *host) reboot() {
	h.Helper()
	h.stopDocker(syscall.SIGTERM)
	if err := os.RemoveAll(h.path("run")); err != nil {
		h.Fatal(err)
	}
	if err := os.Mkdir(h.path("run"), 0o755); err != nil {
		h.Fatal(err)
	}
	h.startDocker()
}

// makePlugin builds the plugin and returns its directory.
func (h *host) makePlugin() string {
	h.Helper()
	lab.RequireCommand(h, "make")
	c := exec.CommandContext(h.Context(), "make", "docker-plugin", "BIN="+h.path("bin"))
	c.Dir = "../.."
	// What a make above this test was told is not meant for the make below it.
	c.Env = slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "MAKE") || strings.HasPrefix(s, "MFLAGS=")
	})
	if out, err := c.CombinedOutput(); err != nil {
		h.Fatalf("make docker-plugin: %v: %s", err, out)
	}
	return h.path("bin/docker-plugin")
}

// wantPublished publishes a container's port on all addresses of the host.
func (h *host) wantPublished() {
	h.Helper()
	const address = "192.0.2.1" // of RFC 5737
	h.NS.Run("ip", "address", "add", address, "dev", "lo")
	h.docker("run", "-d", "--name", "web", "--network", "blue", "-p", "8080:80", "busybox:local",
		"nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", "hello")
	for _, to := range []string{address, "127.0.0.1"} {
		h.Eventually("nc, which does not say so, listens behind the published port at "+to, func() bool {
			out, _ := h.NS.Exec(h.Context(), "socat", "-u", "-T", "5", "TCP:"+to+":8080", "STDOUT").Output() // nothing, where nobody listens
			return strings.Contains(string(out), "hello")
		})
	}
	h.docker("rm", "-f", "web")
}

// wantHardLinks wants the host's links set up, which takes settings that the engine
// shows its plugins read-only.
func (h *host) wantHardLinks() {
	h.Helper()
	settings := strings.Fields(h.NS.Run("sh", "-c", "cat /proc/sys/net/ipv4/conf/vs-*/arp_ignore"))
	if len(settings) == 0 || slices.ContainsFunc(settings, func(s string) bool { return s != "2" }) {
		h.Errorf("arp_ignore of the host's links is %q, want 2", settings)
	}
}
