package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"vswitch/bench/load"
	"vswitch/internal/netns"
)

// NamePrefix begins the names of all namespaces that the harness makes.
const NamePrefix = "vsb-"

// labs makes the names of labs in one process differ.
var labs atomic.Uint32

// Lab is where measurements take place: network namespaces for endpoints, which
// stay for the next measurement; and for each measurement a stage with a "host"
// namespace, a directory and the processes that run on it.
type Lab struct {
	prefix string   // of the namespaces' names
	self   []string // the command that runs a helper, without its name
	bin    string   // where vswitchd is looked for first

	endpoints []string // namespaces for endpoints
	made      int      // namespaces made so far, for their names
	host      string   // namespace of the stage
	dir       string   // of the stage

	mu        sync.Mutex
	processes []*Process // guarded by mu; those of the stage, stopped ones too
}

// NewLab makes a lab without namespaces. self runs the program's helper command,
// bin is where its own programs are looked for before PATH.
func NewLab(self []string, bin string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run it with sudo")
	}
	return &Lab{
		prefix: fmt.Sprintf("%s%d-%d-", NamePrefix, os.Getpid(), labs.Add(1)),
		self:   self, bin: bin,
	}, nil
}

// Host is the namespace that a peer's daemon, or the kernel's bridge, is in.
func (l *Lab) Host() string { return l.host }

// Dir is a directory for sockets and state, empty at the beginning of a
// measurement and removed at its end.
func (l *Lab) Dir() string { return l.dir }

// Begin sets up the stage of one measurement.
func (l *Lab) Begin() error {
	names, err := l.makeNamespaces(1)
	if err != nil {
		return err
	}
	l.host = names[0]
	l.dir, err = os.MkdirTemp("", "vsbench-")
	return err
}

// End takes down what Begin and the measurement have set up: processes, the host
// namespace, links left in the endpoints' namespaces, the directory.
func (l *Lab) End(used []load.Endpoint) error {
	err := l.stopAll()
	for _, e := range used {
		err = errors.Join(err, l.sweep(e))
	}
	if l.host != "" {
		err = errors.Join(err, deleteNamespaces(l.host))
		l.host = ""
	}
	if l.dir != "" {
		err = errors.Join(err, os.RemoveAll(l.dir))
		l.dir = ""
	}
	return err
}

// sweep deletes the link of an endpoint whose fabric has left it.
func (l *Lab) sweep(e load.Endpoint) error {
	return load.InNamespace(e.Namespace, func(ns *netns.Namespace) error {
		err := ns.DeleteLink(e.IfName)
		if errors.Is(err, netns.ErrNoLink) {
			return nil
		}
		return err
	})
}

// EndpointNamespaces are n namespaces without links, made once and used again.
func (l *Lab) EndpointNamespaces(n int) ([]string, error) {
	if missing := n - len(l.endpoints); missing > 0 {
		names, err := l.makeNamespaces(missing)
		if err != nil {
			return nil, err
		}
		l.endpoints = append(l.endpoints, names...)
	}
	return l.endpoints[:n], nil
}

// Close removes everything that the lab has made.
func (l *Lab) Close() error {
	err := l.End(nil)
	err = errors.Join(err, deleteNamespaces(l.endpoints...))
	l.endpoints = nil
	return err
}

// makeNamespaces makes n namespaces, or none, in which links speak no IPv6: its
// neighbour discovery would be counted among the frames that are measured.
func (l *Lab) makeNamespaces(n int) ([]string, error) {
	names := make([]string, n)
	for i := range names {
		l.made++
		names[i] = fmt.Sprintf("%s%d", l.prefix, l.made)
	}
	if err := addNamespaces(names...); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := load.InNamespace(name, disableIPv6); err != nil {
			_ = deleteNamespaces(names...) // the first error says more
			return nil, fmt.Errorf("make network namespaces: %w", err)
		}
	}
	return names, nil
}

// disableIPv6 disables IPv6 on links that are made in ns later.
func disableIPv6(ns *netns.Namespace) error {
	return ns.Do(func() error {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil // a kernel without IPv6
		}
		return err
	})
}

// Start starts argv in a namespace, with env added to the environment. The process belongs
// to the lab, which stops it at the end of the measurement if it still runs.
func (l *Lab) Start(namespace string, env []string, argv ...string) (*Process, error) {
	p, err := startProcess(namespace, env, argv...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.processes = append(l.processes, p)
	return p, nil
}

// stopAll stops all processes of the stage, the last one first.
func (l *Lab) stopAll() error {
	l.mu.Lock()
	processes := l.processes
	l.processes = nil
	l.mu.Unlock()
	var err error
	for _, p := range slices.Backward(processes) {
		err = errors.Join(err, p.Stop())
	}
	return err
}

// Run runs argv in a namespace to its end, with env added to the environment, and returns
// its standard output. The error has the end of what it printed.
func (l *Lab) Run(
	ctx context.Context, namespace string, env []string, argv ...string,
) ([]byte, error) {
	cmd := command(ctx, namespace, argv...)
	cmd.Env = append(cmd.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	name := filepath.Base(argv[0])
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", name, ctx.Err())
	}
	if err != nil {
		said := LastLines(append(stderr.Bytes(), stdout.Bytes()...))
		return stdout.Bytes(), fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return stdout.Bytes(), nil
}
