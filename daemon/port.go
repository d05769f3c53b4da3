package daemon

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/frame"
	"vswitch/netns"
	"vswitch/store"
	vswitch "vswitch/switch"
	"vswitch/tap"
)

// port is a port of the switch with its device and its lease.
type port struct {
	record  store.Port
	segment *segment
	mac     frame.MAC
	device  *tap.Device
	sw      *vswitch.Port
	lost    bool // its device is gone
}

func (p *port) title() string { return p.record.Name }

// txQueueLen is the number of frames that a container may send before the
// switch has read them: the size of the TAP's ring.
const txQueueLen = 1000

// AddPort implements [api.Backend].
func (d *Daemon) AddPort(_ context.Context, spec api.PortSpec) (api.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.checkPortName(spec.Name); err != nil {
		return api.Port{}, err
	}
	s, err := d.findSegment(spec.Segment)
	if err != nil {
		return api.Port{}, err
	}
	p := &port{segment: s, record: store.Port{
		ID: newID(), Name: spec.Name, SegmentID: s.record.ID, NetNS: spec.NetNS, PID: spec.PID,
		IfName: cmp.Or(spec.IfName, netns.DefaultName), NoDefaultRoute: spec.NoDefaultRoute,
		Labels: spec.Labels, Created: time.Now().UTC(),
	}}
	if err := d.attach(p, spec); err != nil {
		return api.Port{}, err
	}
	d.ports[p.record.ID] = p
	d.log.Info("port added", "port", p.record.Name, "id", p.record.ID, "segment", s.record.Name,
		"address", p.record.Addr, "mac", p.mac, "netns", p.namespace())
	return p.view(), nil
}

func (d *Daemon) checkPortName(name string) error {
	for _, p := range d.ports {
		if p.record.Name == name {
			return api.Conflictf("port %q already exists: choose another name", name)
		}
	}
	return nil
}

// attach takes every step of AddPort, or none.
func (d *Daemon) attach(p *port, spec api.PortSpec) error {
	var undo undo
	defer undo.run()
	if err := netns.CheckName(p.record.IfName); err != nil {
		return api.Invalidf("%w", err)
	}
	ns, err := openNamespace(p.record)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := d.assign(p, spec, &undo); err != nil {
		return err
	}
	// Made here and moved: a descriptor opened in the container's namespace would
	// keep that alive after the container's end.
	hostName := "vst-" + p.record.ID[:8]
	if p.device, err = tap.Create(hostName, tap.Options{}); err != nil {
		return deviceError(err)
	}
	undo.add(func() { p.closeDevice(d.log) })
	_, err = ns.AdoptLink(netns.LinkConfig{
		HostName: hostName, Name: p.record.IfName, MAC: p.mac[:], MTU: p.segment.record.MTU, TxQueueLen: txQueueLen,
		Address: p.prefix(), Gateway: p.segment.record.Gateway, DefaultRoute: !p.record.NoDefaultRoute,
	})
	if err != nil {
		return kernelError(err)
	}
	// Only now: what the container sends meanwhile waits in the device, and nobody
	// sends to an interface that is still down.
	if p.sw, err = d.sw.AddPort(p.segment.sw, p.device, vswitch.PortConfig{Name: p.record.Name}); err != nil {
		return switchError(err)
	}
	undo.add(func() { d.sw.RemovePort(p.sw) })
	if err := d.store.PutPort(p.record); err != nil {
		return api.Internalf("store port %q: %w", p.record.Name, err)
	}
	if err := p.segment.bindings.Bind(arp.Binding{IP: p.record.Addr, MAC: p.mac, Kind: arp.Port, Port: p.record.Name}); err != nil {
		d.logFailure("take back port", d.store.DeletePort(p.record.ID))
		return api.Invalidf("%w", err)
	}
	undo.keep()
	d.sw.Announce(p.sw, arp.AppendAnnouncement(nil, p.mac, p.record.Addr))
	return nil
}

// assign gives p its address and MAC.
func (d *Daemon) assign(p *port, spec api.PortSpec, undo *undo) error {
	var want netip.Addr
	var err error
	if spec.IP != "" {
		if want, err = netip.ParseAddr(spec.IP); err != nil {
			return api.Invalidf("address %q: %w", spec.IP, err)
		}
	}
	if p.record.Addr, err = p.segment.subnet.Allocate(want); err != nil {
		return ipamError(err)
	}
	undo.add(func() { d.logFailure("take back address", p.segment.subnet.Cancel(p.record.Addr)) })
	p.mac = frame.MACFromIPv4(p.record.Addr)
	if spec.MAC != "" {
		if p.mac, err = frame.ParseMAC(spec.MAC); err != nil {
			return api.Invalidf("%w", err)
		}
	}
	p.record.MAC = p.mac.String()
	if p.mac == p.segment.mac {
		return api.Conflictf("MAC %s is the gateway's on segment %q: choose another with --mac", p.mac, p.segment.record.Name)
	}
	for _, q := range d.portsOf(p.segment) {
		if q.mac == p.mac {
			return api.Conflictf("MAC %s is that of port %q on segment %q: choose another with --mac", p.mac, q.record.Name, p.segment.record.Name)
		}
	}
	return nil
}

