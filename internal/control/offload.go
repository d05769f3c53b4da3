package control

import (
	"errors"

	"golang.org/x/sync/errgroup"

	"vswitch/internal/control/kernel"
	"vswitch/internal/control/view"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// deviceConfig is what a port's device is to be.
type deviceConfig struct {
	netns.LinkConfig
	offload bool // with virtio-net header and offloads
}

// deviceConfig returns what p's device is to be. It is called under the lock: it reads the segment.
func (c *core) deviceConfig(p *port) deviceConfig {
	return deviceConfig{p.linkConfig(), c.offload(p)}
}

// offload returns whether p's device is to have offloads.
func (c *core) offload(p *port) bool {
	return view.Offload(p.record, p.segment.record, !c.config.NoOffload)
}

// followOffload has the devices of ports have offloads, or not, as is set by now. The kernel fixes
// the virtio-net header of a TAP's descriptor when that is attached (drivers/net/tun.c, TUNSETIFF),
// and lets a device of one queue have one descriptor: so the link, which is persistent, is left and
// attached to anew. What waited in the descriptor's queue is lost, and the link is without carrier
// for a moment.
func (pc *ports) followOffload(list []*port) {
	var changed []*port
	for _, p := range list {
		if !p.lost() && (p.device.HeaderLen() != 0) != pc.offload(p) {
			changed = append(changed, p)
		}
	}
	if len(changed) == 0 {
		return
	}
	// A descriptor that is kept for the next process would hold the link.
	for _, p := range changed {
		pc.logFailure("drop a kept descriptor", pc.kept.drop(keptPort, p.record.ID))
	}
	pc.logFailure("drop kept descriptors", pc.kept.sync())
	attached, errs := make([]vswitch.Attachment, len(changed)), make([]error, len(changed))
	for _, p := range changed {
		pc.sw.Detach(p.sw)
	}
	var opening errgroup.Group
	opening.SetLimit(reopenLimit)
	for i, p := range changed {
		opening.Go(func() error {
			var device kernel.Device
			device, errs[i] = pc.devices.attachAnew(p)
			attached[i] = vswitch.Attachment{Port: p.sw, Device: device}
			return nil
		})
	}
	_ = opening.Wait() // each has its error in errs
	for i, p := range changed {
		if errs[i] == nil {
			errs[i] = pc.devices.connectAnew(p, attached[i].Device.(kernel.Device))
		}
		if errs[i] != nil {
			pc.loseDevice(p, errs[i])
		}
	}
	pc.logNotKept("ports whose offload has changed", pc.kept.sync())
}

// attachAnew closes p's device and attaches to its link with the offloads that it is to have. It
// touches nothing but p, so that many ports may be attached at once.
func (ds *devices) attachAnew(p *port) (kernel.Device, error) {
	ns, err := ds.kernel.NamespaceOf(p.device, p.record.Name)
	if err != nil {
		return nil, errors.Join(err, p.device.Close())
	}
	defer ns.Close()
	name, err := p.device.LinkName()
	if err := errors.Join(err, p.device.Close()); err != nil {
		return nil, err
	}
	device, err := ds.kernel.AttachTAP(ns, name, ds.offload(p))
	if err == nil {
		ds.notePinned(p, device)
	}
	return device, err
}

// connectAnew puts p's new device behind its place in the switch.
func (ds *devices) connectAnew(p *port, device kernel.Device) error {
	if err := ds.connect(p, device); err != nil {
		return errors.Join(err, device.Close())
	}
	if p.link.watched && p.link.pinned && p.record.NetNS == "" && p.link.process == nil {
		ds.links.watchProcess(p)
	}
	ds.links.lookSoon(p) // for what has changed meanwhile
	return ds.keep(p, device)
}

// loseDevice follows that p's device could not be attached to again.
func (pc *ports) loseDevice(p *port, err error) {
	pc.links.unwatch(p)
	p.device = nil
	pc.noteLost(p, err.Error())
	pc.storePorts("store the loss of", []*port{p})
	pc.restorer.notReopened(p, err)
}
