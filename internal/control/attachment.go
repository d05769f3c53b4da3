package control

import (
	"cmp"
	"encoding/hex"
	"net/netip"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/frame"
	"vswitch/internal/netns"
)

// attachment is a port that is being added:
//
//	plan, under the lock: its name, id, address and MAC are its own from then on
//	prepare, without it:  the kernel makes its device, and puts it into its namespace
//	commit, under it:     the switch has it, the store has it, and readers find it
//
// What has not been committed is taken back when the attachment ends.
type attachment struct {
	*ports
	p        *port
	link     deviceConfig
	resolver netip.Addr       // the segment's, at its gateway's address
	ns       kernel.Namespace // nil: not opened yet, ours
	device   kernel.Device
	undo     undo // what end takes back without the lock
	locked   undo // what end takes back under it
}

// plan reserves what a new port is to have in ns, nil for ours. ns becomes the attachment's, also
// when plan fails.
func (pc *ports) plan(spec api.PortSpec, ns kernel.Namespace) (_ *attachment, err error) {
	defer func() {
		if err != nil && ns != nil {
			_ = ns.Close()
		}
	}()
	pc.mu.Lock() // readers do not see it
	defer pc.mu.Unlock()
	if pc.closed {
		return nil, api.Unavailablef("vswitchd is stopping: try again once it has started")
	}
	if err := pc.checkPortName(spec.Name); err != nil {
		return nil, err
	}
	s, err := pc.findSegment(spec.Segment)
	if err != nil {
		return nil, err
	}
	if pc.allPorts[spec.ID] != nil || pc.pending[spec.ID] != nil {
		return nil, api.Conflictf("port %s already exists: choose another id, or none for a new one", spec.ID)
	}
	if err := checkGateway(spec, s); err != nil {
		return nil, err
	}
	p := &port{segment: s, record: recordOf(pc.newID(), spec, s)}
	if err := setPolicy(&p.record, s, policyOf(spec)); err != nil {
		return nil, err
	}
	if err := pc.neighbours.checkAllowedMACs(p.record, s, p); err != nil {
		return nil, err
	}
	a := &attachment{ports: pc, p: p, ns: ns}
	if err := a.assign(spec); err != nil {
		a.locked.run()
		return nil, err
	}
	a.link, a.resolver = pc.deviceConfig(p), s.record.IPv4().Gateway
	pc.pending[p.record.ID] = p
	a.locked.add(func() { delete(pc.pending, p.record.ID) })
	return a, nil
}

// checkGateway refuses a port that needs something of a gateway, on a segment that has none.
func checkGateway(spec api.PortSpec, s *segment) error {
	switch gateway := s.record.IPv4().Gateway; {
	case gateway.IsValid():
		return nil
	case spec.IP.DHCP:
		return api.Invalidf("segment %q has no gateway, and so no DHCP server: leave out ip dhcp", s.record.Name)
	case spec.ResolvConf:
		return api.Invalidf("segment %q has no gateway, and so no name server: leave out resolv conf", s.record.Name)
	}
	return nil
}

// recordOf returns the record of a new port, without its address, MAC and policy.
func recordOf(id string, spec api.PortSpec, s *segment) model.Port {
	r := model.Port{
		ID: cmp.Or(spec.ID, id), Name: spec.Name, SegmentID: s.record.ID, NetNS: spec.NetNS,
		PID: spec.PID, IfName: cmp.Or(spec.IfName, netns.DefaultName),
		NoDefaultRoute: spec.NoDefaultRoute, Labels: spec.Labels, Created: time.Now().UTC(),
		Aliases: spec.Aliases, DHCP: spec.IP.DHCP, ResolvConf: spec.ResolvConf,
		Handover: spec.Handover, AllowHostNetNS: spec.AllowHostNetNS,
	}
	if spec.Handover {
		r.IfName = view.HostName(r)
	}
	return r
}

// assign gives the port its address and MAC.
func (a *attachment) assign(spec api.PortSpec) error {
	p := a.p
	addr, err := a.pools.allocate(p, spec.IP.Addr)
	if err != nil {
		return ipamError(err)
	}
	p.record.Addrs = []netip.Addr{addr}
	a.locked.add(func() { a.logFailure("take back address", p.segment.cancel(addr)) })
	if err := a.checkAllowed(p, p.record); err != nil {
		return err
	}
	if p.record.MAC = spec.MAC; !spec.MAC.IsZero() {
		return a.neighbours.checkMAC(p.segment, p.record.MAC, p, true)
	}
	return a.chooseMAC()
}

