package vswitch

import (
	"errors"
	"fmt"
	"slices"

	"vswitch/internal/frame"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// AddPort joins a device to a segment; frames may flow before it returns, under the policy
// that c gives. Without a device (nil) the port is lost until [Switch.Attach]: its address
// is known, and what is sent to it is dropped as port-lost. ErrInUse says that the policy's
// MAC is another port's own.
func (s *Switch) AddPort(seg *Segment, dev Device, c PortConfig) (*Port, error) {
	return s.addPort(seg, dev, c, nil)
}

// addPort is AddPort, and AddHostPort with its filter.
func (s *Switch) addPort(seg *Segment, dev Device, c PortConfig, f HostFilter) (*Port, error) {
	g, err := policy.NewGuard(c.Policy)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(seg); err != nil {
		return nil, err
	}
	if f != nil {
		if err := seg.takesHost(); err != nil {
			return nil, err
		}
	}
	p := &Port{
		name: c.Name, segment: seg, filter: f, worker: s.leastLoaded(),
		maxFrame: seg.maxFrame(), batch: 1, detached: true,
	}
	p.adopt(g)
	p.state.Or(stateLost)
	if err := s.placePort(p, c.Counters); err != nil {
		return nil, err
	}
	if mac := c.Policy.MAC; f == nil && mac.IsUnicast() {
		if err := s.pinFirst(p, mac.Uint64(), c.Policy.Security != policy.SecurityOff); err != nil {
			s.forgetPort(p)
			return nil, err
		}
	}
	if dev != nil {
		p.device = dev
		list := []Attachment{{Port: p, Device: dev}}
		if s.attach(list); list[0].Err != nil {
			s.withdraw(p)
			return nil, list[0].Err
		}
	}
	return p, nil
}

// Attach gives a port that is lost a device.
func (s *Switch) Attach(p *Port, dev Device) error {
	list := []Attachment{{Port: p, Device: dev}}
	s.AttachAll(list)
	return list[0].Err
}

// Attachment is a device for a port that is lost, and the error of [Switch.AttachAll].
type Attachment struct {
	Port   *Port
	Device Device
	Err    error
}

// AttachAll is Attach of many devices, for which it asks each worker twice at most. It sets the
// error of each.
func (s *Switch) AttachAll(list []Attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		a := &list[i]
		p := a.Port
		a.Err = s.usable(p.segment)
		switch {
		case a.Err != nil:
		case p.responder != nil || a.Device == nil || !s.holds(p):
			a.Err = fmt.Errorf("attach a device to port %q: %w", p.name, errRemoved)
		case p.device != nil:
			a.Err = ErrInUse
		default:
			p.device = a.Device
		}
	}
	s.attach(list)
}

// attach makes the devices of those without an error known to all workers, and has the ports'
// own read them once the others can send there.
func (s *Switch) attach(list []Attachment) {
	for i := range list {
		if list[i].Err == nil {
			list[i].Port.setOffload(offloadState(list[i].Device))
		}
	}
	s.addDevices(list, func(w *worker, p *Port) bool { return w != p.worker })
	for i := range list {
		if list[i].Err == nil {
			p := list[i].Port
			p.state.And(^stateLost)
			p.segment.publish(p)
		}
	}
	s.addDevices(list, func(w *worker, p *Port) bool { return w == p.worker })
}

// addDevices makes the devices of those ports known to a worker of which concerns says so.
func (s *Switch) addDevices(list []Attachment, concerns func(*worker, *Port) bool) {
	for _, w := range s.workers {
		if !slices.ContainsFunc(list, func(a Attachment) bool {
			return a.Err == nil && concerns(w, a.Port)
		}) {
			continue
		}
		var failed []*Port
		w.do(func() {
			for i := range list {
				a := &list[i]
				if a.Err != nil || !concerns(w, a.Port) {
					continue
				}
				if err := w.addDevice(a.Port); err != nil {
					a.Err = fmt.Errorf("watch the port's device: %w", err)
					failed = append(failed, a.Port)
				}
			}
		})
		for _, p := range failed {
			s.detach(p)
		}
	}
}

// addDevice makes p's device known to the worker, which calls it.
func (w *worker) addDevice(p *Port) error {
	if err := w.poller.Add(p.slot, p.device, w == p.worker); err != nil {
		return err
	}
	if w == p.worker {
		p.detached, p.batch, p.last = false, 1, route{}
	}
	return nil
}

// Detach takes the device away from a port, which is lost then. When it returns, no worker
// uses the device any more. The port keeps its address, its entries and its counters.
func (s *Switch) Detach(p *Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.holds(p) || p.device == nil {
		return
	}
	s.detach(p)
}

func (s *Switch) detach(p *Port) {
	p.state.Or(stateLost)
	for _, w := range s.workers {
		w.do(func() {
			if w == p.worker {
				w.unwatch(p)
			}
			w.abandon(p)
			_ = w.poller.Remove(p.slot) // it may not know the device
		})
	}
	p.device = nil
}

// RemovePort takes a port out. When it returns, no worker uses the port's device any more,
// and no entry of the table names the port: what is still sent to its addresses is dropped
// as unreachable until they age or are seen elsewhere. A port that was removed before, or
// whose switch is closed, is left alone.
func (s *Switch) RemovePort(p *Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.holds(p) {
		return
	}
	if p.responder != nil {
		p.segment.gateway.Store(nil)
		s.forgetPort(p)
		return
	}
	if p.device != nil {
		s.detach(p)
	}
	s.withdraw(p)
}

