package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

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
	processes map[*Process]struct{}
}

// NewLab makes a lab without namespaces. self runs the program's helper command,
// bin is where its own programs are looked for before PATH.
func NewLab(self []string, bin string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run it with sudo")
	}
	return &Lab{
		prefix: fmt.Sprintf("%s%d-%d-", NamePrefix, os.Getpid(), labs.Add(1)),
		self:   self, bin: bin, processes: make(map[*Process]struct{}),
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
	err := l.killAll()
	for _, e := range used {
		err = errors.Join(err, l.sweep(e))
	}
	if l.host != "" {
		err = errors.Join(err, removeNamespaces(l.host))
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
	err = errors.Join(err, removeNamespaces(l.endpoints...))
	l.endpoints = nil
	return err
}

// makeNamespaces makes n namespaces, or none, in which links speak no IPv6: its
// neighbour discovery would be counted among the frames that are measured.
func (l *Lab) makeNamespaces(n int) ([]string, error) {
	names := make([]string, n)
	commands := make([]string, n)
	for i := range names {
		l.made++
		names[i] = fmt.Sprintf("%s%d", l.prefix, l.made)
		commands[i] = "netns add " + names[i]
	}
	// ip(8) rather than a mount by hand, so that /run/netns is shared as ip wants it.
	err := ipBatch("", commands...)
	for i := 0; err == nil && i < n; i++ {
		err = load.InNamespace(names[i], silenceIPv6)
	}
	if err != nil {
		_ = removeNamespaces(names...) // the first error says more
		return nil, fmt.Errorf("make network namespaces: %w", err)
	}
	return names, nil
}

func silenceIPv6(ns *netns.Namespace) error {
	return ns.Do(func() error {
		// Links made later take the default.
		err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil // a kernel without IPv6
		}
		return err
	})
}

// removeNamespaces removes those of names that exist.
func removeNamespaces(names ...string) error {
	var commands []string
	for _, name := range names {
		if _, err := os.Lstat(namespacePath(name)); err == nil {
			commands = append(commands, "netns delete "+name)
		}
	}
	if len(commands) == 0 {
		return nil
	}
	return ipBatch("", commands...)
}

// adopt moves the link hostName from the namespace host to an endpoint and sets
// it up there.
func adopt(host, hostName string, e load.Endpoint, txQueueLen int) error {
	return load.InNamespace(e.Namespace, func(target *netns.Namespace) error {
		return load.InNamespace(host, func(source *netns.Namespace) error {
			return source.Do(func() error {
				_, err := target.AdoptLink(netns.LinkConfig{
					HostName: hostName, Name: e.IfName, MAC: e.MAC[:], Address: e.Addr, MTU: 1500, TxQueueLen: txQueueLen,
				})
				return err
			})
		})
	})
}

// ipBatch runs commands of ip(8) in a namespace, "" being the current one, with
// one process for all of them.
func ipBatch(namespace string, commands ...string) error {
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-netns", namespace}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	return runQuietly(cmd)
}

// runQuietly runs cmd; what it prints becomes part of the error, if there is one.
func runQuietly(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, LastLines(out))
	}
	return nil
}

// LastLines is the end of a program's output, which tells why it failed.
func LastLines(out []byte) string {
	const most = 400
	out = bytes.TrimSpace(out)
	if len(out) > most {
		out = append([]byte("…"), out[len(out)-most:]...)
	}
	if len(out) == 0 {
		return "no output"
	}
	return strings.ReplaceAll(string(out), "\n", "; ")
}

func namespacePath(name string) string { return filepath.Join("/run/netns", name) }

// inside is the command argv, to be run in a namespace and killed when ctx ends.
func inside(ctx context.Context, namespace string, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + namespacePath(namespace), "--"}, argv...)...)
}
