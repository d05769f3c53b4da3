package control

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/ipam"
	vswitch "vswitch/switch"
	"vswitch/tap"
)

// restorer builds what there is from what was kept and stored.
type restorer struct {
	*core
	pools        *pools
	entries      *entries
	segments     *segments
	ports        *ports
	publications *publications
	neighbours   *neighbours
	devices      *devices
	links        *links
	hostLinks    *hostLinks
}

// restore builds the switch from the state on disk, the descriptors that were kept
// for us, and what the kernel still has. A port that cannot come back is lost, not
// an error.
func (r *restorer) restore() error {
	r.entries.removeEntriesOfOwn()
	r.warnOfConflicts()
	state := r.store.State()
	for record := range state.Pools() {
		if err := r.pools.restorePool(record); err != nil {
			return fmt.Errorf("restore pool %s: %w", record.Prefix, err)
		}
	}
	for record := range state.Segments() {
		if err := r.restoreSegment(record); err != nil {
			return fmt.Errorf("restore segment %q: %w", record.Name, err)
		}
	}
	var ports []*port
	for record := range state.Ports() {
		p, err := r.restoreRecord(record)
		if err != nil {
			return fmt.Errorf("restore port %q: %w", record.Name, err)
		}
		ports = append(ports, p)
	}
	r.restoreDevices(ports)
	r.devices.closeStrays()
	r.counters.releaseRest()
	return nil
}

// removeEntriesOfOwn removes static entries of ports' own addresses, which versions before took,
// and which would stay behind the own ones where nobody can see and remove them.
func (es *entries) removeEntriesOfOwn() {
	state := es.store.State()
	var ends []model.Change
	for p := range state.Ports() {
		if _, found := state.Entry(p.SegmentID, p.MAC); found {
			es.log.Warn("static entry removed: it is of a port's own address", "mac", p.MAC, "port", p.Name)
			ends = append(ends, model.DeleteEntry(p.SegmentID, p.MAC))
		}
	}
	es.logFailure("remove static entries of ports' own addresses", es.store.Apply(ends...))
}

func (r *restorer) restoreSegment(record model.Segment) error {
	for _, subnet := range record.Subnets {
		if err := CheckOffered(subnet.Prefix); err != nil {
			return err
		}
	}
	subnet, err := r.pools.restoreSubnet(record)
	if err != nil {
		return err
	}
	return r.segments.restoreSegmentOn(record, subnet)
}

// restoreSegmentOn is restoreSegment with a subnet that is reserved already.
func (ss *segments) restoreSegmentOn(record model.Segment, subnet *ipam.Subnet) error {
	s, err := ss.addSegment(record, subnet)
	if err != nil {
		return err
	}
	if s.host != nil {
		ss.hostLinks.restoreHostLink(s.host)
	}
	return nil
}

// restoreSubnet is the subnet of the segment's pool, or its own.
func (ps *pools) restoreSubnet(record model.Segment) (*ipam.Subnet, error) {
	if p := ps.allPools[record.IPv4().PoolID]; p != nil {
		return p.subnet, nil
	}
	return ps.ipam.Add(configOf(record.IPv4().Subnet), nil)
}

// restoreRecord gives p its lease back, and all else that needs no device.
func (r *restorer) restoreRecord(record model.Port) (*port, error) {
	s := r.allSegments[record.SegmentID]
	if s == nil {
		return nil, fmt.Errorf("its segment %s does not exist", record.SegmentID)
	}
	p := &port{record: record, segment: s}
	if _, err := r.pools.take(s, record.IPv4()); err != nil {
		return nil, err
	}
	if err := r.devices.place(p); err != nil {
		return nil, err
	}
	r.allPorts[record.ID] = p
	r.publications.restorePublished(p)
	return p, nil
}

// reopenLimit is how many devices are opened at once. For most of the time each waits for the
// kernel.
const reopenLimit = 8

// restoreDevices connects the ports that have, or find, a device. The others are lost.
func (r *restorer) restoreDevices(ports []*port) {
	devices, errs := make([]kernel.Device, len(ports)), make([]error, len(ports))
	var opening errgroup.Group
	opening.SetLimit(reopenLimit)
	for i, p := range ports {
		opening.Go(func() error {
			devices[i], errs[i] = r.reopen(p)
			return nil
		})
	}
	_ = opening.Wait() // each has its error in errs
	attached := make([]vswitch.Attachment, 0, len(ports))
	for i, p := range ports {
		if errs[i] == nil {
			attached = append(attached, vswitch.Attachment{Port: p.sw, Device: devices[i]})
		}
	}
	r.sw.AttachAll(attached)
	for i, p := range ports {
		err := errs[i]
		switch {
		case err == nil:
			if err = r.restoreConnected(p, devices[i], attached[0].Err); err == nil {
				r.kept.keepPortSoon(p.record.ID, devices[i].Fd())
			}
			attached = attached[1:]
		case errors.Is(err, errRemake):
			err = r.remake(p)
		}
		if err != nil {
			r.ports.noteLost(p, err.Error())
			r.notReopened(p, err)
		}
	}
}

