package control

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	"vswitch/internal/host"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// kernel is what the nouns have the kernel do: [system], or a test's.
type kernel interface {
	tapDriver
	namespaces
	hostStack

	// newPoller makes the poller of a worker; fallback is called when it is a slower one.
	newPoller(fallback func(why error)) (vswitch.Poller, error)
}

// tapDriver makes TAPs.
type tapDriver interface {
	// createTAP makes a TAP in the daemon's own namespace, which ends with its descriptor.
	createTAP(name string) (device, error)
	// adoptTAP makes a device of what was kept under one name, of which one is enough.
	adoptTAP(fds []int) (device, error)
	// attachTAP opens a persistent TAP in a namespace, and waits a while for a predecessor that
	// was killed to let go of it.
	attachTAP(in namespace, name string) (device, error)
	// removeTAP deletes a persistent TAP of the daemon's own namespace. The error is a
	// [tap.ErrBusy] when a process holds it.
	removeTAP(name string) error
}

// device is a TAP. The switch's pollers read and write it.
type device interface {
	Name() string // that it was opened by
	LinkName() (string, error)
	Fd() int
	SetPersist(bool) error
	Close() error
}

// namespaces are the network namespaces of the containers and of the daemon itself.
type namespaces interface {
	openNamespace(netns.Ref) (namespace, error)
	ownNamespace() (namespace, error)
	// namespaceOf opens the namespace that a port's device is in; name is the port's.
	namespaceOf(d device, name string) (namespace, error)
	openProcess(pid int) (process, error)
	watchLinks() (linkWatcher, error)
	watchHostLinks() (linkWatcher, error)
	watchMounts(ctx context.Context, changed func()) error
	writeResolvConf(name, id string, nameserver netip.Addr, held func(id string) bool) error
	removeResolvConf(name, id string) error
}

// namespace is a network namespace.
type namespace interface {
	linkFinder
	LinkByMAC(net.HardwareAddr) (netns.Link, error)
	SetMAC(index int, mac net.HardwareAddr) error
	AdoptLink(netns.LinkConfig) (netns.Adopted, error)
	PrepareLink(netns.LinkConfig) (netns.Link, error)
	ID() string
	Identity() string
	Close() error
}

// process is one by whose end a namespace ends.
type process interface {
	Wait() error // an error: it was closed
	Close() error
}

// linkWatcher follows links.
type linkWatcher interface {
	Watch(namespace) (number int, err error)
	Run(ctx context.Context, f func(netns.LinkEvent)) error
	Close() error
}

// hostStack is the host's own network.
type hostStack interface {
	linkNames() ([]string, error)
	linkIndex(name string) (int, error)
	hostPrefixes() ([]netip.Prefix, error)
	hostConflict(netip.Prefix) (string, error)
	setUpHostLink(index int, c netns.HostLink) (int, []string, error)
	hardenHostLink(sysctlDir, name string) error
	listenOnLink(link string, at netip.AddrPort, lost func(n uint64)) (netns.LinkSocket, error)
	forgetUDP(host netip.Addr, first, last uint16) error
	openRuleset(log *slog.Logger, sysctlDir string) (ruleset, error)
	reserve(p host.Protocol, at netip.Addr, port uint16, count int) (reservation, error)
}

// ruleset is what the host's kernel does with the packets of segments.
type ruleset interface {
	Apply(host.Config) error
	Foreign() []host.Foreign
	Run(context.Context) error
	Remove() error
	Close() error
}

// reservation keeps ports of the host from other programs.
type reservation interface {
	Port() uint16
	Share(port uint16) error
	Close()
}
