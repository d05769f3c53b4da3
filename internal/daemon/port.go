package daemon

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"time"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
	"vswitch/tap"
)

// port is a port with its lease and, unless it is lost, its device and its place
// in the switch.
type port struct {
	record  model.Port
	segment *segment

	published []*publication // in the order of the record's

	device *tap.Device // nil when lost
	sw     *vswitch.Port
	link   link
	bound  arp.Binding // what the segment answers for it; zero: nothing

	expiry *time.Timer // releases a lost port
}

func (p *port) title() string { return p.record.Name }

func (p *port) lost() bool { return p.device == nil }

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
	if _, taken := d.ports[spec.ID]; taken {
		return api.Port{}, api.Conflictf("port %s already exists: choose another id, or none for a new one", spec.ID)
	}
	p := &port{segment: s, record: model.Port{
		ID: cmp.Or(spec.ID, newID()), Name: spec.Name, SegmentID: s.record.ID, NetNS: spec.NetNS, PID: spec.PID,
		IfName: cmp.Or(spec.IfName, netns.DefaultName), NoDefaultRoute: spec.NoDefaultRoute,
		Labels: spec.Labels, Created: time.Now().UTC(),
		Aliases: spec.Aliases, DHCP: spec.IP == api.IPDHCP, ResolvConf: spec.ResolvConf,
		Handover: spec.Handover,
	}}
	if spec.Handover {
		p.record.IfName = p.hostName()
	}
	if err := setPolicy(&p.record, s, policyOf(spec)); err != nil {
		return api.Port{}, err
	}
	if err := d.attach(p, spec); err != nil {
		return api.Port{}, err
	}
	d.ports[p.record.ID] = p
	d.brief(s)
	d.log.Info("port added", "port", p.record.Name, "id", p.record.ID, "segment", s.record.Name,
		"address", p.record.IPv4(), "mac", p.record.MAC, "netns", p.namespace())
	return p.view(), nil
}

func (d *Daemon) checkPortName(name string) error {
	if _, taken := d.store.State().PortNamed(name); taken {
		return api.Conflictf("port %q already exists: choose another name", name)
	}
	return nil
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
	if update.NetNS != nil {
		if !record.Handover {
			return api.Port{}, api.Invalidf("port %q is not handed over: remove it, and add it anew with another namespace", record.Name)
		}
		record.NetNS = *update.NetNS
	}
	if update.MAC != nil {
		if err := d.newMAC(p, &record, *update.MAC); err != nil {
			return api.Port{}, err
		}
	}
	if record.Labels, err = withLabels(record.Labels, update.Labels); err != nil {
		return api.Port{}, err
	}
	set(&record.Aliases, update.Aliases)
	if err := setPolicy(&record, p.segment, update); err != nil {
		return api.Port{}, err
	}
	if err := d.change(p, record, update.MAC != nil); err != nil {
		return api.Port{}, err
	}
	d.brief(p.segment)
	d.updateNeighbours(p)
	if update.MAC != nil {
		d.announce(p)
	}
	return p.view(), nil
}

// change takes every step to make record the port's, or none. withMAC has the interface get
// the record's MAC.
func (d *Daemon) change(p *port, record model.Port, withMAC bool) error {
	var undo undo
	defer undo.run()
	old := p.record
	if withMAC {
		if err := d.setMAC(p, record, &undo); err != nil {
			return err
		}
	}
	if err := d.enforcePolicy(p, record, &undo); err != nil {
		return err
	}
	s := p.segment
	relabelled := !maps.Equal(old.Labels, record.Labels) &&
		(s.named(old.ID, old.Labels) || s.named(record.ID, record.Labels))
	if relabelled {
		undo.add(func() {
			d.logFailure("take back the rules of segment "+s.record.Name, d.enforceRules(s, s.record.Rules))
		})
	}
	p.record = record
	undo.add(func() { p.record = old })
	if relabelled {
		if err := d.enforceRules(s, s.record.Rules); err != nil {
			return err
		}
	}
	if err := d.store.Apply(model.PutPort(record)); err != nil {
		return api.Internalf("store port %q: %w", record.Name, err)
	}
	undo.keep()
	p.sw.SetDown(record.Down)
	if p.sw.Trusted() && p.link.mac != (frame.MAC{}) {
		d.logFailure("follow the MAC of port "+record.Name, d.sw.SetMAC(p.sw, p.link.mac))
	}
	return nil
}

// withLabels is labels after a change, in which nil removes one. It makes no more of
// them than there may be.
func withLabels(labels map[string]string, change map[string]*string) (map[string]string, error) {
	if len(change) == 0 {
		return labels, nil
	}
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
	if n := len(result); n > api.MaxLabels && n > len(labels) {
		return nil, api.Invalidf("that makes %d labels: want at most %d, remove some", n, api.MaxLabels)
	}
	return result, nil
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

func (d *Daemon) findPort(ref string) (*port, error) {
	return resolve(d.ports, ref, "port", "list-ports")
}

func (p *port) prefix() netip.Prefix {
	return netip.PrefixFrom(p.record.IPv4(), p.segment.record.IPv4().Prefix.Bits())
}

// namespace is how to name the port's namespace to people; empty as long as its
// device waits to be moved into one.
func (p *port) namespace() string {
	if p.record.NetNS != "" || p.record.Handover {
		return p.record.NetNS
	}
	return netns.PID(p.record.PID).String()
}

func (p *port) state() string {
	switch {
	case p.lost():
		return api.PortLost
	case p.record.Down, p.link.down, p.sw.ErrDisabled():
		return api.PortDown
	}
	return api.PortUp
}

// reason says why the port does not carry what it should; it may be empty.
func (p *port) reason() string {
	switch {
	case p.lost():
		return p.record.LostReason
	case p.record.Down:
		return "set down with vsctl set-port"
	case p.link.down && p.waits():
		return "waits to be moved into its container"
	case p.link.down:
		return "set down in its network namespace"
	case p.sw.ErrDisabled():
		return "err-disabled: a loop was found; resumes within 10 s"
	case p.link.mac != p.record.MAC && p.link.mac != (frame.MAC{}) && !p.sw.Trusted():
		return "its MAC address was changed to " + p.link.mac.String() + " in its network namespace"
	}
	return ""
}

// counters are those of all the time since the port was added.
func (p *port) counters() vswitch.Counters { return p.sw.Counters() }

func (p *port) view() api.Port {
	r := p.record
	v := api.Port{
		ID: r.ID, Name: r.Name, Segment: p.segment.record.Name, SegmentID: r.SegmentID, MAC: p.currentMAC().String(),
		IPs: []netip.Prefix{p.prefix()}, Gateway: p.segment.record.IPv4().Gateway.String(), NetNS: p.namespace(),
		IfName: r.IfName, MTU: p.segment.record.MTU, Kind: api.PortTAP, State: p.state(), Reason: p.reason(),
		Labels: r.Labels, Created: r.Created, Counters: countersView(p.counters()),
		Aliases: r.Aliases, DHCP: r.DHCP, ResolvConf: r.ResolvConf,
	}
	if r.Handover {
		v.Device = p.hostName()
	}
	viewPolicy(&v, r)
	for _, q := range r.Published {
		v.Published = append(v.Published, published(p, q).String())
	}
	return v
}
