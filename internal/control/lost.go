package control

import (
	"errors"
	"sync"
	"time"

	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// Reasons why a port is lost, as users read them.
const (
	lostNamespace = "its network namespace was deleted"
	lostLink      = "its interface was deleted in the network namespace"
	lostEither    = "its interface or its network namespace was deleted"
	lostOwn       = "its network namespace is vswitchd's own by now"
)

// Errors that say why a port is lost.
var (
	errLostNamespace = errors.New(lostNamespace)
	errLostLink      = errors.New(lostLink)
	errLostOwn       = errors.New(lostOwn)
)

// deviceGone is called by the switch when a port's device has ended under it:
// its namespace was deleted, or its link.
func (pc *ports) deviceGone(sw *vswitch.Port) {
	pc.found(func() (l loss, lost bool) {
		p := pc.portAt(sw)
		if p == nil {
			pc.hostDeviceGone(sw)
			return loss{}, false
		}
		if p.lost() || !sw.Lost() { // it may have another device by now
			return loss{}, false
		}
		exists, err := pc.namespaceExists(p)
		switch {
		case err != nil:
			return loss{p, lostEither}, true
		case exists:
			return loss{p, lostLink}, true
		}
		return loss{p, lostNamespace}, true
	})
}

// hostDeviceGone is deviceGone of a host link.
func (pc *ports) hostDeviceGone(sw *vswitch.Port) {
	for _, s := range pc.allSegments {
		if s.host != nil && s.host.sw == sw && !pc.closed {
			pc.hostLinks.loseHostLink(s.host, hostLinkDeleted)
		}
	}
}

// loss is that a port has lost its device, as was found out.
type loss struct {
	port   *port
	reason string
}

// finding finds out, under the lock, whether a port has lost its device.
type finding func() (l loss, lost bool)

// findings are those that wait for the lock. Of a burst, such as that of a machine's containers
// which end together, the first is followed alone, and those that come meanwhile together.
type findings struct {
	mu   sync.Mutex
	list []finding
}

// add adds one, and reports whether it is the first: then the caller takes all.
func (f *findings) add(find finding) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, find)
	return len(f.list) == 1
}

func (f *findings) take() []finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.list
	f.list = nil
	return list
}

// found follows one finding, with those that wait.
func (pc *ports) found(find finding) {
	if !pc.findings.add(find) {
		return
	}
	pc.lock()
	defer pc.unlockSoon()
	var losses []loss
	for _, find := range pc.findings.take() {
		if l, lost := find(); lost {
			losses = append(losses, l)
		}
	}
	pc.lose(losses)
}

// namespaceExists reports whether p's namespace is found where it was. An error says that this is
// not known.
func (c *core) namespaceExists(p *port) (bool, error) {
	ns, err := c.openNamespace(p.record)
	if err != nil {
		if saysGone(err) {
			err = nil
		}
		return false, err
	}
	defer ns.Close()
	identity, err := ns.Identity()
	return identity == p.record.Namespace, err
}

// isStillNamed reports what namespaceExists does, of a port whose device keeps its namespace
// alive, so that no other has the same ID. Each change of a mount has all such ports asked.
func (pc *ports) isStillNamed(p *port) (bool, error) {
	ref, err := netns.ParseRef(p.record.NetNS)
	if err == nil && ref.Means(p.link.where) {
		return true, nil
	}
	return pc.namespaceExists(p)
}

// lose follows losses that were found together, which are stored in one transaction. Each port's
// name, address, place in the switch and static entries stay for --lost-port-ttl, in case that its
// namespace comes back. Another one of that name may be there already.
func (pc *ports) lose(losses []loss) {
	var gone []goneDevice
	var ports []*port
	for _, l := range losses {
		if l.port.lost() {
			continue // it was found out in two ways
		}
		pc.sw.Detach(l.port.sw)
		gone = append(gone, pc.devices.takeDevice(l.port)...)
		pc.noteLost(l.port, l.reason)
		ports = append(ports, l.port)
	}
	pc.devices.letGo(gone...)
	pc.storePorts("store the loss of", ports)
	for _, p := range ports {
		pc.regainPort(p)
	}
}

// noteLost notes in p's record, which the caller stores, that p is lost.
func (pc *ports) noteLost(p *port, reason string) {
	boot, uptime := pc.kernel.Boot()
	p.record.Lose(reason, time.Now(), boot, uptime)
	pc.log.Warn("port lost", "port", p.record.Name, "netns", view.Namespace(p.record), "reason", reason)
	pc.expire(p)
}