// chooseMAC gives the port the MAC that is made of its address, or one made of its id if that is
// in use: a port that has got another address keeps its MAC.
func (a *attachment) chooseMAC() (err error) {
	p := a.p
	id, err := hex.DecodeString(p.record.ID)
	if err != nil {
		return api.Internalf("id of port %q: %w", p.record.Name, err)
	}
	choices := []frame.MAC{frame.MACFromIPv4(p.record.IPv4())}
	for ; len(id) >= len(frame.MAC{}); id = id[len(frame.MAC{}):] {
		mac := frame.MAC(id[:len(frame.MAC{})])
		mac[0] = mac[0]&^0x01 | 0x02 // of one station, and made here
		choices = append(choices, mac)
	}
	for _, p.record.MAC = range choices {
		if err = a.neighbours.checkMAC(p.segment, p.record.MAC, p, false); err == nil {
			return nil
		}
	}
	return err
}

// prepare makes the port's device. Of the segment it knows what plan has read: others may change it.
func (a *attachment) prepare() (err error) {
	p := a.p
	if a.ns == nil {
		if a.ns, err = a.openNamespace(p.record); err != nil {
			return err
		}
	}
	makeLink := a.devices.makeDevice
	if p.record.Handover {
		makeLink = a.devices.makeHandover
	}
	if a.device, err = makeLink(p, a.link, a.ns, &a.undo); err != nil {
		return err
	}
	if p.record.Namespace, err = a.ns.Identity(); err != nil {
		return kernelError(err)
	}
	if err := a.devices.writeResolvConf(p, a.resolver, &a.undo); err != nil {
		return err
	}
	// Before it is stored, so that a process that dies between leaves no port without its device,
	// but a device without its port, which the next one removes.
	a.undo.add(func() { a.logFailure("drop a kept descriptor", a.kept.drop(keptPort, p.record.ID)) })
	if err := a.devices.keep(p, a.device); err != nil {
		return err
	}
	a.logNotKept(view.HostName(p.record), a.kept.sync())
	return nil
}

// commit has the switch, the store and the readers have the port.
func (a *attachment) commit() (api.Port, error) {
	a.lock()
	defer a.unlock()
	p, s := a.p, a.p.segment
	switch {
	case a.closed:
		return api.Port{}, api.Unavailablef("vswitchd is stopping: try again once it has started")
	case a.allSegments[s.record.ID] != s:
		return api.Port{}, api.Conflictf("segment %q was deleted meanwhile: name another", s.record.Name)
	}
	var undo undo
	defer undo.run()
	if err := a.devices.place(p); err != nil {
		return api.Port{}, err
	}
	undo.add(func() { a.devices.displace(p) })
	// What the container has sent until now waits in the device.
	if err := a.devices.connect(p, a.device); err != nil {
		return api.Port{}, err
	}
	undo.add(func() { a.sw.Detach(p.sw); p.device = nil })
	if err := a.store.Apply(model.PutPort(p.record)); err != nil {
		return api.Port{}, api.Internalf("store port %q: %w", p.record.Name, err)
	}
	undo.keep()
	a.undo.keep()
	a.locked.keep()
	delete(a.pending, p.record.ID)
	a.allPorts[p.record.ID] = p
	a.activate()
	return p.now().View(), nil
}

// activate does what follows once the port is there.
func (a *attachment) activate() {
	p := a.p
	a.attached(p, a.ns)
	a.followOffload([]*port{p}) // if it was set meanwhile
	a.log.Info("port added", "port", p.record.Name, "id", p.record.ID, "segment", p.segment.record.Name,
		"address", p.record.IPv4(), "mac", p.record.MAC, "netns", view.Namespace(p.record))
	a.neighbours.checkNeighbourLimit()
}

// end takes back what was not committed.
func (a *attachment) end() {
	a.undo.run()
	if a.ns != nil {
		_ = a.ns.Close()
	}
	if a.locked.kept {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.locked.run()
}
