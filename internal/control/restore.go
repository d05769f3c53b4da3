package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/ipam"
	"vswitch/internal/netns"
	"vswitch/tap"
)

// restore builds the switch from the state on disk, the descriptors that were kept
// for us, and what the kernel still has. A port that cannot come back is lost, not
// an error.
func (d *Control) restore() error {
	d.removeEntriesOfOwn()
	state := d.store.State()
	for record := range state.Pools() {
		if err := d.restorePool(record); err != nil {
			return fmt.Errorf("restore pool %s: %w", record.Prefix, err)
		}
	}
	for record := range state.Segments() {
		if err := d.restoreSegment(record); err != nil {
			return fmt.Errorf("restore segment %q: %w", record.Name, err)
		}
	}
	for record := range state.Ports() {
		p, err := d.restoreRecord(record)
		if err != nil {
			return fmt.Errorf("restore port %q: %w", record.Name, err)
		}
		if err := d.restoreDevice(p); err != nil {
			d.noteLost(p, err.Error())
		}
	}
	for _, s := range d.segments {
		d.brief(s)
	}
	d.closeStrays()
	d.counters.releaseRest()
	return nil
}

// removeEntriesOfOwn removes static entries of ports' own addresses, which versions before took,
// and which would stay behind the own ones where nobody can see and remove them.
func (d *Control) removeEntriesOfOwn() {
	state := d.store.State()
	var ends []model.Change
	for p := range state.Ports() {
		if _, found := state.Entry(p.SegmentID, p.MAC); found {
			d.log.Warn("static entry removed: it is of a port's own address", "mac", p.MAC, "port", p.Name)
			ends = append(ends, model.DeleteEntry(p.SegmentID, p.MAC))
		}
	}
	d.logFailure("remove static entries of ports' own addresses", d.store.Apply(ends...))
}

func (d *Control) restoreSegment(record model.Segment) error {
	for _, subnet := range record.Subnets {
		if err := CheckOffered(subnet.Prefix); err != nil {
			return err
		}
	}
	subnet, err := d.restoreSubnet(record)
	if err != nil {
		return err
	}
	return d.restoreSegmentOn(record, subnet)
}

// restoreSegmentOn is restoreSegment with a subnet that is reserved already.
func (d *Control) restoreSegmentOn(record model.Segment, subnet *ipam.Subnet) error {
	s, err := d.addSegment(record, subnet)
	if err != nil {
		return err
	}
	if s.host != nil {
		d.restoreHostLink(s.host)
	}
	return nil
}

// restoreSubnet is the subnet of the segment's pool, or its own.
func (d *Control) restoreSubnet(record model.Segment) (*ipam.Subnet, error) {
	if p := d.leasePools[record.IPv4().PoolID]; p != nil {
		return p.subnet, nil
	}
	return d.ipam.Add(configOf(record.IPv4().Subnet), nil)
}

// restoreRecord gives p its lease back, and all else that needs no device.
func (d *Control) restoreRecord(record model.Port) (*port, error) {
	s := d.segments[record.SegmentID]
	if s == nil {
		return nil, fmt.Errorf("its segment %s does not exist", record.SegmentID)
	}
	p := &port{record: record, segment: s}
	if _, err := d.allocate(s, record.IPv4()); err != nil {
		return nil, err
	}
	if err := d.place(p); err != nil {
		return nil, err
	}
	d.ports[record.ID] = p
	d.restorePublished(p)
	return p, nil
}

// restoreDevice connects p by the descriptor that was kept for it, or else by its
// namespace. The error is the reason why it is lost.
func (d *Control) restoreDevice(p *port) error {
	if fds := d.kept.take(keptPort, p.record.ID); len(fds) > 0 {
		device, err := adopt(fds)
		if err == nil {
			if p.record.IfName != device.Name() { // renamed while nobody looked
				p.record.IfName = device.Name()
			}
			return d.restoreConnected(p, device)
		}
		d.logFailure("drop a kept descriptor", d.kept.drop(keptPort, p.record.ID))
		if !errors.Is(err, tap.ErrDeleted) {
			d.log.Warn("kept descriptor is of no use", "port", p.record.Name, "error", err)
		}
	}
	return d.reattach(p)
}

// adopt makes a device of what was kept under its name, of which one is enough.
func adopt(fds []int) (*tap.Device, error) {
	for _, fd := range fds[1:] {
		_ = os.NewFile(uintptr(fd), "").Close()
	}
	return tap.Adopt(fds[0])
}

// restoreConnected connects a device that is in its namespace already.
func (d *Control) restoreConnected(p *port, device *tap.Device) error {
	if err := d.connect(p, device); err != nil {
		_ = device.Close()
		return err
	}
	p.record.LostReason, p.record.LostSince = "", time.Time{}
	if err := d.keep(p); err != nil {
		d.sw.Detach(p.sw)
		p.device = nil
		_ = device.Close()
		return err
	}
	return nil
}

