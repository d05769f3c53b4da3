package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mount"

	"vswitch/api"
	"vswitch/test/lab"
)

// patience bounds every wait, so that a failing test does not hang; it is long
// enough for a machine that is busy with other things.
const patience = 60 * time.Second

// host is a machine with a vswitchd and a dockerd.
type host struct {
	*lab.Host

	driver string // what the drivers are called

	// ownRun gives dockerd a /run of its own, where a managed plugin looks for everything.
	ownRun bool

	dockerd *lab.Process
}

// newHost makes a host with both daemons running, dockerd with these flags.
func newHost(t *testing.T, flags ...string) *host {
	t.Helper()
	h := newQuietHost(t)
	h.startSwitch()
	h.startDocker(flags...)
	h.docker("import", lab.Program(image), "busybox:local")
	return h
}

// newBlueHost makes a host that has a network "blue" with these containers.
func newBlueHost(t *testing.T, containers []string, flags ...string) *host {
	t.Helper()
	h := newHost(t, flags...)
	h.network("blue")
	for _, name := range containers {
		h.run(name, "blue")
	}
	return h
}

// newQuietHost makes a host on which nothing runs yet.
func newQuietHost(t *testing.T) *host {
	t.Helper()
	needDocker(t)
	h := &host{Host: lab.NewQuietHost(t), driver: lab.UniqueName()}
	h.ServeAt(h.path("run/vswitch/vswitchd.sock"))
	h.NS.Run("ip", "link", "set", "lo", "up")
	if err := os.Mkdir(h.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Remove(h.plugin() + ".lock")
		// An engine leaves mounts.
		if err := errors.Join(mount.RecursiveUnmount(h.Dir), os.RemoveAll(h.Dir)); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.Dir, name) }

// plugin is where dockerd looks for the drivers.
func (h *host) plugin() string { return "/run/docker/plugins/" + h.driver + ".sock" }

// engine is where dockerd answers.
func (h *host) engine() string { return "unix://" + h.path("run/docker.sock") }

// execRoot is where dockerd keeps what runs.
func (h *host) execRoot() string { return h.path("run/docker") }

// startSwitch starts vswitchd, which ends with the test.
func (h *host) startSwitch() {
	h.Helper()
	h.Start("--docker", "--docker-socket", h.plugin(), "--docker-host", h.engine())
}

// ownRun runs its arguments where the directory $0 is /run. What is mounted below it
// later shows in the plugin too, as on a machine that systemd has started.
const ownRun = `mount --bind "$0" /run
mount --make-shared /run
exec "$@"`

