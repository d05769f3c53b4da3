package control

import (
	"net/netip"
	"regexp"
	"sync"

	"golang.org/x/sync/errgroup"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// devices are the TAPs of ports, and their places in the switch.
type devices struct {
	*core
	rules   *rules
	links   *links
	closing sync.WaitGroup // of ports that are gone
}

// txQueueLen is the number of frames that a container may send before the
// switch has read them: the size of the TAP's ring.
const txQueueLen = 1000

// makeDevice makes p's device and puts it into ns as config says.
func (ds *devices) makeDevice(
	p *port, config deviceConfig, ns kernel.Namespace, undo *undo,
) (kernel.Device, error) {
	// Made here and moved: a descriptor opened in the container's namespace would
	// keep that alive after the container's end.
	device, err := ds.kernel.CreateTAP(view.HostName(p.record), config.offload)
	if err != nil {
		return nil, deviceError(err)
	}
	undo.add(func() { ds.closeDevice(p, device) })
	config.DisableIPv6, config.SysctlDir = !ds.config.IPv6LinkLocal, ds.config.SysctlDir
	adopted, err := ns.AdoptLink(config.LinkConfig)
	if err != nil {
		return nil, kernelError(err)
	}
	if adopted.IPv6 != nil {
		ds.log.Warn("the container's kernel sends IPv6 multicasts on the port's interface",
			"port", p.record.Name, "error", adopted.IPv6)
	}
	p.link = link{index: adopted.Index, mac: p.record.MAC}
	if !p.record.DHCP { // as PrepareLink has set it
		p.link.addrs = []netip.Addr{p.record.IPv4()}
	}
	return device, nil
}

// attached does what follows once p's device is in its namespace ns and stored.
func (pc *ports) attached(p *port, ns kernel.Namespace) {
	pc.links.watch(p, ns)
	pc.links.lookSoon(p) // for what has changed just before we watched
}

// ownLink matches the names of ports' links where vswitchd runs, and of host links.
var ownLink = regexp.MustCompile(`^(vst-[0-9a-f]{8}|vs-[0-9a-f]{11})$`)

// linkConfig returns what p's link is to be. It is called under the lock: it reads the segment.
func (p *port) linkConfig() netns.LinkConfig {
	subnet, gateway := p.segment.record.IPv4(), view.DefaultGateway(p.segment.record)
	config := netns.LinkConfig{
		HostName: view.HostName(p.record), Name: p.record.IfName, MAC: p.record.MAC[:], MTU: p.segment.record.MTU, TxQueueLen: txQueueLen,
		Address: netip.PrefixFrom(p.record.IPv4(), subnet.Prefix.Bits()), Gateway: gateway,
		DefaultRoute: !p.record.NoDefaultRoute && gateway.IsValid(),
	}
	if p.record.DHCP { // the container's client sets these
		config.Address, config.DefaultRoute = netip.Prefix{}, false
	}
	return config
}

// place gives p its place in the switch, without a device.
func (ds *devices) place(p *port) error {
	p.counts = ds.counters.take(countsPort, p.record.ID)
	var err error
	p.sw, err = ds.sw.AddPort(p.segment.sw, nil, vswitch.PortConfig{
		Name: p.record.Name, Policy: view.Policy(p.record), Counters: p.counts.Words,
	})
	if err != nil {
		ds.counters.release(countsPort, p.record.ID)
		return switchError(err)
	}
	ds.places[p.sw] = p
	p.sw.SetDown(p.record.Down)
	if err := ds.rules.joinRules(p); err != nil {
		ds.displace(p)
		return err
	}
	for e := range ds.store.State().EntriesOf(p.record.ID) {
		ds.logFailure("restore static entry "+e.MAC.String(), ds.sw.AddEntry(p.sw, e.MAC))
	}
	return nil
}

// displace ends p's place in the switch and its counters.
func (ds *devices) displace(p *port) {
	ds.sw.RemovePort(p.sw)
	delete(ds.places, p.sw)
	ds.counters.release(countsPort, p.record.ID)
}

// connect puts device behind p's place in the switch.
func (ds *devices) connect(p *port, device kernel.Device) error {
	if err := ds.sw.Attach(p.sw, device); err != nil {
		return switchError(err)
	}
	ds.connected(p, device)
	return nil
}

// connected follows that device is behind p's place in the switch.
func (ds *devices) connected(p *port, device kernel.Device) {
	p.device = device
	if p.sw.Trusted() { // its own address has followed that of the device before
		ds.logFailure("give port "+p.record.Name+" its MAC", ds.sw.SetMAC(p.sw, p.record.MAC))
	}
}

// keep has p's device outlive this process: its link in the kernel, and its
// descriptor at whoever supervises us.
func (ds *devices) keep(p *port, d kernel.Device) error {
	// In this order, so that a process that dies between leaves a descriptor by which the next one
	// finds the link.
	ds.logNotKept(view.HostName(p.record), ds.kept.keep(keptPort, p.record.ID, d.Fd()))
	if err := d.SetPersist(true); err != nil {
		return api.Internalf("%w", err)
	}
	return nil
}

// goneDevice is the device of a port that has it no longer.
type goneDevice struct {
	port   *port
	device kernel.Device
}

// takeDevice takes the device that the switch does not use any more from p, if it has one.
func (ds *devices) takeDevice(p *port) (gone []goneDevice) {
	ds.links.unwatch(p)
	if !p.lost() {
		gone = []goneDevice{{p, p.device}}
	}
	p.device = nil
	return gone
}

// letGoLimit is how many devices are closed at once. Each waits for the kernel, which ends those
// that come together at less cost.
const letGoLimit = 1024

// letGo ends the links of devices. The lock is not needed for it. Should the process die before,
// the next one finds devices without ports.
func (ds *devices) letGo(gone ...goneDevice) {
	if len(gone) == 0 {
		return
	}
	// First, for a process that dies before the rest leaves links that end with it.
	for _, g := range gone {
		_ = g.device.SetPersist(false) // fails when the link is gone
	}
	// A link ends with its last descriptor, which must be ours.
	for _, g := range gone {
		ds.logFailure("drop a kept descriptor", ds.kept.drop(keptPort, g.port.record.ID))
	}
	ds.logFailure("drop kept descriptors", ds.kept.sync())
	var closing errgroup.Group
	closing.SetLimit(letGoLimit)
	for _, g := range gone {
		closing.Go(func() error {
			ds.closeDevice(g.port, g.device)
			return nil
		})
	}
	_ = closing.Wait() // closeDevice logs what fails
}

// letGoOf is letGo, but that devices which others manage are let go of soon: the kernel takes its
// time, and those are in no container's way.
func (ds *devices) letGoOf(gone []goneDevice) {
	var managed, rest []goneDevice
	for _, g := range gone {
		if g.port.record.Handover {
			managed = append(managed, g)
		} else {
			rest = append(rest, g)
		}
	}
	ds.closing.Go(func() { ds.letGo(managed...) })
	ds.letGo(rest...)
}

// closeDevice deletes the link, unless that was done by others.
func (ds *devices) closeDevice(p *port, device kernel.Device) {
	_ = device.SetPersist(false) // fails when the link is gone
	if err := device.Close(); err != nil {
		ds.log.Error("cannot close the port's device", "port", p.record.Name, "error", err)
	}
}

// detach takes a port out, and returns its device, which the caller lets go of.
func (pc *ports) detach(p *port) (gone []goneDevice, err error) {
	rules := p.segment.rulesWithout(p)
	if err := pc.store.Apply(ends(p.segment, rules, p)...); err != nil {
		return nil, api.Internalf("store the end of port %q: %w", p.record.Name, err)
	}
	gone = pc.remove(p)
	pc.rules.dropRules(p.segment, rules, p)
	return gone, nil
}

// remove takes down a port whose end is stored, and returns its device, which the caller lets go
// of.
func (pc *ports) remove(p *port) (gone []goneDevice) {
	delete(pc.allPorts, p.record.ID)
	pc.devices.removeResolvConf(p)
	p.notes.stop()
	if p.expiry != nil {
		p.expiry.Stop()
	}
	pc.devices.displace(p)
	gone = pc.devices.takeDevice(p)
	pc.publications.withdraw(p)
	pc.logFailure("release address", p.segment.release(p.record.IPv4()))
	pc.log.Info("port removed", "port", p.record.Name, "id", p.record.ID, "segment", p.segment.record.Name)
	return gone
}

// ends are the changes by which ports of a segment end, which keeps these of its rules.
func ends(s *segment, rules []model.Rule, ports ...*port) []model.Change {
	changes := make([]model.Change, 0, len(ports)+1)
	for _, p := range ports {
		changes = append(changes, model.DeletePort(p.record.ID))
	}
	if len(rules) < len(s.record.Rules) {
		record := s.record
		record.Rules = rules
		changes = append(changes, model.PutSegment(record))
	}
	return changes
}

// openNamespace opens the namespace that the record names, or ours for a device
// that waits to be moved.
func (c *core) openNamespace(r model.Port) (kernel.Namespace, error) {
	if r.Handover && r.NetNS == "" {
		return c.kernel.OwnNamespace()
	}
	ref, err := refOf(r.NetNS, r.PID)
	if err != nil {
		return nil, err
	}
	ns, err := c.kernel.OpenNamespace(ref)
	if err != nil {
		return nil, kernelError(err)
	}
	if err := checkOwn(c.kernel, ns, r.AllowHostNetNS, ref.String()); err != nil {
		_ = ns.Close()
		return nil, err
	}
	return ns, nil
}
