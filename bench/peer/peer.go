package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"vswitch/bench/load"
)

// Peer is a packet path to be measured.
type Peer interface {
	// Name is what --peer calls it.
	Name() string
	// Available says what is missing to run it, and how to get it; nil if nothing is.
	Available(l *Lab) error
	// Limits says what it can't do.
	Limits() Limits
	// Start starts it in l's host namespace, without any endpoint.
	Start(ctx context.Context, l *Lab) (Fabric, error)
}

// Fabric is a running Peer. The harness uses it from one goroutine.
type Fabric interface {
	// Attach connects endpoints, in order, and returns when frames can flow. Where
	// the peer can do many at once more cheaply than one by one, it does.
	Attach(ctx context.Context, endpoints ...load.Endpoint) error
	// Detach disconnects an endpoint; its interface goes away.
	Detach(ctx context.Context, e load.Endpoint) error
	// Processes are the ids of the processes that carry frames, for what they cost;
	// none if that is the kernel.
	Processes() []int
	// Close ends it, and the interfaces of all endpoints with it.
	Close() error
}

// Limits is what a peer can't do. Scenarios beyond it are left out for that peer.
type Limits struct {
	Ports    int  // at most; 0 is any number
	Segments int  // at most; 0 is any number
	Fixed    bool // endpoints can't come and go while it runs
	Changing int  // ports, at most, that come one by one in a time worth waiting for; 0 is any number
	Kernel   bool // no process carries frames, so there is none to look at
	Open     bool // ports can't be held to their addresses
	Held     bool // ports send from their own addresses only
}

// Needs is what a variant asks of a peer.
type Needs struct {
	Ports    int
	Segments int  // the first one has all ports but one in each of the others
	Changing bool // ports come and go
	Daemon   bool // there are processes to look at
	Guarded  bool // ports are held to their addresses
	Foreign  bool // frames are sent from and to addresses that are not the ports'
}

// Allow says whether a case that needs so much can run.
func (l Limits) Allow(n Needs) bool {
	within := func(limit, n int) bool { return limit == 0 || n <= limit }
	switch {
	case !within(l.Ports, n.Ports), !within(l.Segments, n.Segments):
		return false
	case n.Guarded && l.Open, n.Foreign && l.Held:
		return false
	case n.Changing && (l.Fixed || !within(l.Changing, n.Ports)):
		return false
	}
	return !n.Daemon || !l.Kernel
}

// All are all peers, in the order of tables and legends.
func All() []Peer {
	return []Peer{
		vswitchPeer{"adaptive"},
		vswitchPeer{"busy"},
		vswitchPeer{"sleep"},
		bridge{},
		relayPeer{"adaptive"},
		relayPeer{"busy"},
		relayPeer{"sleep"},
		ovs{tso: false},
		ovs{tso: true},
		vde{},
		dockerPeer{"bridge"},
		dockerPeer{"vswitch"},
	}
}

// Names are the names of all peers.
func Names() []string {
	var names []string
	for _, p := range All() {
		names = append(names, p.Name())
	}
	return names
}

// Select finds peers by name, or by what stands before the dash: "vswitch" is
// all of its poll modes. No names are all peers.
func Select(names []string) ([]Peer, error) {
	all := All()
	if len(names) == 0 {
		return all, nil
	}
	chosen := make([]bool, len(all))
	for _, name := range names {
		i := slices.IndexFunc(all, func(p Peer) bool { return p.Name() == name })
		if i >= 0 {
			chosen[i] = true
			continue
		}
		known := false
		for i, p := range all {
			if strings.HasPrefix(p.Name(), name+"-") {
				chosen[i], known = true, true
			}
		}
		if !known {
			return nil, fmt.Errorf("peer %q is unknown: give some of %s", name, strings.Join(Names(), ", "))
		}
	}
	var peers []Peer
	for i, p := range all {
		if chosen[i] {
			peers = append(peers, p)
		}
	}
	return peers, nil
}

// programPaths is where programs of the administrator are when PATH lacks them.
var programPaths = []string{"/usr/sbin", "/sbin", "/usr/local/sbin"}

// FindProgram is the path of a program in PATH or where administrators' are.
func FindProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range programPaths {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no program %s", name)
}

// wantPrograms says which of the programs of a Debian package are missing.
func wantPrograms(pkg string, names ...string) error {
	for _, name := range names {
		if _, err := FindProgram(name); err != nil {
			return fmt.Errorf("not installed: %w: install Debian's %s (make bench-deps)", err, pkg)
		}
	}
	return nil
}

// wantTUN says whether TAP devices can be made.
func wantTUN() error {
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, os.ErrNotExist) {
		return errors.New("not available: no /dev/net/tun: load the tun module (modprobe tun)")
	}
	return nil
}
