package control

import (
	"errors"
	"io/fs"
	"net/netip"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/counters"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
	"vswitch/switch/policy"
)

// hostLinks are the interfaces by which the host reaches segments.
type hostLinks struct {
	*core
	watcher kernel.LinkWatcher // of the daemon's own namespace; nil: there is none
	made    uint64             // interfaces so far
}

// hostLink is the TAP in the daemon's own namespace by which the host reaches a
// segment: it has the gateway's MAC and address.
type hostLink struct {
	segment *segment
	name    string

	device kernel.Device // nil: there is none
	sw     *vswitch.Port // nil: likewise
	index  int           // 0: not looked at yet
	made   uint64        // of [hostLinks.made], when it was made; 0: it was there before

	counts  *counters.Block
	problem string      // why it is not what it should be
	soft    bool        // its settings could not be made; was logged
	look    *time.Timer // runs when it is about to be looked at
	mended  time.Time   // when something about it was last put right
}

func newHostLink(s *segment, counts *counters.Block) *hostLink {
	return &hostLink{
		segment: s, name: "vs-" + s.record.ID[:11], counts: counts, problem: "not made yet",
	}
}

// checkHostFree refuses a subnet whose route would cut the host off from something.
func (c *core) checkHostFree(subnet netip.Prefix) error {
	conflict, err := c.kernel.HostConflict(subnet)
	if err != nil {
		return api.Internalf("%w", err)
	}
	if conflict != "" {
		return api.Conflictf("subnet %s overlaps the host's %s: choose another subnet, or uplink none", subnet, conflict)
	}
	return nil
}

// addUplink makes a new segment's way out, if it is to have one. That of the default
// segment may be missing, for that is made whatever the machine lacks.
func (hs *hostLinks) addUplink(s *segment) error {
	if s.host == nil {
		return nil
	}
	err := hs.makeHostLink(s.host)
	if err != nil && s.record.Name == api.DefaultSegment {
		hs.failHostLink(s.host, err)
		return nil
	}
	return err
}

// makeHostLink takes every step to make a host link, or none.
func (hs *hostLinks) makeHostLink(h *hostLink) error {
	var undo undo
	defer undo.run()
	device, err := hs.kernel.CreateTAP(h.name, true)
	if err != nil {
		return hostLinkError(h, err)
	}
	undo.add(func() { _ = device.Close() })
	hs.harden(h)
	if h.index, _, err = hs.kernel.SetUpHostLink(0, h.config()); err != nil {
		return api.Internalf("%w", err)
	}
	if err := hs.connectHost(h, device); err != nil {
		return err
	}
	undo.add(func() { hs.disconnectHost(h) })
	if err := device.SetPersist(true); err != nil {
		return api.Internalf("%w", err)
	}
	undo.keep()
	hs.made++
	h.made = hs.made
	hs.keepHostLink(h)
	hs.logNotKept(h.name, hs.kept.sync())
	return nil
}

func hostLinkError(h *hostLink, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return api.Conflictf("the host's interface of segment %q: %w", h.segment.record.Name, err)
	}
	return deviceError(err)
}

func (h *hostLink) config() netns.HostLink {
	r := h.segment.record
	return netns.HostLink{
		Name: h.name, Alias: "vswitch segment " + r.Name, MAC: h.segment.mac[:], MTU: r.MTU, TxQueueLen: txQueueLen,
		Address: netip.PrefixFrom(r.IPv4().Gateway, r.IPv4().Prefix.Bits()),
	}
}

// harden sets how the host treats what comes from the segment. The switch has the
// wall; this is the second one.
func (hs *hostLinks) harden(h *hostLink) {
	err := hs.kernel.HardenHostLink(hs.config.SysctlDir, h.name)
	if err != nil && !h.soft {
		hs.log.Warn("the host treats a segment's packets as its defaults say", "segment", h.segment.record.Name, "error", err)
	}
	h.soft = err != nil
}

// connectHost gives a host link its place in the switch, behind device.
func (hs *hostLinks) connectHost(h *hostLink, device kernel.Device) error {
	s := h.segment
	sw, err := hs.sw.AddHostPort(s.sw, device, s.gateway, vswitch.PortConfig{
		Name: h.name, Policy: policy.Policy{MACLimit: api.NoLimit, FloodLimit: api.NoLimit},
		Counters: h.counts.Words,
	})
	if err != nil {
		return switchError(err)
	}
	s.gateway.SetHost(true)
	s.services.listen(hs.log, hs.kernel, device, s.record.IPv4().Gateway)
	h.sw, h.device, h.problem = sw, device, ""
	return nil
}

