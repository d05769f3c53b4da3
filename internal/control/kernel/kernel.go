// Package kernel is what the control plane has the kernel do, as interfaces, and the kernel that
// does it. It knows links, namespaces, sockets and packet filters, and not what they are for.
package kernel

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"vswitch/internal/host"
	"vswitch/internal/netns"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
	"vswitch/tap"
)

// Kernel is a kernel: [System], or a test's.
type Kernel interface {
	TAPDriver
	Namespaces
	HostStack

	// NewPoller makes the poller of a worker, in its thread, with an engine or the next best that
	// the kernel permits; fallback is called when it is a slower one than was to be expected.
	NewPoller(engine reactor.Engine, fallback func(reactor.State)) (vswitch.Poller, error)
	// Boot returns what tells this boot of the machine from all others, empty if nothing does, and
	// for how long it has lasted.
	Boot() (id string, uptime time.Duration)
}

// TAPDriver makes TAPs.
type TAPDriver interface {
	// CreateTAP makes a TAP in the daemon's own namespace, which ends with its descriptor; with
	// offloads, or without virtio-net header.
	CreateTAP(name string, offload bool) (Device, error)
	// AdoptTAP makes a device of what was kept under one name, of which one is enough.
	AdoptTAP(fds []int) (Device, error)
	// AttachTAP opens a persistent TAP in a namespace, and waits a while for a predecessor that
	// was killed to let go of it.
	AttachTAP(in Namespace, name string, offload bool) (Device, error)
	// RemoveTAP deletes a persistent TAP of the daemon's own namespace. The error is a
	// [tap.ErrBusy] when a process holds it.
	RemoveTAP(name string) error
}

// Device is a TAP. The switch's pollers read and write it.
type Device interface {
	Name() string // that it was opened by
	LinkName() (string, error)
	Fd() int
	HeaderLen() int // in bytes, of the virtio-net header; 0: it has no offloads
	Offloads() tap.Offloads
	SetPersist(bool) error
	Close() error
}

// Namespaces are the network namespaces of the containers and of the daemon itself.
type Namespaces interface {
	OpenNamespace(netns.Ref) (Namespace, error)
	// Locate opens what ref means to asker, nil for the daemon itself, and returns what means the
	// same to the daemon.
	Locate(asker Asker, ref netns.Ref) (Namespace, netns.Ref, error)
	OwnNamespace() (Namespace, error)
	// NamespaceOf opens the namespace that a port's device is in; name is the port's. The error
	// wraps [netns.ErrNoLink] when the device's link was deleted.
	NamespaceOf(d Device, name string) (Namespace, error)
	// OriginOf opens the namespace that a port's device was opened in, which it keeps alive.
	OriginOf(d Device, name string) (Namespace, error)
	OpenProcess(pid int) (Process, error)
	WatchLinks() (LinkWatcher, error)
	WatchHostLinks() (LinkWatcher, error)
	WatchMounts(ctx context.Context, changed func()) error
	WriteResolvConf(name, id string, nameserver netip.Addr, held func(id string) bool) error
	RemoveResolvConf(name, id string) error
}

// Asker is a process that has asked for something.
type Asker interface {
	// Process returns its id as the daemon sees it, 0 if it cannot, and a descriptor of it
	// (pidfd_open(2)), which is the caller's.
	Process() (pid, pidfd int, err error)
}

// Namespace is a network namespace.
type Namespace interface {
	LinkFinder
	LinkByMAC(net.HardwareAddr) (netns.Link, error)
	SetMAC(index int, mac net.HardwareAddr) error
	SetTxQueueLen(index, n int) error
	ReplaceAddress(index int, from, to netip.Prefix) error
	AdoptLink(netns.LinkConfig) (netns.Adopted, error)
	PrepareLink(netns.LinkConfig) (netns.Link, error)
	ID() string
	// Identity is never that of another namespace. An error says nothing about this one.
	Identity() (string, error)
	Close() error
}

// LinkFinder finds links of a namespace.
type LinkFinder interface {
	LinkByName(name string) (netns.Link, error)
	LinkByIndex(index int) (netns.Link, error)
}

// Process is one by whose end a namespace ends.
type Process interface {
	Wait() error // an error: it was closed
	Close() error
}

// LinkWatcher follows links.
type LinkWatcher interface {
	Watch(Namespace) (number int, err error)
	Run(ctx context.Context, f func(netns.LinkEvent)) error
	Close() error
}

// HostStack is the host's own network.
type HostStack interface {
	LinkNames() ([]string, error)
	LinkIndex(name string) (int, error)
	HostPrefixes() ([]netip.Prefix, error)
	HostConflict(netip.Prefix) (string, error)
	SetUpHostLink(index int, c netns.HostLink) (int, []string, error)
	HardenHostLink(sysctlDir, name string) error
	ListenOnLink(link string, at netip.AddrPort, lost func(n uint64)) (netns.LinkSocket, error)
	ForgetUDP(host netip.Addr, first, last uint16) error
	OpenRuleset(log *slog.Logger, sysctlDir string) (Ruleset, error)
	Reserve(p host.Protocol, at netip.Addr, port uint16, count int) (Reservation, error)
}

// Ruleset is what the host's kernel does with the packets of segments.
type Ruleset interface {
	Apply(host.Config) error
	Foreign() []host.Foreign
	Run(context.Context) error
	Remove() error
	Close() error
}

// Reservation keeps ports of the host from other programs.
type Reservation interface {
	Port() uint16
	Share(port uint16) error
	Close()
}