func openNamespace(r store.Port) (*netns.Namespace, error) {
	ref := netns.PID(r.PID)
	if r.NetNS != "" {
		var err error
		if ref, err = netns.ParseRef(r.NetNS); err != nil {
			return nil, api.Invalidf("%w", err)
		}
	}
	ns, err := netns.Open(ref)
	if err != nil {
		return nil, kernelError(err)
	}
	return ns, nil
}

// Ports implements [api.Backend].
func (d *Daemon) Ports(_ context.Context, ref string) ([]api.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	segments, err := d.segmentsNamed(ref)
	if err != nil {
		return nil, err
	}
	list := []api.Port{}
	for _, s := range segments {
		for _, p := range d.portsOf(s) {
			list = append(list, p.view())
		}
	}
	return list, nil
}

// Port implements [api.Backend].
func (d *Daemon) Port(_ context.Context, ref string) (api.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.findPort(ref)
	if err != nil {
		return api.Port{}, err
	}
	return p.view(), nil
}

// UpdatePort implements [api.Backend].
func (d *Daemon) UpdatePort(_ context.Context, ref string, update api.PortUpdate) (api.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.findPort(ref)
	if err != nil {
		return api.Port{}, err
	}
	record := p.record
	if update.Name != nil && *update.Name != record.Name {
		if err := d.checkPortName(*update.Name); err != nil {
			return api.Port{}, err
		}
		record.Name = *update.Name
	}
	if update.Up != nil {
		record.Down = !*update.Up
	}
	if len(update.Labels) > 0 {
		record.Labels = withLabels(record.Labels, update.Labels)
	}
	if err := d.store.PutPort(record); err != nil {
		return api.Port{}, api.Internalf("store port %q: %w", record.Name, err)
	}
	p.record = record
	p.sw.SetDown(record.Down)
	d.logFailure("bind address", p.segment.bindings.Bind(arp.Binding{IP: record.Addr, MAC: p.mac, Kind: arp.Port, Port: record.Name}))
	return p.view(), nil
}

func withLabels(labels map[string]string, change map[string]*string) map[string]string {
	result := maps.Clone(labels)
	if result == nil {
		result = make(map[string]string)
	}
	for k, v := range change {
		if v == nil {
			delete(result, k)
		} else {
			result[k] = *v
		}
	}
	return result
}

// DeletePort implements [api.Backend].
func (d *Daemon) DeletePort(_ context.Context, ref string) (api.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.findPort(ref)
	if err != nil {
		return api.Port{}, err
	}
	view := p.view()
	return view, d.detach(p)
}

// detach takes a port out; its link goes with its device.
func (d *Daemon) detach(p *port) error {
	if err := d.store.DeletePort(p.record.ID); err != nil {
		return api.Internalf("store the end of port %q: %w", p.record.Name, err)
	}
	delete(d.ports, p.record.ID)
	p.segment.bindings.Unbind(p.record.Addr)
	d.sw.RemovePort(p.sw)
	p.closeDevice(d.log)
	d.logFailure("release address", p.segment.subnet.Release(p.record.Addr))
	d.log.Info("port removed", "port", p.record.Name, "id", p.record.ID, "segment", p.segment.record.Name)
	return nil
}

// deviceGone is called by the switch when a port's device has ended under it:
// its namespace was deleted, or its link.
func (d *Daemon) deviceGone(sw *vswitch.Port) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		if p.sw == sw {
			p.lost = true
			d.sw.Flush(p.segment.sw, sw)
			d.log.Warn("port lost: its network namespace or link was deleted", "port", p.record.Name, "netns", p.namespace())
		}
	}
}

func (d *Daemon) findPort(ref string) (*port, error) {
	return resolve(d.ports, ref, "port", "list-ports")
}

func (p *port) prefix() netip.Prefix {
	return netip.PrefixFrom(p.record.Addr, p.segment.record.Subnet.Bits())
}

// namespace is how to name the port's namespace to people.
func (p *port) namespace() string {
	if p.record.NetNS != "" {
		return p.record.NetNS
	}
	return netns.PID(p.record.PID).String()
}

func (p *port) closeDevice(log *slog.Logger) {
	if err := p.device.Close(); err != nil {
		log.Error("cannot close the port's device", "port", p.record.Name, "error", err)
	}
}

func (p *port) state() string {
	switch {
	case p.lost:
		return api.PortLost
	case p.record.Down:
		return api.PortDown
	}
	return api.PortUp
}

func (p *port) view() api.Port {
	r := p.record
	return api.Port{
		ID: r.ID, Name: r.Name, Segment: p.segment.record.Name, SegmentID: r.SegmentID, MAC: r.MAC,
		IPs: []netip.Prefix{p.prefix()}, Gateway: p.segment.record.Gateway.String(), NetNS: p.namespace(),
		IfName: r.IfName, MTU: p.segment.record.MTU, Kind: api.PortTAP, State: p.state(),
		Labels: r.Labels, Created: r.Created, Counters: countersView(p.sw.Counters()),
	}
}

func countersView(c vswitch.Counters) api.Counters {
	v := api.Counters{
		RxFrames: c.RxFrames, RxBytes: c.RxBytes, TxFrames: c.TxFrames, TxBytes: c.TxBytes,
		Forwarded: c.Forwarded, Flooded: c.Flooded, Local: c.Local, Drops: make(map[string]uint64),
	}
	for r, n := range c.Drops {
		if n > 0 {
			v.Drops[vswitch.Reason(r).String()] = n
		}
	}
	return v
}
