package kerneltest

import (
	"errors"
	"io/fs"

	"vswitch/internal/control/kernel"
	"vswitch/internal/netns"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
	"vswitch/tap"
)

// Device is a TAP's descriptor. It implements [kernel.Device]. The machine's lock guards it.
type Device struct {
	m      *Machine
	fd     int
	name   string
	origin *Namespace         // that it was opened in
	Link   *Link              // nil: it is gone
	Wire   *switchtest.Device // what a container has of it
	Closed bool               // by the process; whoever keeps the descriptor has it still
}

var _ kernel.Device = (*Device)(nil)

// Name implements [kernel.Device].
func (d *Device) Name() string { return d.name }

// Fd implements [kernel.Device].
func (d *Device) Fd() int { return d.fd }

// LinkName implements [kernel.Device].
func (d *Device) LinkName() (string, error) {
	d.m.Mu.Lock()
	defer d.m.Mu.Unlock()
	if d.Link == nil {
		return "", tap.ErrDeleted
	}
	return d.Link.Name, nil
}

// HeaderLen implements [kernel.Device].
func (d *Device) HeaderLen() int { return d.Wire.HeaderLen() }

// Offloads implements [kernel.Device]. What Wire sends is complete.
func (*Device) Offloads() tap.Offloads { return 0 }

// SetPersist implements [kernel.Device].
func (d *Device) SetPersist(persist bool) error {
	d.m.Mu.Lock()
	defer d.m.Mu.Unlock()
	if d.Link == nil {
		return tap.ErrDeleted
	}
	if err := d.m.step("make %s persistent: %t", d.Link.Name, persist); err != nil {
		return err
	}
	d.Link.Persistent = persist
	return nil
}

// Close implements [kernel.Device].
func (d *Device) Close() error {
	d.m.Mu.Lock()
	defer d.m.Mu.Unlock()
	if d.m.dead {
		return nil
	}
	d.closeLocked()
	return nil
}

// closeLocked closes the process's descriptor. A link that is not persistent ends with the last
// one, which may be a kept one.
func (d *Device) closeLocked() {
	d.Closed = true
	if d.m.Devices[d.fd] != d {
		return // the next process has it
	}
	for _, fd := range d.m.Kept {
		if fd == d.fd {
			return
		}
	}
	delete(d.m.Devices, d.fd)
	if d.Link != nil && !d.Link.Persistent {
		delete(d.Link.In.Links, d.Link.Index)
	}
}

// poller carries the frames of Devices.
type poller struct{ vswitch.Poller }

func (p poller) Add(slot uint32, dev vswitch.Device, watch bool) error {
	return p.Poller.Add(slot, dev.(*Device).Wire, watch)
}

// NewPoller implements [kernel.Kernel].
func (Kernel) NewPoller(reactor.Engine, func(reactor.State)) (vswitch.Poller, error) {
	p, err := switchtest.NewPoller()
	return poller{p}, err
}

// attach opens a link that no descriptor holds.
func (k Kernel) attach(l *Link, offload bool) (kernel.Device, error) {
	for _, d := range k.Devices {
		if d.Link == l && !d.Closed {
			return nil, tap.ErrBusy
		}
	}
	return k.open(l, offload), nil
}

func (k Kernel) open(l *Link, offload bool) *Device {
	k.nextFd++
	return k.openAs(k.nextFd, l, l.In, offload)
}

func (k Kernel) openAs(fd int, l *Link, origin *Namespace, offload bool) *Device {
	d := &Device{
		m: k.Machine, fd: fd, name: l.Name, origin: origin, Link: l,
		Wire: &switchtest.Device{Plain: !offload},
	}
	k.Devices[fd] = d
	return d
}

// CreateTAP implements [kernel.TAPDriver]. It is called "create NAME".
func (k Kernel) CreateTAP(name string, offload bool) (kernel.Device, error) {
	if err := k.failure("create " + name); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.step("create %s", name); err != nil {
		return nil, err
	}
	for _, l := range k.Own.Links {
		if l.Name == name {
			return nil, fs.ErrExist
		}
	}
	k.nextIndex++
	l := &Link{Link: netns.Link{Index: k.nextIndex, Name: name}, In: k.Own}
	k.Own.Links[l.Index] = l
	return k.open(l, offload), nil
}

// AdoptTAP implements [kernel.TAPDriver].
func (k Kernel) AdoptTAP(fds []int) (kernel.Device, error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	d := k.Devices[fds[0]]
	if d == nil || d.Link == nil {
		return nil, tap.ErrDeleted
	}
	return k.openAs(fds[0], d.Link, d.origin, !d.Wire.Plain), nil // another one than that of the process before
}

// AttachTAP implements [kernel.TAPDriver]. It is called "attach NAME".
func (k Kernel) AttachTAP(in kernel.Namespace, name string, offload bool) (kernel.Device, error) {
	if err := k.failure("attach " + name); err != nil {
		return nil, err
	}
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.step("attach to %s", name); err != nil {
		return nil, err
	}
	for _, l := range in.(*Namespace).Links {
		if l.Name == name {
			return k.attach(l, offload)
		}
	}
	return nil, fs.ErrNotExist
}

// RemoveTAP implements [kernel.TAPDriver].
func (k Kernel) RemoveTAP(name string) error {
	d, err := k.AttachTAP(k.Own, name, true)
	if err != nil {
		return err
	}
	return errors.Join(d.SetPersist(false), d.Close())
}
