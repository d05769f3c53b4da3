package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"vswitch/internal/control/kernel"
	"vswitch/internal/host"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
	"vswitch/tap"
)

// fakeLink is a TAP's interface.
type fakeLink struct {
	netns.Link
	in         *fakeNamespace
	persistent bool
}

// fakeNamespace is a network namespace.
type fakeNamespace struct {
	*world
	name  string
	links map[int]*fakeLink
}

func (ns *fakeNamespace) ID() string       { return "id of " + ns.name }
func (ns *fakeNamespace) Identity() string { return "boot:" + ns.name }
func (ns *fakeNamespace) Close() error     { return nil }

func (ns *fakeNamespace) find(is func(*fakeLink) bool) (netns.Link, error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, l := range ns.links {
		if is(l) {
			return l.Link, nil
		}
	}
	return netns.Link{}, fmt.Errorf("%w: no such link", fs.ErrNotExist)
}

func (ns *fakeNamespace) LinkByName(name string) (netns.Link, error) {
	return ns.find(func(l *fakeLink) bool { return l.Name == name })
}

func (ns *fakeNamespace) LinkByIndex(index int) (netns.Link, error) {
	return ns.find(func(l *fakeLink) bool { return l.Index == index })
}

func (ns *fakeNamespace) LinkByMAC(mac net.HardwareAddr) (netns.Link, error) {
	return ns.find(func(l *fakeLink) bool { return bytes.Equal(l.MAC, mac) })
}

func (ns *fakeNamespace) SetMAC(index int, mac net.HardwareAddr) error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if err := ns.step("set the MAC of a link in %s", ns.name); err != nil {
		return err
	}
	ns.links[index].MAC = slices.Clone(mac)
	return nil
}

func (ns *fakeNamespace) AdoptLink(c netns.LinkConfig) (netns.Adopted, error) {
	if ns.onMove != nil {
		ns.onMove(ns.name)
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if err := ns.step("move %s to %s", c.HostName, ns.name); err != nil {
		return netns.Adopted{}, err
	}
	for _, l := range ns.links {
		if l.Name == c.Name {
			return netns.Adopted{}, fmt.Errorf("%w: %s", netns.ErrLinkExists, c.Name)
		}
	}
	for index, l := range ns.own.links {
		if l.Name == c.HostName {
			delete(ns.own.links, index)
			l.in, l.Name, l.MAC, l.Up = ns, c.Name, slices.Clone(c.MAC), true
			if c.Address.IsValid() {
				l.Addrs = []netip.Addr{c.Address.Addr()}
			}
			ns.links[index] = l
			return netns.Adopted{Name: c.Name, Index: index}, nil
		}
	}
	return netns.Adopted{}, fmt.Errorf("%w: no link %s", fs.ErrNotExist, c.HostName)
}

func (ns *fakeNamespace) PrepareLink(c netns.LinkConfig) (netns.Link, error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if err := ns.step("prepare %s", c.HostName); err != nil {
		return netns.Link{}, err
	}
	for _, l := range ns.links {
		if l.Name == c.HostName {
			l.MAC = slices.Clone(c.MAC)
			return l.Link, nil
		}
	}
	return netns.Link{}, fs.ErrNotExist
}

// fakeDevice is a TAP's descriptor.
type fakeDevice struct {
	*world
	fd     int
	name   string
	link   *fakeLink // nil: it is gone
	wire   *switchtest.Device
	closed bool // by the process; whoever keeps the descriptor has it still
}

func (d *fakeDevice) Name() string { return d.name }
func (d *fakeDevice) Fd() int      { return d.fd }

func (d *fakeDevice) LinkName() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link == nil {
		return "", tap.ErrDeleted
	}
	return d.link.Name, nil
}

func (d *fakeDevice) SetPersist(persist bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link == nil {
		return tap.ErrDeleted
	}
	if err := d.step("make %s persistent: %t", d.link.Name, persist); err != nil {
		return err
	}
	d.link.persistent = persist
	return nil
}

