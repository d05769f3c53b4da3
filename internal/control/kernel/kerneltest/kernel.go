package kerneltest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"vswitch/internal/control/kernel"
	"vswitch/internal/netns"
)

// Kernel is the machine's kernel. It implements [kernel.Kernel]; a test that wants a call to do
// something else embeds it.
type Kernel struct{ *Machine }

var _ kernel.Kernel = Kernel{}

// Boot implements [kernel.Kernel].
func (k Kernel) Boot() (id string, uptime time.Duration) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	return k.BootID, time.Since(k.Booted)
}

// OpenNamespace implements [kernel.Namespaces]. It is called "open namespace REF".
func (k Kernel) OpenNamespace(ref netns.Ref) (kernel.Namespace, error) {
	if err := k.failure("open namespace " + ref.String()); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	ns := k.Named[ref.String()]
	if ns == nil {
		return nil, fmt.Errorf("%w: %s", netns.ErrNoNamespace, ref)
	}
	return ns, nil
}

// Locate implements [kernel.Namespaces]: who asks means what the process means. It is called as
// [Kernel.OpenNamespace] is.
func (k Kernel) Locate(_ kernel.Asker, ref netns.Ref) (kernel.Namespace, netns.Ref, error) {
	ns, err := k.OpenNamespace(ref)
	return ns, ref, err
}

// OwnNamespace implements [kernel.Namespaces]. It is called "own namespace".
func (k Kernel) OwnNamespace() (kernel.Namespace, error) {
	return k.Own, k.failure("own namespace")
}

// NamespaceOf implements [kernel.Namespaces]. It is called "namespace of PORT".
func (k Kernel) NamespaceOf(d kernel.Device, port string) (kernel.Namespace, error) {
	if err := k.failure("namespace of " + port); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if l := d.(*Device).Link; l != nil {
		return l.In, nil
	}
	return nil, netns.ErrNoLink
}

// OriginOf implements [kernel.Namespaces].
func (k Kernel) OriginOf(d kernel.Device, _ string) (kernel.Namespace, error) {
	return d.(*Device).origin, nil
}

// OpenProcess implements [kernel.Namespaces]. It is called "open process PID".
func (k Kernel) OpenProcess(pid int) (kernel.Process, error) {
	if err := k.failure(fmt.Sprint("open process ", pid)); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	p := k.Processes[pid]
	if p == nil {
		return nil, fmt.Errorf("%w: process %d is not running", netns.ErrNoNamespace, pid)
	}
	return &openProcess{p, make(chan struct{})}, nil
}

// Process is a process that runs.
type Process struct{ ended chan struct{} }

// openProcess is a process that somebody waits for.
type openProcess struct {
	*Process
	closed chan struct{}
}

func (p *openProcess) Wait() error {
	select {
	case <-p.ended:
		return nil
	case <-p.closed:
		return net.ErrClosed
	}
}

func (p *openProcess) Close() error {
	close(p.closed)
	return nil
}

// WatchLinks implements [kernel.Namespaces]. It is called "watch links".
func (k Kernel) WatchLinks() (kernel.LinkWatcher, error) {
	if err := k.failure("watch links"); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	k.Links = newWatcher(k.Machine)
	return k.Links, nil
}

// WatchHostLinks implements [kernel.Namespaces]. It is called "watch host links".
func (k Kernel) WatchHostLinks() (kernel.LinkWatcher, error) {
	if err := k.failure("watch host links"); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	k.HostLinks = newWatcher(k.Machine)
	return k.HostLinks, nil
}

// Watcher follows links. It implements [kernel.LinkWatcher].
type Watcher struct {
	m       *Machine
	Events  chan netns.LinkEvent // what it has to tell
	Err     error                // of Watch
	numbers map[*Namespace]int
}

func newWatcher(m *Machine) *Watcher {
	return &Watcher{m: m, Events: make(chan netns.LinkEvent, 100), numbers: make(map[*Namespace]int)}
}

// Watch implements [kernel.LinkWatcher].
func (w *Watcher) Watch(in kernel.Namespace) (int, error) {
	w.m.Mu.Lock()
	defer w.m.Mu.Unlock()
	if w.Err != nil {
		return 0, w.Err
	}
	ns := in.(*Namespace)
	if w.numbers[ns] == 0 {
		w.numbers[ns] = len(w.numbers) + 1
	}
	return w.numbers[ns], nil
}

// Tell reports a change of a link in a namespace, if that is watched.
func (w *Watcher) Tell(ns *Namespace, index int) {
	w.m.Mu.Lock()
	defer w.m.Mu.Unlock()
	if n := w.numbers[ns]; n != 0 {
		w.Events <- netns.LinkEvent{Namespace: n, Index: index}
	}
}

// Run implements [kernel.LinkWatcher].
func (w *Watcher) Run(ctx context.Context, each func(netns.LinkEvent)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			each(e)
		}
	}
}

// Close implements [kernel.LinkWatcher].
func (*Watcher) Close() error { return nil }

// WatchMounts implements [kernel.Namespaces].
func (k Kernel) WatchMounts(ctx context.Context, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.mounts:
			changed()
		}
	}
}

// WriteResolvConf implements [kernel.Namespaces]. It is called "write resolv.conf".
func (k Kernel) WriteResolvConf(
	name, id string, nameserver netip.Addr, held func(id string) bool,
) error {
	if err := k.failure("write resolv.conf"); err != nil {
		return err
	}
	var owner string
	k.With(func() { owner, _, _ = strings.Cut(k.ResolvConfs[name], " ") })
	// Asked without the lock, which who holds the control plane's may be waiting for.
	if owner != "" && owner != id && held(owner) {
		return fmt.Errorf("%w: written for another port", netns.ErrNotOurs)
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.step("write resolv.conf of %s", name); err != nil {
		return err
	}
	k.ResolvConfs[name] = id + " " + nameserver.String()
	return nil
}

// RemoveResolvConf implements [kernel.Namespaces]. It is called "remove resolv.conf".
func (k Kernel) RemoveResolvConf(name, id string) error {
	if err := k.failure("remove resolv.conf"); err != nil {
		return err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.step("remove resolv.conf of %s", name); err != nil {
		return err
	}
	if strings.HasPrefix(k.ResolvConfs[name], id+" ") {
		delete(k.ResolvConfs, name)
	}
	return nil
}
