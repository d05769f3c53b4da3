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
	// Name returns its name in results and for --peer.
	Name() string
	// Available returns an error that names what is missing to run it and how to install it,
	// or nil if nothing is missing.
	Available(l *Lab) error
	// Limits returns what it cannot do.
	Limits() Limits
	// Start starts it in l's host namespace, without any endpoint, for a case with these needs.
	Start(ctx context.Context, l *Lab, n Needs) (Fabric, error)
}

// Fabric is a running [Peer]. It must be used from one goroutine at a time.
type Fabric interface {
	// Attach connects endpoints, in order, and returns when frames can flow. Where
	// the peer can do many at once more cheaply than one by one, it does.
	Attach(ctx context.Context, endpoints ...load.Endpoint) error
	// Detach disconnects an endpoint; its interface goes away.
	Detach(ctx context.Context, e load.Endpoint) error
	// Processes returns the ids of the processes that carry frames; none if the kernel does.
	Processes() []int
	// Close stops it and deletes the interfaces of all endpoints. The error also says if it
	// had ended by itself before.
	Close() error
}

// Limits is what a peer cannot do. Cases that need more are left out for that peer.
type Limits struct {
	Ports    int  // the most ports; 0: no limit
	Segments int  // the most segments; 0: no limit
	Fixed    bool // ports cannot be added and removed while it runs
	Changing int  // the most ports that it adds one by one in reasonable time; 0: no limit
	Kernel   bool // no process carries frames, so that none can be measured
	Open     bool // ports cannot be restricted to their own addresses
	Held     bool // ports are always restricted to their own addresses
	// Addresses is the most that it learns in reasonable time; 0: no limit
	Addresses int
	Single    bool // it has no number of workers to be set
	Unrated   bool // ports cannot be bounded by a rate
}

// Needs is what one case of a scenario needs of a peer.
type Needs struct {
	Ports    int  // number of ports
	Segments int  // number of segments: each but the first has one port, the first all others
	Changing bool // ports are added and removed during the measurement
	Daemon   bool // the peer's processes are measured
	Guarded  bool // ports are restricted to their own addresses
	Foreign  bool // frames have addresses that do not belong to the ports
	// Local ports stay in the host namespace, since moving a link into another takes 20 ms:
	// for thousands of ports, and traffic from packet sockets.
	Local     bool
	Addresses int // learned at the same time, beyond those of the ports
	Workers   int // threads that carry frames; 0: as many as it has by default
	// RateIn bounds what the first port sends, RateOut what the second is sent, in bits/s;
	// 0: not bounded.
	RateIn, RateOut uint64
}

// room is how many addresses a table must take: those that are learned, the ports', and some.
func (n Needs) room() int { return n.Addresses + n.Addresses/16 + n.Ports + 1024 }

// Allow reports whether a case with these needs can run.
func (l Limits) Allow(n Needs) bool {
	within := func(limit, n int) bool { return limit == 0 || n <= limit }
	switch {
	case !within(l.Ports, n.Ports), !within(l.Segments, n.Segments):
		return false
	case n.Guarded && l.Open, n.Foreign && l.Held:
		return false
	case !within(l.Addresses, n.Addresses), n.Workers > 0 && l.Single:
		return false
	case (n.RateIn != 0 || n.RateOut != 0) && l.Unrated:
		return false
	case n.Changing && (l.Fixed || !within(l.Changing, n.Ports)):
		return false
	}
	return !n.Daemon || !l.Kernel
}

// All returns all peers, in the order of tables and legends.
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

// Names returns the names of all peers, in the same order.
func Names() []string {
	var names []string
	for _, p := range All() {
		names = append(names, p.Name())
	}
	return names
}

// Select returns the peers with these names, in the order of [All]. A name may also be the
// part before a dash: "vswitch" selects vswitch in all of its poll modes. Without names it
// returns all peers. It is an error if a name is unknown.
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

// FindProgram returns the path of a program in PATH or in the directories of system
// administration programs. It is an error if there is none.
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
