package control

import (
	"errors"
	"io/fs"

	"vswitch/internal/control/kernel"
	"vswitch/internal/control/view"
	"vswitch/internal/netns"
	"vswitch/tap"
)

// errRemake says that a port's device is to be made again: another namespace has the name of the
// port's, or that one has lost its interface while nothing ran.
var errRemake = errors.New("the device is to be made again")

// errOtherOffload says that a device is to be opened with offloads where it was without, or the
// other way round.
var errOtherOffload = errors.New("it was opened with another setting of offload")

// reopen opens p's device by the descriptor that was kept for it, or else by its namespace. It
// touches nothing but p, so that many ports may be reopened at once. The error is the reason why
// p is lost, or errRemake.
func (r *restorer) reopen(p *port) (kernel.Device, error) {
	if fds := r.kept.take(keptPort, p.record.ID); len(fds) > 0 {
		device, err := r.kernel.AdoptTAP(fds)
		if err == nil && (device.HeaderLen() != 0) == r.offload(p) {
			p.rename(device.Name()) // while nobody looked
			r.devices.notePinned(p, device)
			return device, nil
		}
		if err == nil { // it was set, and the process ended before it was done
			err = errors.Join(errOtherOffload, device.Close())
		}
		r.logFailure("drop a kept descriptor", r.kept.drop(keptPort, p.record.ID))
		if !errors.Is(err, tap.ErrDeleted) {
			r.log.Warn("kept descriptor is of no use", "port", p.record.Name, "error", err)
		}
	}
	if p.record.Handover {
		return r.reopenHandover(p)
	}
	return r.reattach(p)
}

// notePinned notes whether a descriptor that was kept keeps the namespace of its link alive: a
// process before may have opened it inside. Our own needs no descriptor for that.
func (ds *devices) notePinned(p *port, device kernel.Device) {
	origin, err := ds.kernel.OriginOf(device, p.record.Name)
	if err != nil {
		ds.log.Warn("the end of the port's namespace may go unnoticed", "port", p.record.Name, "error", err)
		return
	}
	defer origin.Close()
	own, err := ds.kernel.OwnNamespace()
	if err != nil {
		return
	}
	defer own.Close()
	if origin.ID() == own.ID() {
		return
	}
	ns, err := ds.kernel.NamespaceOf(device, p.record.Name)
	if err != nil {
		return // the link is just ending, which its descriptor tells
	}
	defer ns.Close()
	p.link.pinned, p.link.where = origin.ID() == ns.ID(), ns.ID()
}

// restoreConnected follows that a device which is in its namespace already was connected, or that
// this has failed.
func (r *restorer) restoreConnected(p *port, device kernel.Device, err error) error {
	if err != nil {
		_ = device.Close()
		return switchError(err)
	}
	r.devices.connected(p, device)
	p.link.down = view.Waits(p.record) // which is not looked at yet
	if err := device.SetPersist(true); err != nil {
		r.sw.Detach(p.sw)
		p.device = nil
		_ = device.Close()
		return err
	}
	p.record.Find()
	return nil
}

// lossBy returns why a port is lost whose namespace could not be opened.
func lossBy(err error) error {
	switch {
	case errors.Is(err, errOwnNamespace):
		return errLostOwn
	case saysGone(err):
		return errLostNamespace
	}
	return err
}

// reattach opens p's persistent device in its namespace.
func (r *restorer) reattach(p *port) (kernel.Device, error) {
	ns, err := r.openNamespace(p.record)
	if err != nil {
		return nil, lossBy(err)
	}
	defer ns.Close()
	identity, err := ns.Identity()
	if err != nil {
		return nil, err
	}
	same := identity == p.record.Namespace
	if !same && !isNamed(p.record) {
		return nil, errLostNamespace // the id belongs to another process by now
	}
	if p.record.LostReason == lostLink && same {
		return nil, errLostLink
	}
	if !same {
		return nil, errRemake
	}
	device, err := r.kernel.AttachTAP(ns, p.record.IfName, r.offload(p))
	if errors.Is(err, fs.ErrNotExist) {
		device, err = r.attachByMAC(p, ns)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, netns.ErrNoLink) {
		return nil, errRemake
	}
	p.link.pinned, p.link.where = err == nil, ns.ID()
	return device, err
}

// attachByMAC opens p's persistent device in ns, which has another name than was stored.
func (r *restorer) attachByMAC(p *port, ns kernel.Namespace) (kernel.Device, error) {
	l, err := ns.LinkByMAC(p.record.MAC[:])
	if err != nil {
		return nil, err
	}
	return r.kernel.AttachTAP(ns, l.Name, r.offload(p))
}

// remake makes p's device anew.
func (r *restorer) remake(p *port) error {
	ns, err := r.openNamespace(p.record)
	if err != nil {
		return lossBy(err)
	}
	defer ns.Close()
	p.record.LostReason = "" // regain stores it
	if err := r.ports.regain(p, ns); err != nil {
		return err
	}
	r.log.Info("device made again", "port", p.record.Name, "netns", view.Namespace(p.record))
	return nil
}

// notReopened has a port's device opened later, unless the error is an answer.
func (r *restorer) notReopened(p *port, err error) {
	if passes(err) {
		r.ports.again(p, "the port's device could not be opened", err, func() (loss, bool) {
			if p.lost() {
				r.reopenLate(p)
			}
			return loss{}, false
		})
	}
}

// reopenLate opens the device of a port that was lost because that had failed at the start.
func (r *restorer) reopenLate(p *port) {
	device, err := r.reopen(p)
	switch {
	case err == nil:
		err = r.restoreConnected(p, device, r.sw.Attach(p.sw, device))
	case errors.Is(err, errRemake):
		err = r.remake(p)
		device = nil // of which regain has taken care
	}
	if err != nil {
		p.record.LostReason = err.Error()
		r.notReopened(p, err)
	} else if device != nil {
		r.logNotKept(view.HostName(p.record), errors.Join(
			r.kept.keep(keptPort, p.record.ID, device.Fd()), r.kept.sync()))
		p.expiry.Stop()
		r.links.lookSoon(p)
		r.log.Info("lost port attached again", "port", p.record.Name,
			"netns", view.Namespace(p.record))
	}
	r.storePorts("store", []*port{p}) // what has not changed is not written
}
