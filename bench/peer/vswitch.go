package peer

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"vswitch/api"
	"vswitch/bench/load"
	"vswitch/test/lab"
)

// apiTimeout is for one request to the daemon.
const apiTimeout = 30 * time.Second

// vswitchPeer is this project's daemon in one poll mode, steered as vsctl does it.
type vswitchPeer struct{ poll string }

func (p vswitchPeer) Name() string { return "vswitch-" + p.poll }

func (p vswitchPeer) Limits() Limits { return Limits{} }

func (p vswitchPeer) Available(l *Lab) error {
	if _, err := l.Vswitchd(); err != nil {
		return err
	}
	return wantTUN()
}

// Vswitchd returns the path of vswitchd, from the lab's directory or else from PATH. The
// error says how to build it.
func (l *Lab) Vswitchd() (string, error) {
	if path, err := exec.LookPath(filepath.Join(l.bin, "vswitchd")); err == nil {
		return filepath.Abs(path)
	}
	if path, err := FindProgram("vswitchd"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("not installed: no vswitchd in %s or PATH: run make build, or give its directory with --bin", l.bin)
}

func (p vswitchPeer) Start(ctx context.Context, l *Lab, n Needs) (Fabric, error) {
	flags := []string{"--poll", p.poll, "--nat=false"}
	if n.Addresses > 0 {
		flags = append(flags, "--fdb-size", strconv.Itoa(n.room()), "--ageing", "1h")
	}
	if n.Workers > 0 {
		flags = append(flags, "--workers", strconv.Itoa(n.Workers))
	}
	return l.startVswitch(ctx, flags...)
}

// startVswitch starts a daemon in the host namespace, with more flags, and waits
// until it answers.
func (l *Lab) startVswitch(ctx context.Context, flags ...string) (*vswitchFabric, error) {
	path, err := l.Vswitchd()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(l.Dir(), "vswitchd.sock")
	daemon, err := lab.StartDaemon(lab.DaemonConfig{
		Program: path, Namespace: l.Host(), Socket: socket, StateDir: filepath.Join(l.Dir(), "state"),
		Flags: flags,
	})
	if err != nil {
		return nil, err
	}
	l.own(daemon.Process)
	f := &vswitchFabric{
		host: l.Host(), daemon: daemon, client: api.NewSocketClient(socket, apiTimeout), segments: make(map[int]string),
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if err := daemon.AwaitReady(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

type vswitchFabric struct {
	host     string // the daemon's namespace
	daemon   *lab.Daemon
	client   *api.Client
	segments map[int]string // names by number
}

func (f *vswitchFabric) Attach(ctx context.Context, endpoints ...load.Endpoint) error {
	for _, e := range endpoints {
		if err := f.attach(ctx, e); err != nil {
			return fmt.Errorf("add port of %s: %w", e.Namespace, err)
		}
	}
	return nil
}

func (f *vswitchFabric) attach(ctx context.Context, e load.Endpoint) error {
	name, ok := f.segments[e.Segment]
	if !ok {
		name = fmt.Sprintf("bench%d", e.Segment)
		// Of the others none has the host on its network.
		spec := api.SegmentSpec{Name: name, Subnet: e.Addr.Masked(), Uplink: api.UplinkNone}
		if _, err := f.client.AddSegment(ctx, spec); err != nil {
			return err
		}
		f.segments[e.Segment] = name
	}
	security := api.SecurityOff
	if e.Guarded {
		security = api.SecurityStrict
	}
	_, err := f.client.AddPort(ctx, api.PortSpec{
		Name: portName(e), Segment: name, NetNS: e.Namespace, IfName: e.IfName,
		IP: api.PortIP{Addr: e.Addr.Addr()}, MAC: e.MAC, NoDefaultRoute: true,
		// The others check nothing, and most of the harness's frames are not the port's
		// own: of an experimental Ethertype, and from up to 64,000 addresses.
		Security: security, MACLimit: api.NoLimit, FloodLimit: api.NoLimit,
		AllowHostNetNS: e.Namespace == f.host,
		RateIn:         api.Rate{BitsPerSecond: e.RateIn}, RateOut: api.Rate{BitsPerSecond: e.RateOut},
	})
	return err
}

func portName(e load.Endpoint) string { return e.Namespace + "-" + e.IfName }

func (f *vswitchFabric) Detach(ctx context.Context, e load.Endpoint) error {
	_, err := f.client.DeletePort(ctx, portName(e))
	return err
}

// Processes are the supervising parent and the process that carries frames.
func (f *vswitchFabric) Processes() []int {
	pids := []int{f.daemon.Pid()}
	v, err := f.client.Version(context.Background())
	if err == nil && v.PID != 0 && v.PID != f.daemon.Pid() {
		pids = append(pids, v.PID)
	}
	return pids
}

func (f *vswitchFabric) Close() error {
	f.client.Close()
	if err := f.daemon.Err(); err != nil {
		return err // it should not have ended by itself
	}
	return f.daemon.Stop()
}