// closeStrays ends devices that were kept for ports or segments not in the state:
// their removal was acknowledged, or their making never was.
func (ds *devices) closeStrays() {
	for _, name := range ds.config.Kept.Names() {
		if !isDeviceName(name) {
			continue
		}
		if device, err := ds.kernel.AdoptTAP(ds.config.Kept.Take(name)); err == nil {
			_ = device.SetPersist(false)
			_ = device.Close()
		}
		ds.logFailure("drop a kept descriptor", ds.config.Keeper.Drop(name))
	}
	ds.removeStrayLinks()
}

// removeStrayLinks deletes the interfaces of ports and host links that were never added: a TAP is
// persistent while it is made, and stays when its process is killed then.
func (ds *devices) removeStrayLinks() {
	names, err := ds.kernel.LinkNames()
	if err != nil {
		ds.log.Warn("interfaces of ports that were never added may be left", "error", err)
		return
	}
	known := make(map[string]bool, len(ds.allPorts))
	for _, p := range ds.allPorts {
		known[view.HostName(p.record)] = true
	}
	for _, s := range ds.allSegments {
		if s.host != nil {
			known[s.host.name] = true
		}
	}
	for _, name := range names {
		if !ownLink.MatchString(name) || known[name] {
			continue
		}
		switch err := ds.kernel.RemoveTAP(name); {
		case errors.Is(err, tap.ErrBusy): // another daemon's
		case err != nil:
			ds.logFailure("delete interface "+name, err)
		default:
			ds.log.Info("interface of a port that was never added removed", "interface", name)
		}
	}
}

// settle does what can wait until frames flow again: it looks what became of the
// links meanwhile. Neighbours need not hear of a port whose link is as it was.
func (r *restorer) settle() {
	err := r.kept.catchUp()
	r.logFailure("keep descriptors for the next process", errors.Join(err, r.kept.sync()))
	r.hostLinks.lookAtHostLinks()
	for _, id := range r.portIDs() {
		r.lookAtFirst(id)
	}
	r.storeAllPorts()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.neighbours.checkNeighbourLimit()
}

// lookAtFirst looks at the link of a port, unless that was done.
func (r *restorer) lookAtFirst(id string) {
	r.lock()
	defer r.unlockSoon()
	if p := r.allPorts[id]; p != nil && !r.closed && !p.lost() && !p.link.watched {
		r.links.lookAtLink(p)
	}
}

// Settle does what can wait until frames flow again, after a start.
func (c *Control) Settle() { c.restorer.settle() }

// StopsWith has an upgrade return once stopping is closed, which says that no more requests are
// taken. It is called before there are any.
func (c *Control) StopsWith(stopping <-chan struct{}) { c.stopping = stopping }

// Upgrade implements [api.Backend]: it has whoever supervises the daemon replace
// it. No change is taken meanwhile, so the next process finds all descriptors.
func (c *Control) Upgrade(ctx context.Context, spec api.UpgradeSpec) error {
	if c.config.Upgrade == nil {
		return errUnsupervised
	}
	c.preparing.Lock()
	defer c.preparing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.stopping: // while this one waited for the locks
		return api.Conflictf("not upgraded: vswitchd stops, or is being replaced already: try again")
	default:
	}
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { failed <- c.config.Upgrade(ctx, spec) }()
	select {
	case <-c.stopping:
		select {
		case <-c.config.Replaced:
			return nil
		default:
			return api.Conflictf("not upgraded: vswitchd stops")
		}
	case err := <-failed:
		return api.Invalidf("not upgraded, this vswitchd goes on: %w", err)
	}
}

// Upgrades implements [api.Backend].
func (c *Control) Upgrades(context.Context) ([]api.Upgrade, error) {
	if c.config.Upgrades == nil {
		return nil, errUnsupervised
	}
	list, told := c.config.Upgrades()
	if !told {
		return nil, api.Unsupportedf("the process that supervises vswitchd is of a version that " +
			"does not tell what comes of upgrades: restart vswitchd to replace it")
	}
	return list, nil
}

var errUnsupervised = api.Unsupportedf(
	"vswitchd runs without its supervising parent: restart it instead")

// Backup implements [api.Backend].
func (c *Control) Backup(_ context.Context, w io.Writer) error { return c.store.Backup(w) }