// expire releases a lost port when its time is over.
func (pc *ports) expire(p *port) {
	// Not by wall time, which anybody may have set since then. After a boot its time begins again:
	// nobody knows for how long the machine was off.
	_, uptime := pc.kernel.Boot()
	since := max(0, uptime-p.record.LostUptime)
	p.expiry = time.AfterFunc(max(0, pc.config.LostPortTTL-since), func() {
		pc.lock()
		defer pc.unlock()
		if pc.closed || pc.allPorts[p.record.ID] != p || !p.lost() {
			return
		}
		pc.log.Info("lost port released", "port", p.record.Name, "after", pc.config.LostPortTTL)
		gone, err := pc.detach(p)
		pc.logFailure("release port "+p.record.Name, err)
		pc.devices.letGo(gone...)
	})
}

// mountsChanged follows that namespaces may have come or gone.
func (pc *ports) mountsChanged() {
	pc.lock()
	defer pc.unlockSoon()
	var losses []loss
	for _, p := range pc.allPorts {
		if l, lost := pc.checkNamespace(p); lost {
			losses = append(losses, l)
		}
	}
	pc.lose(losses)
}

// checkNamespace finds out what has become of a port whose namespace has a name, if others do not
// tell us: a lost one may have a namespace again, and one whose device keeps its namespace alive
// may have lost it.
func (pc *ports) checkNamespace(p *port) (l loss, lost bool) {
	switch {
	case pc.closed || p.record.NetNS == "":
	case p.lost():
		pc.regainPort(p)
	case p.link.pinned:
		named, err := pc.isStillNamed(p)
		if err != nil {
			pc.again(p, "cannot tell whether the port's network namespace still has its name", err,
				func() (loss, bool) { return pc.checkNamespace(p) })
		}
		return loss{p, lostNamespace}, err == nil && !named
	}
	return loss{}, false
}

// regainPort attaches a lost port anew if another namespace has its namespace's
// name, or the same one has it again. Failing that it stays lost.
func (pc *ports) regainPort(p *port) {
	if !isNamed(p.record) || p.record.Handover {
		return // others hand over anew
	}
	ns, err := pc.openNamespace(p.record)
	if errors.Is(err, errOwnNamespace) {
		pc.warnNotRegained(p, err)
	}
	if err != nil {
		pc.notRegained(p, "lost port's network namespace cannot be opened", err)
		return
	}
	defer ns.Close()
	identity, err := ns.Identity()
	switch {
	case err != nil:
		pc.notRegained(p, "lost port's network namespace cannot be told from others", err)
		return
	case identity == p.record.Namespace && !wasNamespace(p.record.LostReason):
		pc.explainLoss(p, lostLink) // and somebody wanted that
		return
	}
	if err := pc.regain(p, ns); err != nil {
		if !passes(err) {
			pc.warnNotRegained(p, err)
		}
		pc.notRegained(p, notAttached, err)
	}
}

// wasNamespace reports whether a port with this reason has lost its namespace, or its name.
func wasNamespace(lost string) bool { return lost == lostNamespace || lost == lostOwn }

const notAttached = "lost port not attached to the new network namespace of that name"

func (pc *ports) warnNotRegained(p *port, err error) {
	pc.log.Warn(notAttached, "port", p.record.Name, "netns", view.Namespace(p.record), "error", err)
}

// notRegained follows that a port stays lost, for now or until its namespace comes.
func (pc *ports) notRegained(p *port, what string, err error) {
	switch {
	case passes(err):
		pc.again(p, what, err, func() (loss, bool) { return pc.checkNamespace(p) })
	case saysGone(err):
		pc.explainLoss(p, lostNamespace)
	}
}

// explainLoss follows that it is known by now which of the two a port has lost.
func (pc *ports) explainLoss(p *port, reason string) {
	if p.record.LostReason == lostEither {
		p.record.LostReason = reason
		pc.log.Info("why the port is lost", "port", p.record.Name, "reason", reason)
		pc.storePorts("store the loss of", []*port{p})
	}
}

// regain takes every step to attach a lost port, or none.
func (pc *ports) regain(p *port, ns kernel.Namespace) error {
	identity, err := ns.Identity()
	if err != nil {
		return err
	}
	var undo undo
	defer undo.run()
	device, err := pc.devices.makeDevice(p, pc.deviceConfig(p), ns, &undo)
	if err != nil {
		return err
	}
	if err := pc.devices.connect(p, device); err != nil {
		return err
	}
	undo.add(func() { pc.sw.Detach(p.sw); p.device = nil })
	record := p.record
	record.Namespace = identity
	record.Find()
	if err := pc.store.Apply(model.PutPort(record)); err != nil {
		return err
	}
	undo.add(func() { pc.logFailure("drop a kept descriptor", pc.kept.drop(keptPort, p.record.ID)) })
	if err := pc.devices.keep(p, device); err != nil {
		return errors.Join(err, pc.store.Apply(model.PutPort(p.record)))
	}
	undo.keep()
	p.record = record
	if p.expiry != nil {
		p.expiry.Stop()
	}
	pc.attached(p, ns)
	pc.log.Info("lost port attached again", "port", p.record.Name, "netns", view.Namespace(p.record))
	return nil
}
