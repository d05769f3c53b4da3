package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mount"
	"golang.org/x/sys/unix"

	"vswitch/bench/load"
	"vswitch/test/lab"
	"vswitch/test/lab/busybox"
)

// dockerPeer is a Docker engine with containers on networks of one driver, as
// docker network create and docker run set them up: its own "bridge", or "vswitch".
type dockerPeer struct{ driver string }

func (p dockerPeer) Name() string { return "docker-" + p.driver }

// Limits leave out what takes many containers, of which each takes half a second,
// and frames that are no container's: our driver drops them, and the MACs of
// Docker's own are chosen by Docker.
func (p dockerPeer) Limits() Limits {
	kernel := p.driver == "bridge"
	return Limits{
		Ports: 16, Segments: 16, Fixed: true, Held: true, Open: kernel, Kernel: kernel,
		Single: true, Unrated: true,
	}
}

func (p dockerPeer) Available(l *Lab) error {
	if err := errors.Join(
		wantPrograms("docker.io", "dockerd", "docker"), wantPrograms("iptables", "iptables"), wantPrograms("busybox-static", "busybox"),
	); err != nil || p.driver != "vswitch" {
		return err
	}
	return vswitchPeer{}.Available(l)
}

// Start runs an engine of the stage's own, and before it the daemon whose driver it is.
func (p dockerPeer) Start(ctx context.Context, l *Lab, _ Needs) (Fabric, error) {
	f := &dockerFabric{
		lab: l, driver: p.driver,
		networks: make(map[int]string), mounted: make(map[load.Endpoint]string),
	}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

type dockerFabric struct {
	lab      *Lab
	driver   string
	plugin   string         // where dockerd finds vswitchd; empty without
	vswitch  *vswitchFabric // nil without
	engine   *lab.Process
	networks map[int]string           // by number of segment
	mounted  map[load.Endpoint]string // where the namespaces of containers are mounted
}

const (
	dockerImage = "busybox:bench"
	// dockerPlugins is where dockerd looks for drivers by their names.
	dockerPlugins = "/run/docker/plugins"
)

func (f *dockerFabric) start(ctx context.Context) (err error) {
	if f.driver == "vswitch" {
		f.driver = f.lab.Host() // the same name for all would be in the way of others
		f.plugin = filepath.Join(dockerPlugins, f.driver+".sock")
		if f.vswitch, err = f.lab.startVswitch(ctx, "--docker", "--docker-socket", f.plugin, "--docker-host", f.host()); err != nil {
			return err
		}
	}
	dockerd, err := FindProgram("dockerd")
	if err != nil {
		return err
	}
	// Docker takes lo for granted, as its resolver does.
	if err := ipBatch(f.lab.Host(), "link set lo up"); err != nil {
		return err
	}
	f.engine, err = f.lab.Start(f.lab.Host(), nil, dockerd, "--host", f.host(),
		"--data-root", f.path("data"), "--exec-root", f.path("exec"), "--pidfile", f.path("docker.pid"),
		"--storage-driver", "vfs", "--userland-proxy=false", "--log-level", "warn")
	if err != nil {
		return err
	}
	err = Poll(ctx, "dockerd to answer", func() (bool, error) {
		if err := f.engine.Err(); err != nil {
			return false, err
		}
		_, err := f.docker(ctx, "version")
		return err == nil, nil
	})
	if err != nil {
		return err
	}
	if err := busybox.WriteImage(f.path("image.tar"), "sleep"); err != nil {
		return err
	}
	_, err = f.docker(ctx, "import", f.path("image.tar"), dockerImage)
	return err
}

func (f *dockerFabric) path(name string) string { return filepath.Join(f.lab.Dir(), name) }

// host is where dockerd listens, as the client names it.
func (f *dockerFabric) host() string { return "unix://" + f.path("docker.sock") }

// docker runs the client and returns what it prints.
func (f *dockerFabric) docker(ctx context.Context, args ...string) (string, error) {
	client, err := FindProgram("docker")
	if err != nil {
		return "", err
	}
	argv := append([]string{client, "--host", f.host()}, args...)
	out, err := f.lab.Run(ctx, f.lab.Host(), nil, argv...)
	return strings.TrimSpace(string(out)), err
}

func (f *dockerFabric) Attach(ctx context.Context, endpoints ...load.Endpoint) error {
	for _, e := range endpoints {
		if err := f.attach(ctx, e); err != nil {
			return fmt.Errorf("run a container in the place of %s: %w", e.Namespace, err)
		}
	}
	return nil
}

// attach runs a container and mounts its namespace over that of the endpoint, so
// that the harness finds it there.
func (f *dockerFabric) attach(ctx context.Context, e load.Endpoint) error {
	network, ok := f.networks[e.Segment]
	if !ok {
		network = fmt.Sprintf("bench%d", e.Segment)
		if _, err := f.docker(ctx, "network", "create", "--driver", f.driver, "--subnet", e.Addr.Masked().String(), network); err != nil {
			return err
		}
		f.networks[e.Segment] = network
	}
	id, err := f.docker(ctx, "run", "--detach", "--name", e.Namespace, "--network", network,
		"--ip", e.Addr.Addr().String(), dockerImage, "sleep", "1000000")
	if err != nil {
		return err
	}
	sandbox, err := f.docker(ctx, "inspect", "--format", "{{.NetworkSettings.SandboxKey}}", id)
	if err != nil {
		return err
	}
	target := lab.NamespacePath(e.Namespace)
	if err := unix.Mount(sandbox, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s over %s: %w", sandbox, target, err)
	}
	f.mounted[e] = target
	return nil
}

func (f *dockerFabric) Detach(ctx context.Context, e load.Endpoint) error {
	target, ok := f.mounted[e]
	if !ok {
		return fmt.Errorf("no container of %s", e.Namespace)
	}
	delete(f.mounted, e)
	err := mount.Unmount(target)
	_, removed := f.docker(ctx, "rm", "--force", e.Namespace)
	return errors.Join(err, removed)
}

func (f *dockerFabric) Processes() []int {
	if f.vswitch == nil {
		return nil
	}
	return f.vswitch.Processes()
}

// Close ends the containers first, which would outlive the engine.
func (f *dockerFabric) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var err error
	for e := range f.mounted {
		err = errors.Join(err, f.Detach(ctx, e))
	}
	if f.engine != nil {
		err = errors.Join(err, f.engine.Err(), f.engine.Stop())
	}
	if f.vswitch != nil {
		err = errors.Join(err, f.vswitch.Close())
		_ = os.Remove(f.plugin + ".lock")
	}
	return errors.Join(err, mount.RecursiveUnmount(f.lab.Dir()))
}