func (hs *hostLinks) disconnectHost(h *hostLink) {
	h.segment.services.unlisten()
	hs.sw.RemovePort(h.sw)
	h.segment.gateway.SetHost(false)
	h.sw, h.device, h.index = nil, nil, 0
}

func (hs *hostLinks) keepHostLink(h *hostLink) {
	hs.logNotKept(h.name, hs.kept.keep(keptHostLink, h.segment.record.ID, h.device.Fd()))
}

// removeHostLink ends a host link for good.
func (hs *hostLinks) removeHostLink(h *hostLink) {
	h.stop()
	if h.device != nil {
		hs.dropHostLink(h)
	}
}

// dropHostLink takes a host link out of the switch and deletes it, if that was not
// done by others.
func (hs *hostLinks) dropHostLink(h *hostLink) {
	device := h.device
	hs.disconnectHost(h)
	// First, for a process that dies before the rest leaves a link that ends with it.
	_ = device.SetPersist(false) // fails when the link is gone
	// The link ends with its last descriptor, which must be ours.
	hs.logFailure("drop a kept descriptor", hs.kept.drop(keptHostLink, h.segment.record.ID))
	hs.logFailure("drop a kept descriptor", hs.kept.sync())
	hs.logFailure("close the device of "+h.name, device.Close())
}

// close lets go of the device; the link stays if it is persistent.
func (h *hostLink) close() {
	h.stop()
	if h.device != nil {
		_ = h.device.Close()
	}
}

func (h *hostLink) stop() {
	if h.look != nil {
		h.look.Stop()
		h.look = nil
	}
}

// restoreHostLink connects a host link by the descriptor that was kept for it, or
// opens it, or makes it again. Where that fails the segment goes on without, and
// it is tried again.
func (hs *hostLinks) restoreHostLink(h *hostLink) {
	device, err := hs.reopenHostLink(h)
	switch {
	case err == nil:
		if err = hs.connectHost(h, device); err == nil {
			hs.keepHostLink(h)
			return
		}
		_ = device.Close()
	case errors.Is(err, fs.ErrNotExist):
		if err = hs.checkHostFree(h.segment.record.IPv4().Prefix); err == nil {
			if err = hs.makeHostLink(h); err == nil {
				hs.log.Info("host link made again", "segment", h.segment.record.Name, "interface", h.name)
				return
			}
		}
	}
	hs.failHostLink(h, err)
}

// reopenHostLink is the device of a host link that exists already.
func (hs *hostLinks) reopenHostLink(h *hostLink) (kernel.Device, error) {
	if fds := hs.kept.take(keptHostLink, h.segment.record.ID); len(fds) > 0 {
		device, err := hs.kernel.AdoptTAP(fds)
		if err == nil {
			if err = hs.checkNotMoved(device); err == nil {
				return device, nil
			}
			_ = device.Close()
		}
		hs.logFailure("drop a kept descriptor", hs.kept.drop(keptHostLink, h.segment.record.ID))
		hs.logFailure("drop a kept descriptor", hs.kept.sync())
		hs.log.Warn("kept descriptor is of no use", "interface", h.name, "error", err)
	}
	own, err := hs.kernel.OwnNamespace()
	if err != nil {
		return nil, err
	}
	defer own.Close()
	return hs.kernel.AttachTAP(own, h.name, true)
}

// Reasons why a host link is lost, as users read them.
const (
	hostLinkMoved   = "its interface was moved to another network namespace"
	hostLinkDeleted = "its interface was deleted"
)

// checkNotMoved refuses a device whose link is in another namespace than the daemon's. That link
// ends with the device. Where that cannot be told, it is asked again when the link is read.
func (hs *hostLinks) checkNotMoved(d kernel.Device) error {
	own, err := hs.inOwnNamespace(d)
	switch {
	case errors.Is(err, netns.ErrNoLink):
		return err
	case err == nil && !own:
		_ = d.SetPersist(false)
		return errors.New(hostLinkMoved)
	}
	return nil
}

// inOwnNamespace reports whether the device's link is in the daemon's namespace.
func (hs *hostLinks) inOwnNamespace(d kernel.Device) (bool, error) {
	own, err := hs.kernel.OwnNamespace()
	if err != nil {
		return false, err
	}
	defer own.Close()
	ns, err := hs.kernel.NamespaceOf(d, d.Name())
	if err != nil {
		return false, err
	}
	defer ns.Close()
	return ns.ID() == own.ID(), nil
}

// failHostLink notes why there is no host link.
func (hs *hostLinks) failHostLink(h *hostLink, err error) {
	if why := err.Error(); why != h.problem {
		h.problem = why
		hs.log.Warn("segment has no host link, and so no way out", "segment", h.segment.record.Name, "interface", h.name, "error", err)
	}
	hs.lookAtHostSoon(h, hostLinkRetry)
}
