package kerneltest

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"

	"vswitch/internal/control/kernel"
	"vswitch/internal/netns"
)

// Link is a TAP's interface. The machine's lock guards it.
type Link struct {
	netns.Link
	In         *Namespace
	Persistent bool
}

// Namespace is a network namespace. It implements [kernel.Namespace].
type Namespace struct {
	m     *Machine
	Name  string
	Links map[int]*Link // by index; guarded by the machine's lock, as all below

	Asked netns.LinkConfig // what the link that was moved here last was to be
	IPv6  error            // why IPv6 cannot be disabled on links here; nil: it can
}

var _ kernel.Namespace = (*Namespace)(nil)

func newNamespace(m *Machine, name string) *Namespace {
	return &Namespace{m: m, Name: name, Links: make(map[int]*Link)}
}

// ID implements [kernel.Namespace].
func (ns *Namespace) ID() string {
	if ns == ns.m.Own {
		return "id of the process's own" // whatever the others are called
	}
	return "id of " + ns.Name
}

// Identity implements [kernel.Namespace]. It is called "identify NAME".
func (ns *Namespace) Identity() (string, error) {
	if err := ns.m.failure("identify " + ns.Name); err != nil {
		return "", err
	}
	return "boot:" + ns.Name, nil
}

// Close implements [kernel.Namespace].
func (ns *Namespace) Close() error { return nil }

func (ns *Namespace) find(is func(*Link) bool) (netns.Link, error) {
	ns.m.Mu.Lock()
	defer ns.m.Mu.Unlock()
	ns.m.Looks++
	for _, l := range ns.Links {
		if is(l) {
			return l.Link, nil
		}
	}
	return netns.Link{}, fmt.Errorf("%w in %s", netns.ErrNoLink, ns.Name)
}

// LinkByName implements [kernel.Namespace].
func (ns *Namespace) LinkByName(name string) (netns.Link, error) {
	return ns.find(func(l *Link) bool { return l.Name == name })
}

// LinkByIndex implements [kernel.Namespace].
func (ns *Namespace) LinkByIndex(index int) (netns.Link, error) {
	return ns.find(func(l *Link) bool { return l.Index == index })
}

// LinkByMAC implements [kernel.Namespace].
func (ns *Namespace) LinkByMAC(mac net.HardwareAddr) (netns.Link, error) {
	return ns.find(func(l *Link) bool { return bytes.Equal(l.MAC, mac) })
}

// Link returns the link of a name, which must be there.
func (ns *Namespace) Link(name string) *Link {
	ns.m.tb.Helper()
	ns.m.Mu.Lock()
	defer ns.m.Mu.Unlock()
	for _, l := range ns.Links {
		if l.Name == name {
			return l
		}
	}
	ns.m.tb.Fatalf("namespace %s has no link %s", ns.Name, name)
	return nil
}

// SetMAC implements [kernel.Namespace].
func (ns *Namespace) SetMAC(index int, mac net.HardwareAddr) error {
	ns.m.Mu.Lock()
	defer ns.m.Mu.Unlock()
	if err := ns.m.step("set the MAC of a link in %s", ns.Name); err != nil {
		return err
	}
	ns.Links[index].MAC = slices.Clone(mac)
	return nil
}

// SetTxQueueLen implements [kernel.Namespace].
func (ns *Namespace) SetTxQueueLen(index, n int) error {
	ns.m.Mu.Lock()
	defer ns.m.Mu.Unlock()
	if err := ns.m.step("set the queue of a link in %s", ns.Name); err != nil {
		return err
	}
	ns.Links[index].TxQueueLen = n
	return nil
}

// ReplaceAddress implements [kernel.Namespace].
func (ns *Namespace) ReplaceAddress(index int, from, to netip.Prefix) error {
	ns.m.Mu.Lock()
	defer ns.m.Mu.Unlock()
	if err := ns.m.step("give a link in %s an address", ns.Name); err != nil {
		return err
	}
	l := ns.Links[index]
	l.Addrs = slices.DeleteFunc(slices.Clone(l.Addrs), func(a netip.Addr) bool { return a == from.Addr() })
	if to.IsValid() && !slices.Contains(l.Addrs, to.Addr()) {
		l.Addrs = append(l.Addrs, to.Addr())
	}
	return nil
}

// AdoptLink implements [kernel.Namespace]: it moves a link of the process's own namespace here.
func (ns *Namespace) AdoptLink(c netns.LinkConfig) (netns.Adopted, error) {
	if ns.m.OnMove != nil {
		ns.m.OnMove(ns.Name)
	}
	ns.m.Mu.Lock()
	defer ns.m.Mu.Unlock()
	if err := ns.m.step("move %s to %s", c.HostName, ns.Name); err != nil {
		return netns.Adopted{}, err
	}
	ns.Asked = c
	for _, l := range ns.Links {
		if l.Name == c.Name {
			return netns.Adopted{}, fmt.Errorf("%w: %s", netns.ErrLinkExists, c.Name)
		}
	}
	for index, l := range ns.m.Own.Links {
		if l.Name == c.HostName {
			delete(ns.m.Own.Links, index)
			l.In, l.Name, l.MAC, l.Up = ns, c.Name, slices.Clone(c.MAC), true
			l.TxQueueLen = c.TxQueueLen
			if c.Address.IsValid() {
				l.Addrs = []netip.Addr{c.Address.Addr()}
			}
			ns.Links[index] = l
			return netns.Adopted{Name: c.Name, Index: index, IPv6: ns.IPv6}, nil
		}
	}
	return netns.Adopted{}, fmt.Errorf("%w: no link %s", fs.ErrNotExist, c.HostName)
}

// PrepareLink implements [kernel.Namespace].
func (ns *Namespace) PrepareLink(c netns.LinkConfig) (netns.Link, error) {
	ns.m.Mu.Lock()
	defer ns.m.Mu.Unlock()
	if err := ns.m.step("prepare %s", c.HostName); err != nil {
		return netns.Link{}, err
	}
	for _, l := range ns.Links {
		if l.Name == c.HostName {
			l.MAC, l.TxQueueLen = slices.Clone(c.MAC), c.TxQueueLen
			return l.Link, nil
		}
	}
	return netns.Link{}, fs.ErrNotExist
}