// startDocker starts dockerd, which ends with the test, and waits until it answers.
func (h *host) startDocker(flags ...string) {
	h.Helper()
	var argv []string
	execRoot := h.execRoot()
	if h.ownRun {
		argv = []string{"unshare", "--mount", "--propagation", "slave", "sh", "-ec", ownRun, h.path("run")}
		execRoot = "/var/run/docker"
	}
	argv = append(argv,
		"dockerd", "--data-root", h.path("data"), "--exec-root", execRoot, "-H", h.engine(), "-p", h.path("docker.pid"),
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false", "--storage-driver=vfs")
	argv = append(argv, flags...)
	var err error
	h.dockerd, err = lab.StartProcess(lab.ProcessConfig{Namespace: h.NS.Name(), Argv: argv})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(h.endDocker)
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	if _, err := h.dockerd.Await(ctx, 0, "API listen on"); err != nil {
		h.Fatal(err)
	}
}

// endDocker is the end of a test: containers first, since they outlive an engine
// with --live-restore.
func (h *host) endDocker() {
	if h.dockerd.Err() != nil {
		h.endContainers()
		return
	}
	if out, err := h.try("ps", "-aq"); err == nil && out != "" {
		_, _ = h.try(append([]string{"rm", "-f"}, strings.Fields(out)...)...)
	}
	h.stopDocker(syscall.SIGTERM)
	if h.Failed() {
		h.Logf("dockerd wrote:\n%s", h.dockerd.Output())
	}
}

// stopDocker sends dockerd a signal and waits for its end.
func (h *host) stopDocker(signal syscall.Signal) {
	h.Helper()
	if err := h.dockerd.Signal(signal); err != nil {
		h.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := h.dockerd.Wait(ctx); err != nil {
		_ = h.dockerd.Signal(syscall.SIGKILL)
		h.Error(err)
	}
	// The next dockerd would take for its own a containerd that is about to die, or that nobody
	// has waited for.
	if pid, err := os.ReadFile(filepath.Join(h.execRoot(), "containerd/containerd.pid")); err == nil && signal == syscall.SIGKILL {
		h.Eventually("somebody has waited for the containerd that ends with dockerd", func() bool {
			_, err := os.Stat("/proc/" + string(pid))
			return err != nil
		})
	}
}

// endContainers ends what an engine has left that died.
func (h *host) endContainers() {
	pids, _ := filepath.Glob(filepath.Join(h.execRoot(), "containerd/daemon/io.containerd.runtime.v2.task/*/*/init.pid"))
	for _, path := range pids {
		text, _ := os.ReadFile(path)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			continue
		}
		if process, err := os.FindProcess(pid); err == nil {
			_ = process.Kill()
		}
	}
}

// cli is the client that came with the engine, where there are several.
func cli() string {
	if _, err := os.Stat("/usr/bin/docker"); err == nil {
		return "/usr/bin/docker"
	}
	return "docker"
}

// try runs docker and returns what it has printed.
func (h *host) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, failure bytes.Buffer
	c := exec.CommandContext(ctx, cli(), append([]string{"-H", h.engine()}, args...)...)
	c.Stdout, c.Stderr = &out, &failure
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w: %s%s", strings.Join(args, " "), err, out.String(), failure.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// docker runs docker, which must succeed.
func (h *host) docker(args ...string) string {
	h.Helper()
	out, err := h.try(args...)
	if err != nil {
		h.Fatal(err)
	}
	return out
}

// refused runs docker, which must fail with a message.
func (h *host) refused(want string, args ...string) {
	h.Helper()
	if _, err := h.try(args...); err == nil || !strings.Contains(err.Error(), want) {
		h.Errorf("docker %s: %v; want a failure with %q", strings.Join(args, " "), err, want)
	}
}

// network creates a network of our driver.
func (h *host) network(name string, flags ...string) {
	h.Helper()
	h.docker(append(append([]string{"network", "create", "-d", h.driver}, flags...), name)...)
}

// run starts a container that waits.
func (h *host) run(name, network string, flags ...string) {
	h.Helper()
	h.docker(append(append([]string{"run", "-d", "--name", name, "--network", network}, flags...), "busybox:local", "sleep", "100000")...)
}

// address is a container's address on a network.
func (h *host) address(container, network string) string {
	h.Helper()
	return h.docker("inspect", "-f", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network), container)
}

// reaches says whether a container gets an answer from a name or address. It sends
// several echo requests, for it may be the first to ask for the neighbour.
func (h *host) reaches(container, to string) bool {
	_, err := h.try("exec", container, "ping", "-c", "2", "-W", "2", to)
	return err == nil
}

func (h *host) wantReach(from, to string) {
	h.Helper()
	if !h.reaches(from, to) {
		h.Errorf("%s does not reach %s", from, to)
	}
}

func (h *host) wantNoReach(from, to string) {
	h.Helper()
	if _, err := h.try("exec", from, "ping", "-c", "1", "-W", "1", to); err == nil {
		h.Errorf("%s reaches %s", from, to)
	}
}

// port is a port by name, once there is one.
func (h *host) port(name string) api.Port {
	h.Helper()
	var p api.Port
	h.Eventually("a port is called "+name+", as the engine has said", func() (there bool) {
		var err error
		p, err = h.Client.Port(h.Context(), name)
		return err == nil
	})
	return p
}

// wantNoLoss wants every echo request answered.
func (h *host) wantNoLoss(from, to, after string) {
	h.Helper()
	if out, err := h.try("exec", from, "ping", "-c", "3", "-W", "2", to); err != nil || !strings.Contains(out, ", 0% packet loss") {
		h.Errorf("after %s, from %s to %s: %v: %s", after, from, to, err, out)
	}
}

// wantCleanEnd removes all containers and these networks, and wants nothing left.
func (h *host) wantCleanEnd(networks ...string) {
	h.Helper()
	if containers := strings.Fields(h.docker("ps", "-aq")); len(containers) > 0 {
		h.docker(append([]string{"rm", "-f"}, containers...)...)
	}
	h.docker(append([]string{"network", "rm"}, networks...)...)
	h.wantNothingLeft()
}

// wantNothingLeft wants no port, no segment but the default one, and no interface.
func (h *host) wantNothingLeft() {
	h.Helper()
	ports, err := h.Client.Ports(h.Context(), "")
	if err != nil || len(ports) > 0 {
		h.Errorf("ports are left: %+v, %v", ports, err)
	}
	segments, err := h.Client.Segments(h.Context())
	if err != nil || len(segments) != 1 {
		h.Errorf("segments are left: %+v, %v", segments, err)
	}
	h.NS.AwaitNetwork("no interface is left", func() bool {
		return !strings.Contains(h.NS.Run("ip", "-o", "link"), "vst-")
	})
}