// holds says whether p has not been removed: its slot may be another's by now.
func (s *Switch) holds(p *Port) bool {
	ports := *s.ports.Load()
	return p.slot < uint32(len(ports)) && ports[p.slot] == p
}

// withdraw takes a port that is not read (any more) out of all snapshots and
// waits until no worker holds an old one.
func (s *Switch) withdraw(p *Port) {
	if p.filter != nil {
		p.segment.host.Store(nil)
	} else {
		ports := slices.DeleteFunc(slices.Clone(*p.segment.ports.Load()), func(q *Port) bool { return q == p })
		p.segment.ports.Store(&ports)
		p.member = false
	}
	s.forgetPort(p)
}

// publish makes p one that floods go to, from its first device on: what is flooded while it
// is being made is none of its losses.
func (s *Segment) publish(p *Port) {
	if p.filter != nil {
		s.host.Store(p)
		return
	}
	if !p.member {
		p.member = true
		ports := append(*s.ports.Load(), p) // readers have the shorter one
		s.ports.Store(&ports)
	}
}

// forgetPort ends the entries of p and frees its slot. Nothing reads p any more,
// so no new entry can come; when it returns, no worker holds p.
func (s *Switch) forgetPort(p *Port) {
	s.table.Release(p.place(), s.now.Load())
	if r := p.segment.rules.Load(); r != nil {
		p.segment.rules.Store(r.Without(p.slot))
	}
	ports := slices.Clone(*s.ports.Load())
	ports[p.slot] = nil
	s.ports.Store(&ports)
	s.lowest = min(s.lowest, int(p.slot))
	if p.worker != nil {
		p.worker.load--
	}
	s.barrier()
}

// pin makes mac p's own address.
func (s *Switch) pin(p *Port, mac uint64, locked bool) error {
	if err := s.table.Pin(p.key(mac), p.place(), locked); err != nil {
		return ownError(mac, err)
	}
	p.own = mac
	return nil
}

// pinFirst is pin for a new port. An interface of another port without security may happen to
// have the address; that keeps nobody from being added.
func (s *Switch) pinFirst(p *Port, mac uint64, locked bool) error {
	err := s.pin(p, mac, locked)
	if errors.Is(err, ErrInUse) && !s.table.Lookup(p.key(mac)).Locked() {
		p.own = mac // once the other has another
		return nil
	}
	return err
}

// ownError is the error of the forwarding table about the address mac.
func ownError(mac uint64, err error) error {
	if errors.Is(err, fdb.ErrOwned) {
		err = ErrInUse
	}
	return fmt.Errorf("MAC %s: %w", frame.MACFromUint64(mac), err)
}

// SetMAC follows the address that the port's interface has now, where the port's security
// is off; at other levels its own address is that of the policy. What is still sent to the
// address before is dropped as unreachable. ErrInUse says that mac is another port's own, or
// has a static entry at another: then it is learned, if that port allows it, and becomes p's
// own once it is free.
func (s *Switch) SetMAC(p *Port, mac frame.MAC) error {
	if !mac.IsUnicast() {
		return ErrGroupMAC
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(p.segment); err != nil {
		return err
	}
	if !s.holds(p) || p.filter != nil || p.responder != nil || !p.Trusted() || p.own == mac.Uint64() {
		return nil
	}
	old := p.own
	err := s.pinFree(p, mac.Uint64())
	p.own = mac.Uint64()
	if old != 0 {
		s.table.Unpin(p.key(old), p.place(), s.now.Load())
	}
	return err
}

// pinFree makes mac the own address of p, whose interface has it, unless it was given to
// another port by hand.
func (s *Switch) pinFree(p *Port, mac uint64) error {
	if v := s.table.Lookup(p.key(mac)); v.Kind() == fdb.Static && v.Place() != p.place() {
		return ownError(mac, fdb.ErrOwned)
	}
	return s.pin(p, mac, false)
}

// repin makes mac p's own address in the place of the one that it has.
func (s *Switch) repin(p *Port, mac uint64, locked bool) error {
	old := p.own
	if err := s.pin(p, mac, locked); err != nil {
		return err
	}
	if old != 0 && old != mac {
		s.table.Unpin(p.key(old), p.place(), s.now.Load())
	}
	return nil
}

// restoreOwn makes the addresses of ports without security their own again that have moved
// with a frame from elsewhere and aged there, or whose port there is lost or gone.
func (s *Switch) restoreOwn() {
	if !s.mu.TryLock() {
		return // next time
	}
	defer s.mu.Unlock()
	for _, p := range *s.ports.Load() {
		if p != nil && p.own != 0 && p.Trusted() && s.free(s.table.Lookup(p.key(p.own))) {
			_ = s.pin(p, p.own, false) // another's by now, or learned just then
		}
	}
}

// free reports whether an entry leads to no port with a device, and none may keep it.
func (s *Switch) free(v fdb.Value) bool {
	if v == 0 || v.Kind() != fdb.Learned {
		return v == 0
	}
	ports, at := *s.ports.Load(), int(v.Place())
	return at < len(ports) && (ports[at] == nil || ports[at].Lost())
}
