package control

import (
	"strings"
	"time"

	"vswitch/internal/control/kernel"
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
func (hs *hostLinks) hostChanged(e netns.LinkEvent) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, s := range hs.allSegments {
		if s.host != nil && (e.Missed || s.host.index == e.Index) {
			hs.lookAtHostSoon(s.host, lookDelay)
		}
	}
}

// lookAtHostSoon looks at a host link once the changes under way have been made.
func (hs *hostLinks) lookAtHostSoon(h *hostLink, delay time.Duration) {
	if hs.closed || h.look != nil {
		return
	}
	if since := time.Since(h.mended); since < hostLinkPause {
		delay = max(delay, hostLinkPause-since)
	}
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		hs.lock()
		defer hs.unlockSoon()
		if h.look == timer && !hs.closed {
			h.look = nil
			hs.lookAtHostLink(h)
		}
	})
	h.look = timer
}

// lookAtHostLinks looks at those that are there; it does what can wait until
// frames flow again.
func (hs *hostLinks) lookAtHostLinks() {
	hs.lock()
	defer hs.unlockSoon()
	for _, s := range hs.allSegments {
		if s.host != nil && s.host.device != nil && !hs.closed {
			hs.lookAtHostLink(s.host)
		}
	}
}

// lookAtHostLink puts right what has become of a host link.
func (hs *hostLinks) lookAtHostLink(h *hostLink) {
	if h.device == nil {
		if hs.restoreHostLink(h); h.device == nil {
			return
		}
	}
	own, err := hs.inOwnNamespace(h.device)
	if err == nil && !own {
		hs.loseHostLink(h, hostLinkMoved)
		return
	}
	var mended []string
	if err == nil {
		mended, err = h.setUp(hs.kernel)
	}
	if err != nil {
		if why := err.Error(); why != h.problem {
			h.problem = why
			hs.log.Warn("host link not put right", "segment", h.segment.record.Name,
				"interface", h.name, "error", err)
		}
		hs.lookAtHostSoon(h, hostLinkRetry)
		return
	}
	h.problem = ""
	if len(mended) > 0 {
		h.mended = time.Now()
		hs.log.Warn("host link was changed and is put right", "segment", h.segment.record.Name, "interface", h.name, "what", strings.Join(mended, ", "))
	}
	hs.harden(h)
}

// setUp makes the interface what it is to be, and says what it was not.
func (h *hostLink) setUp(k kernel.Kernel) (mended []string, err error) {
	if h.index == 0 { // it may have been renamed while nobody looked
		name, err := h.device.LinkName()
		if err != nil {
			return nil, err
		}
		if h.index, err = k.LinkIndex(name); err != nil {
			return nil, err
		}
	}
	_, mended, err = k.SetUpHostLink(h.index, h.config())
	return mended, err
}

// loseHostLink follows the end of a host link that the segment is to have, and
// makes it again.
func (hs *hostLinks) loseHostLink(h *hostLink, why string) {
	hs.log.Warn("host link lost", "segment", h.segment.record.Name, "interface", h.name, "reason", why)
	hs.dropHostLink(h)
	h.problem = why
	h.stop() // what else was to be tried again, and later
	hs.lookAtHostSoon(h, lookDelay)
}