func (d *fakeDevice) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil
	}
	d.closeLocked()
	return nil
}

// closeLocked closes the process's descriptor. A link that is not persistent ends with the last
// one, which may be a kept one.
func (d *fakeDevice) closeLocked() {
	d.closed = true
	if d.devices[d.fd] != d {
		return // the next process has it
	}
	for _, fd := range d.kept {
		if fd == d.fd {
			return
		}
	}
	delete(d.devices, d.fd)
	if d.link != nil && !d.link.persistent {
		delete(d.link.in.links, d.link.Index)
	}
}

// fakePoller carries the frames of fakeDevices.
type fakePoller struct{ vswitch.Poller }

func (p fakePoller) Add(slot uint32, dev vswitch.Device, watch bool) error {
	return p.Poller.Add(slot, dev.(*fakeDevice).wire, watch)
}

// fakeKernel is the world's kernel.
type fakeKernel struct{ *world }

func (fakeKernel) NewPoller(func(error)) (vswitch.Poller, error) {
	p, err := switchtest.NewPoller()
	return fakePoller{p}, err
}

func (k fakeKernel) open(l *fakeLink) *fakeDevice {
	k.nextFd++
	return k.openAs(k.nextFd, l)
}

func (k fakeKernel) openAs(fd int, l *fakeLink) *fakeDevice {
	d := &fakeDevice{world: k.world, fd: fd, name: l.Name, link: l, wire: new(switchtest.Device)}
	k.devices[fd] = d
	return d
}

func (k fakeKernel) CreateTAP(name string) (kernel.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.step("create %s", name); err != nil {
		return nil, err
	}
	for _, l := range k.own.links {
		if l.Name == name {
			return nil, fs.ErrExist
		}
	}
	k.nextIndex++
	l := &fakeLink{Link: netns.Link{Index: k.nextIndex, Name: name}, in: k.own}
	k.own.links[l.Index] = l
	return k.open(l), nil
}

func (k fakeKernel) AdoptTAP(fds []int) (kernel.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.devices[fds[0]]
	if d == nil || d.link == nil {
		return nil, tap.ErrDeleted
	}
	return k.openAs(fds[0], d.link), nil // another one than that of the process before
}

func (k fakeKernel) AttachTAP(in kernel.Namespace, name string) (kernel.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.step("attach to %s", name); err != nil {
		return nil, err
	}
	for _, l := range in.(*fakeNamespace).links {
		if l.Name == name {
			return k.open(l), nil
		}
	}
	return nil, fs.ErrNotExist
}

func (k fakeKernel) RemoveTAP(name string) error {
	d, err := k.AttachTAP(k.own, name)
	if err != nil {
		return err
	}
	return errors.Join(d.SetPersist(false), d.Close())
}

func (k fakeKernel) OpenNamespace(ref netns.Ref) (kernel.Namespace, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ns := k.named[ref.String()]
	if ns == nil {
		return nil, fmt.Errorf("%w: %s", netns.ErrNoNamespace, ref)
	}
	return ns, nil
}

func (k fakeKernel) OwnNamespace() (kernel.Namespace, error) { return k.own, nil }

func (k fakeKernel) NamespaceOf(d kernel.Device, _ string) (kernel.Namespace, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := d.(*fakeDevice).link; l != nil {
		return l.in, nil
	}
	return nil, tap.ErrDeleted
}

func (fakeKernel) OpenProcess(int) (kernel.Process, error)     { return nil, errors.ErrUnsupported }
func (fakeKernel) WatchLinks() (kernel.LinkWatcher, error)     { return nil, errors.ErrUnsupported }
func (fakeKernel) WatchHostLinks() (kernel.LinkWatcher, error) { return nil, errors.ErrUnsupported }
func (fakeKernel) WatchMounts(context.Context, func()) error   { return nil }

