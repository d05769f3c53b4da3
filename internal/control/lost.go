package control

import (
	"errors"
	"time"

	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// Reasons why a port is lost, as users read them.
const (
	lostNamespace = "its network namespace was deleted"
	lostLink      = "its interface was deleted in the network namespace"
)

// deviceGone is called by the switch when a port's device has ended under it:
// its namespace was deleted, or its link.
func (d *Control) deviceGone(sw *vswitch.Port) {
	d.lock()
	defer d.unlockSoon()
	for _, p := range d.ports {
		if p.sw != sw || p.lost() || !sw.Lost() { // it may have another device by now
			continue
		}
		reason := lostLink
		if !d.stands(p) {
			reason = lostNamespace
		}
		d.lose(p, reason)
		d.regainPort(p) // another namespace of the name may be there already
	}
	for _, s := range d.segments {
		if s.host != nil && s.host.sw == sw && !d.closed {
			d.loseHostLink(s.host, hostLinkDeleted)
		}
	}
}

// stands says whether p's namespace is still found where it was.
func (d *Control) stands(p *port) bool {
	ns, err := openNamespace(p.record)
	if err != nil {
		return false
	}
	defer ns.Close()
	return ns.Identity() == p.record.Namespace
}

// lose follows the loss of a port's device. Its name, address, place in the switch and static
// entries stay for --lost-port-ttl, in case that its namespace comes back.
func (d *Control) lose(p *port, reason string) {
	d.disconnect(p)
	d.brief(p.segment)
	d.noteLost(p, reason)
	d.logFailure("store the loss of port "+p.record.Name, d.store.Apply(model.PutPort(p.record)))
}

// noteLost notes in p's record, which the caller stores, that p is lost.
func (d *Control) noteLost(p *port, reason string) {
	p.record.LostReason = reason
	if p.record.LostSince.IsZero() {
		p.record.LostSince = time.Now().UTC()
	}
	d.log.Warn("port lost", "port", p.record.Name, "netns", view.Namespace(p.record), "reason", reason)
	d.expire(p)
}

// expire releases a lost port when its time is over.
func (d *Control) expire(p *port) {
	// Wall time, for it outlasts a restart: a clock that went back since then must not
	// add to the time.
	since := max(0, time.Since(p.record.LostSince))
	p.expiry = time.AfterFunc(max(0, d.config.LostPortTTL-since), func() {
		d.lock()
		defer d.unlock()
		if d.closed || d.ports[p.record.ID] != p || !p.lost() {
			return
		}
		d.log.Info("lost port released", "port", p.record.Name, "after", d.config.LostPortTTL)
		d.logFailure("release port "+p.record.Name, d.detach(p))
	})
}

// mountsChanged looks at the ports whose namespaces may have come or gone.
func (d *Control) mountsChanged() {
	d.lock()
	defer d.unlockSoon()
	for _, p := range d.ports {
		switch {
		case d.closed || p.record.NetNS == "":
		case p.lost():
			d.regainPort(p)
		case p.link.pinned && !d.stands(p):
			d.lose(p, lostNamespace)
			d.regainPort(p)
		}
	}
}

// regainPort attaches a lost port anew if another namespace has its namespace's
// name. Failing that it stays lost.
func (d *Control) regainPort(p *port) {
	if p.record.NetNS == "" || p.record.Handover {
		return // the id of a process that has ended means nothing, and others hand over anew
	}
	ns, err := openNamespace(p.record)
	if err != nil {
		return
	}
	defer ns.Close()
	if ns.Identity() == p.record.Namespace {
		return // it lost its interface only, and somebody wanted that
	}
	if err := d.regain(p, ns); err != nil {
		d.log.Warn("lost port not attached to the new network namespace of that name", "port", p.record.Name, "netns", view.Namespace(p.record), "error", err)
	}
}

// regain takes every step to attach a lost port, or none.
func (d *Control) regain(p *port, ns *netns.Namespace) error {
	var undo undo
	defer undo.run()
	if err := d.makeDevice(p, ns, &undo); err != nil {
		return err
	}
	record := p.record
	record.Namespace, record.LostReason, record.LostSince = ns.Identity(), "", time.Time{}
	if err := d.store.Apply(model.PutPort(record)); err != nil {
		return err
	}
	if err := d.keep(p); err != nil {
		return errors.Join(err, d.store.Apply(model.PutPort(p.record)))
	}
	undo.keep()
	p.record = record
	if p.expiry != nil {
		p.expiry.Stop()
	}
	d.brief(p.segment)
	d.attached(p, ns)
	d.log.Info("lost port attached again", "port", p.record.Name, "netns", view.Namespace(p.record))
	return nil
}
