package control

import (
	"context"
	"maps"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/counters"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
)

// ports attaches containers to segments.
type ports struct {
	*core
	pools        *pools
	rules        *rules
	publications *publications
	neighbours   *neighbours
	devices      *devices
	links        *links
	hostLinks    *hostLinks
	restorer     *restorer
	findings     findings
	retries      retries
}

// port is a port with its lease and, unless it is lost, its device and its place
// in the switch.
type port struct {
	record  model.Port
	segment *segment

	published []*publication // in the order of the record's

	device kernel.Device // nil when lost
	sw     *vswitch.Port
	counts *counters.Block
	link   link
	notes  notes

	expiry *time.Timer // releases a lost port

	again   finding // what is to be tried again for it; nil: nothing
	trouble string  // why, as the log has said
}

func (p *port) title() string { return p.record.Name }

func (p *port) lost() bool { return p.device == nil }

// close ends what runs for the port in this process.
func (p *port) close() {
	if p.expiry != nil {
		p.expiry.Stop()
	}
	for _, q := range p.published {
		q.close()
	}
	p.link.stop()
	p.notes.stop()
	if !p.lost() {
		_ = p.device.Close()
	}
}

// AddPort implements [api.Backend].
func (pc *ports) AddPort(ctx context.Context, spec api.PortSpec) (api.Port, error) {
	ns, err := (locator{pc.core}).locate(ctx, &spec)
	if err != nil {
		return api.Port{}, err
	}
	pc.preparing.RLock()
	defer pc.preparing.RUnlock()
	a, err := pc.plan(spec, ns)
	if err != nil {
		return api.Port{}, err
	}
	defer a.end()
	if err := a.prepare(); err != nil {
		return api.Port{}, err
	}
	return a.commit()
}

// UpdatePort implements [api.Backend].
func (pc *ports) UpdatePort(ctx context.Context, ref string, update api.PortUpdate) (api.Port, error) {
	if err := (locator{pc.core}).locateHandover(ctx, &update); err != nil {
		return api.Port{}, err
	}
	pc.lock()
	defer pc.unlock()
	p, err := pc.findPort(ref)
	if err != nil {
		return api.Port{}, err
	}
	if !p.lost() && !p.link.watched { // its turn after a start has not come yet
		pc.links.lookAtLink(p)
	}
	var undo undo
	defer undo.run()
	record, err := pc.updated(p, update, &undo)
	if err != nil {
		return api.Port{}, err
	}
	old := p.record
	if err := pc.change(p, record, update, &undo); err != nil {
		return api.Port{}, err
	}
	undo.keep()
	pc.activateChange(p, old)
	return p.now().View(), nil
}

// updated returns p's record after an update, for which it takes another address, or why p may
// not have that.
func (pc *ports) updated(p *port, update api.PortUpdate, undo *undo) (record model.Port, err error) {
	record = p.record
	if update.Name != nil && *update.Name != record.Name {
		if err := pc.checkPortName(*update.Name); err != nil {
			return record, err
		}
		record.Name = *update.Name
	}
	if update.Up != nil {
		record.Down = !*update.Up
	}
	if update.NetNS != nil {
		if !record.Handover {
			return record, api.Invalidf("port %q is not handed over: remove it, and add it anew with another namespace", record.Name)
		}
		record.NetNS = *update.NetNS
	}
	if update.IP != nil {
		if err := pc.newAddress(p, &record, *update.IP, undo); err != nil {
			return record, err
		}
	}
	if update.MAC != nil {
		if err := pc.neighbours.newMAC(p, &record, *update.MAC); err != nil {
			return record, err
		}
	}
	if record.Labels, err = withLabels(record.Labels, update.Labels); err != nil {
		return record, err
	}
	set(&record.Aliases, update.Aliases)
	if err := setPolicy(&record, p.segment, update); err != nil {
		return record, err
	}
	if update.AllowMACs != nil {
		if err := pc.neighbours.checkAllowedMACs(record, p.segment, p); err != nil {
			return record, err
		}
	}
	return record, pc.checkAllowed(p, record)
}

// change takes every step to make record the port's, as update asks for, and has undo take those
// back that were taken when it fails.
func (pc *ports) change(p *port, record model.Port, update api.PortUpdate, undo *undo) error {
	old := p.record
	if update.MAC != nil {
		if err := pc.neighbours.setMAC(p, record, undo); err != nil {
			return err
		}
	}
	if update.IP != nil {
		if err := pc.setAddress(p, record, undo); err != nil {
			return err
		}
	}
	if err := pc.enforcePolicy(p, record, undo); err != nil {
		return err
	}
	s := p.segment
	relabelled := !maps.Equal(old.Labels, record.Labels) &&
		(s.named(old.ID, old.Labels) || s.named(record.ID, record.Labels))
	if relabelled {
		undo.add(func() {
			pc.logFailure("take back the rules of segment "+s.record.Name, pc.rules.enforceRules(s, s.record.Rules))
		})
	}
	p.record = record
	undo.add(func() { p.record = old })
	if relabelled {
		if err := pc.rules.enforceRules(s, s.record.Rules); err != nil {
			return err
		}
	}
	if record.IPv4() != old.IPv4() && len(p.published) > 0 {
		if err := pc.publications.firewall.try(pc.now()); err != nil {
			return err
		}
	}
	if err := pc.store.Apply(model.PutPort(record)); err != nil {
		return api.Internalf("store port %q: %w", record.Name, err)
	}
	return nil
}

// activateChange does what follows once p's record is another than old.
func (pc *ports) activateChange(p *port, old model.Port) {
	p.sw.SetDown(p.record.Down)
	pc.followOffload([]*port{p})
	if p.sw.Trusted() && p.link.mac != (frame.MAC{}) {
		pc.logFailure("follow the MAC of port "+p.record.Name, pc.sw.SetMAC(p.sw, p.link.mac))
	}
	if from, to := old.IPv4(), p.record.IPv4(); from != to {
		pc.logFailure("release address", p.segment.release(from))
		pc.log.Info("port has another address", "port", p.record.Name, "from", from, "to", to)
	}
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
func (pc *ports) DeletePort(_ context.Context, ref string) (api.Port, error) {
	pc.preparing.RLock()
	defer pc.preparing.RUnlock()
	shown, gone, err := pc.deletePort(ref)
	pc.devices.letGoOf(gone)
	return shown, err
}

// deletePort is DeletePort but for the port's device, which it returns.
func (pc *ports) deletePort(ref string) (shown api.Port, gone []goneDevice, err error) {
	pc.lock()
	defer pc.unlock()
	p, err := pc.findPort(ref)
	if err != nil {
		return api.Port{}, nil, err
	}
	shown = p.now().View()
	gone, err = pc.detach(p)
	return shown, gone, err
}
