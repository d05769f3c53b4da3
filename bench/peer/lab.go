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
	"vswitch/test/lab"
)

// NamePrefix is the prefix of the names of all network namespaces that a [Lab] makes.
const NamePrefix = "vsb-"

// labs makes the names of labs in one process differ.
var labs atomic.Uint32

// Lab is where measurements take place. It owns network namespaces for endpoints, which it
// keeps for the next measurement. For each measurement it owns a host namespace, a directory
// and the processes that it has started.
type Lab struct {
	prefix string   // of the namespaces' names
	self   []string // the command that runs a helper, without its name
	bin    string   // where vswitchd is looked for first

	endpoints []string // namespaces for endpoints
	made      int      // namespaces made so far, for their names
	host      string   // namespace of the stage
	dir       string   // of the stage

	mu        sync.Mutex
	processes []*lab.Process // guarded by mu; those of the stage, stopped ones too
}

// NewLab returns a lab without namespaces. self is the command that runs load.Helper with
// arguments added to it; bin is the directory where vswitchd is looked for before PATH. It is
// an error if the caller is not root.
func NewLab(self []string, bin string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run it with sudo")
	}
	return &Lab{
		prefix: fmt.Sprintf("%s%d-%d-", NamePrefix, os.Getpid(), labs.Add(1)),
		self:   self, bin: bin,
	}, nil
}

// Host returns the name of the network namespace for a peer's daemon or the kernel's bridge.
// It is valid between Begin and End.
func (l *Lab) Host() string { return l.host }

// Dir returns a directory for sockets and state. Begin makes it, and End removes it.
func (l *Lab) Dir() string { return l.dir }

// Begin makes the host namespace and the directory of one measurement. End must be called
// afterwards even if Begin fails.
func (l *Lab) Begin() error {
	names, err := l.makeNamespaces(1)
	if err != nil {
		return err
	}
	l.host = names[0]
	l.dir, err = os.MkdirTemp("", "vsbench-")
	return err
}

// End removes what Begin and the measurement have set up: processes, the links that are left
// of used endpoints, the host namespace and the directory. It does all of that even if a part
// fails.
func (l *Lab) End(used []load.Endpoint) error {
	err := l.stopAll()
	for _, e := range used {
		if e.Namespace != l.host { // which is deleted with its links
			err = errors.Join(err, l.sweep(e))
		}
	}
	if l.host != "" {
		err = errors.Join(err, lab.DeleteNamespaces(l.host))
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

// EndpointNamespaces returns the names of n network namespaces without links. It makes those
// that are missing; later calls return the same ones again.
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
	err = errors.Join(err, lab.DeleteNamespaces(l.endpoints...))
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
	if err := lab.AddNamespaces(names...); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := load.InNamespace(name, disableIPv6); err != nil {
			_ = lab.DeleteNamespaces(names...) // the first error says more
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

// stopTimeout is how long a process may take to end once it was asked to; Open vSwitch takes
// some seconds to give up hundreds of ports.
const stopTimeout = 15 * time.Second

// Start starts argv in a namespace, with env added to the environment. The process belongs
// to the lab, which stops it at the end of the measurement if it still runs.
func (l *Lab) Start(namespace string, env []string, argv ...string) (*lab.Process, error) {
	return l.start(lab.ProcessConfig{Namespace: namespace, Env: env, Argv: argv})
}

func (l *Lab) start(c lab.ProcessConfig) (*lab.Process, error) {
	c.Group, c.StopTimeout = true, stopTimeout
	p, err := lab.StartProcess(c)
	if err != nil {
		return nil, err
	}
	l.own(p)
	return p, nil
}

// own has the lab stop p at the end of the measurement.
func (l *Lab) own(p *lab.Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.processes = append(l.processes, p)
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
	cmd := lab.Command(ctx, namespace, argv...)
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
		said := lab.LastLines(stderr.String() + stdout.String())
		return stdout.Bytes(), fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return stdout.Bytes(), nil
}
