package control

import (
	"strings"
	"time"

	"vswitch/internal/netns"
)

// How long after a change a host link is looked at. Whoever else manages the
// host's interfaces may have other ideas about one: then the two change it in turn
// once in a pause, and not as fast as they can.
const (
	hostLinkPause = time.Second
	hostLinkRetry = 5 * time.Second // where it could not be made
)

// hostChanged follows one event of the daemon's own namespace.
func (d *Control) hostChanged(e netns.LinkEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.segments {
		if s.host != nil && (e.Missed || s.host.index == e.Index) {
			d.lookAtHostSoon(s.host, lookDelay)
		}
	}
}

// lookAtHostSoon looks at a host link once the changes under way have been made.
func (d *Control) lookAtHostSoon(h *hostLink, delay time.Duration) {
	if d.closed || h.look != nil {
		return
	}
	if since := time.Since(h.mended); since < hostLinkPause {
		delay = max(delay, hostLinkPause-since)
	}
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		d.lock()
		defer d.unlockSoon()
		if h.look == timer && !d.closed {
			h.look = nil
			d.lookAtHostLink(h)
		}
	})
	h.look = timer
}

// lookAtHostLinks looks at those that are there; it does what can wait until
// frames flow again.
func (d *Control) lookAtHostLinks() {
	d.lock()
	defer d.unlockSoon()
	for _, s := range d.segments {
		if s.host != nil && s.host.device != nil && !d.closed {
			d.lookAtHostLink(s.host)
		}
	}
}

// lookAtHostLink puts right what has become of a host link.
func (d *Control) lookAtHostLink(h *hostLink) {
	if h.device == nil {
		d.restoreHostLink(h)
		return
	}
	if !inOwnNamespace(h.device) {
		d.loseHostLink(h, hostLinkMoved)
		return
	}
	mended, err := h.setUp()
	if err != nil {
		h.problem = err.Error()
		d.log.Warn("host link not put right", "segment", h.segment.record.Name, "interface", h.name, "error", err)
		d.lookAtHostSoon(h, hostLinkRetry)
		return
	}
	h.problem = ""
	if len(mended) > 0 {
		h.mended = time.Now()
		d.log.Warn("host link was changed and is put right", "segment", h.segment.record.Name, "interface", h.name, "what", strings.Join(mended, ", "))
	}
	d.harden(h)
}

// setUp makes the interface what it is to be, and says what it was not.
func (h *hostLink) setUp() (mended []string, err error) {
	if h.index == 0 { // it may have been renamed while nobody looked
		if h.index, err = netns.LinkIndex(h.device.Name()); err != nil {
			return nil, err
		}
	}
	_, mended, err = netns.SetUpHostLink(h.index, h.config())
	return mended, err
}

// loseHostLink follows the end of a host link that the segment is to have, and
// makes it again.
func (d *Control) loseHostLink(h *hostLink, why string) {
	d.log.Warn("host link lost", "segment", h.segment.record.Name, "interface", h.name, "reason", why)
	d.dropHostLink(h)
	h.problem = why
	d.lookAtHostSoon(h, lookDelay)
}