// reattach opens p's persistent device in its namespace, or makes it again.
func (d *Control) reattach(p *port) error {
	if p.record.Handover {
		return d.reattachHandover(p)
	}
	ns, err := openNamespace(p.record)
	if err != nil {
		return errors.New(lostNamespace)
	}
	defer ns.Close()
	same := ns.Identity() == p.record.Namespace
	if !same && p.record.NetNS == "" {
		return errors.New(lostNamespace) // the id belongs to another process by now
	}
	if p.record.LostReason == lostLink && same {
		return errors.New(lostLink)
	}
	if same {
		device, err := attachIn(ns, p.record.IfName)
		if err == nil {
			p.link.pinned = true
			return d.restoreConnected(p, device)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	p.record.LostReason = "" // regain stores it
	if err := d.regain(p, ns); err != nil {
		return err
	}
	d.log.Info("device made again", "port", p.record.Name, "netns", view.Namespace(p.record))
	return nil
}

// attachTimeout is how long a predecessor that was killed may take to let go of
// its devices.
const attachTimeout = 2 * time.Second

// attachIn opens a persistent device in ns.
func attachIn(ns *netns.Namespace, name string) (*tap.Device, error) {
	return backoff.Retry(context.Background(), func() (device *tap.Device, err error) {
		err = ns.Do(func() error {
			device, err = tap.Attach(name, tap.Options{Persist: true})
			return err
		})
		if err != nil && !errors.Is(err, tap.ErrBusy) {
			err = backoff.Permanent(err)
		}
		return device, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 2 * time.Millisecond, Multiplier: 2, MaxInterval: 100 * time.Millisecond,
	}), backoff.WithMaxElapsedTime(attachTimeout))
}

// closeStrays ends devices that were kept for ports or segments not in the state:
// their removal was acknowledged, or their making never was.
func (d *Control) closeStrays() {
	for _, name := range d.config.Kept.Names() {
		if !isDeviceName(name) {
			continue
		}
		if device, err := adopt(d.config.Kept.Take(name)); err == nil {
			_ = device.SetPersist(false)
			_ = device.Close()
		}
		d.logFailure("drop a kept descriptor", d.config.Keeper.Drop(name))
	}
	d.removeStrayLinks()
}

// removeStrayLinks deletes the interfaces of ports that were never added: a TAP is persistent
// while it is made, and stays when its process is killed then.
func (d *Control) removeStrayLinks() {
	links, err := net.Interfaces()
	if err != nil {
		d.log.Warn("interfaces of ports that were never added may be left", "error", err)
		return
	}
	known := make(map[string]bool, len(d.ports))
	for _, p := range d.ports {
		known[view.HostName(p.record)] = true
	}
	for _, l := range links {
		if !portLink.MatchString(l.Name) || known[l.Name] {
			continue
		}
		device, err := tap.Attach(l.Name, tap.Options{})
		switch {
		case errors.Is(err, tap.ErrBusy): // another daemon's
		case err != nil:
			d.logFailure("delete interface "+l.Name, err)
		default:
			d.logFailure("delete interface "+l.Name, device.Close())
			d.log.Info("interface of a port that was never added removed", "interface", l.Name)
		}
	}
}

// Settle does what can wait until frames flow again: it looks what became of the
// links meanwhile. Neighbours need not hear of a port whose link is as it was.
func (d *Control) Settle() {
	err := d.kept.rename()
	d.logFailure("keep descriptors for the next process", errors.Join(err, d.kept.sync()))
	d.lookAtHostLinks()
	for _, id := range d.portIDs() {
		d.lock()
		if p := d.ports[id]; p != nil && !d.closed && !p.lost() && !p.link.watched {
			d.lookAtLink(p)
		}
		d.unlockSoon()
	}
	d.storePorts()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checkNeighbourLimit()
}

// storePorts stores the records of all ports; the store writes those that have changed.
func (d *Control) storePorts() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	changes := make([]model.Change, 0, len(d.ports))
	for _, p := range d.ports {
		changes = append(changes, model.PutPort(p.record))
	}
	if d.store.Apply(changes...) == nil {
		return
	}
	// One of which a container has made what the store refuses must not keep the others.
	for _, p := range d.ports {
		d.logFailure("store port "+p.record.Name, d.store.Apply(model.PutPort(p.record)))
	}
}

func (d *Control) portIDs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]string, 0, len(d.ports))
	for id := range d.ports {
		ids = append(ids, id)
	}
	return ids
}

// StopsWith has an upgrade return once stopping is closed, which says that no more requests are
// taken. It is called before there are any.
func (d *Control) StopsWith(stopping <-chan struct{}) { d.stopping = stopping }

// Upgrade implements [api.Backend]: it has whoever supervises the daemon replace
// it. No change is taken meanwhile, so the next process finds all descriptors.
func (d *Control) Upgrade(ctx context.Context, binary string) error {
	if d.config.Upgrade == nil {
		return api.Unsupportedf("vswitchd runs without its supervising parent: restart it instead")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { failed <- d.config.Upgrade(ctx, binary) }()
	select {
	case <-d.stopping:
		return nil // we are being replaced
	case err := <-failed:
		return api.Invalidf("not upgraded, this vswitchd goes on: %w", err)
	}
}

// Backup implements [api.Backend].
func (d *Control) Backup(_ context.Context, w io.Writer) error { return d.store.Backup(w) }
