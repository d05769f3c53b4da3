package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"

	"vswitch/internal/host"
	"vswitch/internal/netns"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
	"vswitch/tap"
)

// System is the kernel that the process runs on.
type System struct{}

// NewPoller implements [Kernel]. The calling thread, a worker's, is scheduled in short slices from
// then on.
func (System) NewPoller(
	engine reactor.Engine, fallback func(reactor.State),
) (vswitch.Poller, error) {
	o := reactor.Options{Batch: vswitch.BatchFrames, Engine: engine, OnFallback: fallback}
	// The kernel's code for TAPs, on a file that is none yet: it needs no device, which would need
	// a namespace of its own. Where it cannot be opened no port can be added either.
	if file, err := tap.OpenUnattached(); err == nil {
		o.Probe = file
	}
	reactor.ShortenSlice()
	r, err := reactor.New(o)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Boot implements [Kernel].
func (System) Boot() (id string, uptime time.Duration) { return netns.Boot() }

// CreateTAP implements [Kernel].
func (System) CreateTAP(name string, offload bool) (Device, error) {
	return deviceOf(tap.Create(name, tap.Options{NoHeader: !offload}))
}

// AdoptTAP implements [Kernel].
func (System) AdoptTAP(fds []int) (Device, error) {
	for _, fd := range fds[1:] {
		_ = os.NewFile(uintptr(fd), "").Close()
	}
	return deviceOf(tap.Adopt(fds[0]))
}

// attachTimeout is how long a predecessor that was killed may take to let go of
// its devices.
const attachTimeout = 2 * time.Second

// AttachTAP implements [Kernel].
func (System) AttachTAP(in Namespace, name string, offload bool) (Device, error) {
	ns := in.(*netns.Namespace)
	return deviceOf(backoff.Retry(context.Background(), func() (d *tap.Device, err error) {
		err = ns.Do(func() error {
			d, err = tap.Attach(name, tap.Options{Persist: true, NoHeader: !offload})
			return err
		})
		if err != nil && !errors.Is(err, tap.ErrBusy) {
			err = backoff.Permanent(err)
		}
		return d, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 2 * time.Millisecond, Multiplier: 2, MaxInterval: 100 * time.Millisecond,
	}), backoff.WithMaxElapsedTime(attachTimeout)))
}

// RemoveTAP implements [Kernel].
func (System) RemoveTAP(name string) error {
	d, err := tap.Attach(name, tap.Options{})
	if err != nil {
		return err
	}
	return d.Close()
}

// deviceOf makes a device of what opened one, and none of a failure.
func deviceOf(d *tap.Device, err error) (Device, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// OpenNamespace implements [Kernel].
func (System) OpenNamespace(ref netns.Ref) (Namespace, error) { return namespaceOf(netns.Open(ref)) }

// Locate implements [Kernel].
func (System) Locate(asker Asker, ref netns.Ref) (Namespace, netns.Ref, error) {
	if asker == nil {
		ns, err := namespaceOf(netns.Open(ref))
		return ns, ref, err
	}
	pid, pidfd, err := asker.Process()
	if err != nil {
		return nil, ref, err
	}
	world, err := netns.OpenWorld(pid, pidfd)
	if err != nil {
		return nil, ref, fmt.Errorf("find network namespace %q: %w", ref, err)
	}
	defer world.Close()
	found, here, err := world.Locate(ref)
	ns, err := namespaceOf(found, err)
	return ns, here, err
}

// OwnNamespace implements [Kernel].
func (System) OwnNamespace() (Namespace, error) { return namespaceOf(netns.Current()) }

// NamespaceOf implements [Kernel].
func (System) NamespaceOf(d Device, name string) (Namespace, error) {
	return namespaceOf(netns.OfDevice(d.Fd(), name))
}

// OriginOf implements [Kernel].
func (System) OriginOf(d Device, name string) (Namespace, error) {
	return namespaceOf(netns.OriginOf(d.Fd(), name))
}

func namespaceOf(ns *netns.Namespace, err error) (Namespace, error) {
	if err != nil {
		return nil, err
	}
	return ns, nil
}

// OpenProcess implements [Kernel].
func (System) OpenProcess(pid int) (Process, error) {
	p, err := netns.OpenProcess(pid)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// systemWatcher is a [netns.Watcher].
type systemWatcher struct{ *netns.Watcher }

// Watch implements [LinkWatcher].
func (w systemWatcher) Watch(in Namespace) (int, error) {
	return w.Watcher.Watch(in.(*netns.Namespace))
}

// WatchLinks implements [Kernel].
func (System) WatchLinks() (LinkWatcher, error) { return watcherOf(netns.NewWatcher()) }

// WatchHostLinks implements [Kernel].
func (System) WatchHostLinks() (LinkWatcher, error) { return watcherOf(netns.NewHostWatcher()) }

func watcherOf(w *netns.Watcher, err error) (LinkWatcher, error) {
	if err != nil {
		return nil, err
	}
	return systemWatcher{w}, nil
}

// WatchMounts implements [Kernel].
func (System) WatchMounts(ctx context.Context, changed func()) error {
	return netns.WatchMounts(ctx, changed)
}

// WriteResolvConf implements [Kernel].
func (System) WriteResolvConf(
	name, id string, nameserver netip.Addr, held func(id string) bool,
) error {
	return netns.WriteResolvConf(netns.ResolvConfDir, name, id, nameserver, held)
}

// RemoveResolvConf implements [Kernel].
func (System) RemoveResolvConf(name, id string) error {
	return netns.RemoveResolvConf(netns.ResolvConfDir, name, id)
}

// LinkNames implements [Kernel].
func (System) LinkNames() ([]string, error) {
	links, err := net.Interfaces()
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Name
	}
	return names, err
}

// LinkIndex implements [Kernel].
func (System) LinkIndex(name string) (int, error) { return netns.LinkIndex(name) }

// HostPrefixes implements [Kernel].
func (System) HostPrefixes() ([]netip.Prefix, error) { return netns.HostPrefixes() }

// HostConflict implements [Kernel].
func (System) HostConflict(p netip.Prefix) (string, error) { return netns.HostConflict(p) }

// SetUpHostLink implements [Kernel].
func (System) SetUpHostLink(index int, c netns.HostLink) (int, []string, error) {
	return netns.SetUpHostLink(index, c)
}

// HardenHostLink implements [Kernel].
func (System) HardenHostLink(sysctlDir, name string) error {
	return netns.HardenHostLink(sysctlDir, name)
}

// ListenOnLink implements [Kernel].
func (System) ListenOnLink(
	link string, at netip.AddrPort, lost func(n uint64),
) (netns.LinkSocket, error) {
	return netns.ListenOnLink(link, at, lost)
}

// ForgetUDP implements [Kernel].
func (System) ForgetUDP(at netip.Addr, first, last uint16) error {
	return netns.ForgetUDP(at, first, last)
}

// OpenRuleset implements [Kernel].
func (System) OpenRuleset(log *slog.Logger, sysctlDir string) (Ruleset, error) {
	t, err := host.Open(host.Options{Log: log, SysctlDir: sysctlDir})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Reserve implements [Kernel].
func (System) Reserve(
	p host.Protocol, at netip.Addr, port uint16, count int,
) (Reservation, error) {
	r, err := host.Reserve(p, at, port, count)
	if err != nil {
		return nil, err
	}
	return r, nil
}
