package control

import (
	"errors"
	"io/fs"

	"vswitch/internal/control/kernel"
	"vswitch/internal/control/view"
	"vswitch/internal/netns"
)

// A port may be handed over: its device is made where the daemon runs, and another
// program, such as Docker, moves it into the container, names and configures it
// there, and moves it back before the port is removed. The daemon only follows:
//
//	waits (in the daemon's namespace, down) <-> moved (in the container, up) -> lost (with the container)
//
// It is connected to the switch all the time, since frames to an interface that is
// down are dropped as such.

// makeHandover makes p's device in ns, which is the daemon's own, as config says.
func (ds *devices) makeHandover(
	p *port, config deviceConfig, ns kernel.Namespace, undo *undo,
) (kernel.Device, error) {
	device, err := ds.kernel.CreateTAP(view.HostName(p.record), config.offload)
	if err != nil {
		return nil, deviceError(err)
	}
	undo.add(func() { ds.closeDevice(p, device) })
	prepared, err := ns.PrepareLink(config.LinkConfig)
	if err != nil {
		return nil, kernelError(err)
	}
	p.link = link{index: prepared.Index, mac: p.record.MAC, down: true}
	return device, nil
}

// followHandover follows where p's device is, in ns now, and what it is there.
func (ls *links) followHandover(p *port, ns kernel.Namespace) {
	l, err := ls.watchedLink(p, ns)
	if err != nil {
		ls.lookSoon(p) // it is being moved or renamed
		return
	}
	// Stored with the next change of the record: a restart finds the device without,
	// and a disk is slow beside the life of many a container.
	if identity, err := ns.Identity(); err == nil {
		p.record.Namespace = identity
	} else {
		ls.notRead(p, err)
	}
	ls.follow(p, l)
}

// reopenHandover opens p's persistent device in its container, or where it was
// made. It is not made anew: whoever configured it would not do so again.
func (r *restorer) reopenHandover(p *port) (kernel.Device, error) {
	device, err := r.reopenIn(p, p.record.NetNS)
	if err != nil && !passes(err) && p.record.NetNS != "" {
		device, err = r.reopenIn(p, "") // not moved yet, or back already
	}
	return device, err
}

func (r *restorer) reopenIn(p *port, netnsPath string) (kernel.Device, error) {
	record := p.record
	record.NetNS = netnsPath
	ns, err := r.openNamespace(record)
	if err != nil {
		return nil, lossBy(err)
	}
	defer ns.Close()
	identity, err := ns.Identity()
	if err != nil {
		return nil, err
	}
	name := view.HostName(p.record)
	if netnsPath != "" {
		l, err := ns.LinkByMAC(p.record.MAC[:])
		if errors.Is(err, netns.ErrNoLink) {
			l, err = ns.LinkByName(record.IfName)
		}
		if errors.Is(err, netns.ErrNoLink) {
			return nil, errLostLink
		}
		if err != nil {
			return nil, err
		}
		name = l.Name
	}
	device, err := r.kernel.AttachTAP(ns, name, r.offload(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errLostLink
	}
	if err != nil {
		return nil, err
	}
	p.record.Namespace = identity
	p.rename(name) // which the first look tells of
	p.link.pinned, p.link.where = netnsPath != "", ns.ID()
	return device, nil
}