func (k fakeKernel) WriteResolvConf(name, id string, _ netip.Addr, _ func(string) bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.step("write resolv.conf of %s", name)
}

func (k fakeKernel) RemoveResolvConf(name, id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.step("remove resolv.conf of %s", name)
}

func (k fakeKernel) LinkNames() ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []string
	for _, l := range k.own.links {
		names = append(names, l.Name)
	}
	return names, nil
}

func (k fakeKernel) LinkIndex(name string) (int, error) {
	l, err := k.own.LinkByName(name)
	return l.Index, err
}

func (fakeKernel) HostPrefixes() ([]netip.Prefix, error) { return nil, nil }

func (fakeKernel) HostConflict(netip.Prefix) (string, error) { return "", nil }

func (k fakeKernel) SetUpHostLink(index int, c netns.HostLink) (int, []string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.step("set up %s", c.Name); err != nil {
		return 0, nil, err
	}
	for _, l := range k.own.links {
		if l.Name == c.Name || l.Index == index {
			l.Name, l.MAC, l.Up = c.Name, slices.Clone(c.MAC), true
			return l.Index, nil, nil
		}
	}
	return 0, nil, fs.ErrNotExist
}

func (k fakeKernel) HardenHostLink(string, string) error { return nil }

// noSocket is a socket that hears nothing.
type noSocket struct {
	net.PacketConn
	closed chan struct{}
	once   *sync.Once
}

func (s noSocket) ReadFrom([]byte) (int, net.Addr, error) { <-s.closed; return 0, nil, net.ErrClosed }

func (s noSocket) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

type noListener struct{ noSocket }

func (l noListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l noListener) Addr() net.Addr            { return &net.TCPAddr{} }

func (fakeKernel) ListenOnLink(string, netip.AddrPort, func(uint64)) (netns.LinkSocket, error) {
	s := noSocket{closed: make(chan struct{}), once: new(sync.Once)}
	return netns.LinkSocket{UDP: s, TCP: noListener{s}}, nil
}

func (k fakeKernel) ForgetUDP(netip.Addr, uint16, uint16) error { return nil }

func (k fakeKernel) OpenRuleset(*slog.Logger, string) (kernel.Ruleset, error) {
	return &fakeRuleset{k.world}, nil
}

// fakeRuleset is the world's firewall.
type fakeRuleset struct{ *world }

func (r *fakeRuleset) Apply(c host.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.step("apply %d segments and %d forwards", len(c.Segments), len(c.Forwards)); err != nil {
		return err
	}
	r.rules, r.rulesThere = c, true
	return nil
}

func (r *fakeRuleset) Remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules, r.rulesThere = host.Config{}, false
	return nil
}

func (*fakeRuleset) Foreign() []host.Foreign       { return nil }
func (*fakeRuleset) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (*fakeRuleset) Close() error                  { return nil }

func (k fakeKernel) Reserve(
	_ host.Protocol, at netip.Addr, port uint16, count int,
) (kernel.Reservation, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.step("reserve %d ports from %d on", count, port); err != nil {
		return nil, err
	}
	if port == 0 {
		port = 32768
	}
	r := &fakeReservation{world: k.world}
	for i := range uint16(count) {
		p := netip.AddrPortFrom(at, port+i)
		if k.reserved[p] {
			return nil, fmt.Errorf("%w: %s", host.ErrInUse, p)
		}
		r.ports = append(r.ports, p)
	}
	for _, p := range r.ports {
		k.reserved[p] = true
	}
	return r, nil
}

// fakeReservation keeps ports of the world.
type fakeReservation struct {
	*world
	ports []netip.AddrPort
}

func (r *fakeReservation) Port() uint16       { return r.ports[0].Port() }
func (r *fakeReservation) Share(uint16) error { return nil }

func (r *fakeReservation) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.ports {
		delete(r.reserved, p)
	}
}
