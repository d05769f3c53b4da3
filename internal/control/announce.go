package control

import (
	"slices"
	"sync"
	"time"

	"vswitch/arp"
)

// announcePause is how long the next announcement waits for each frame that the one before was
// written as. It goes to all ports of a segment, and so those of all ports are N² frames: at a
// pause of ten times what a frame takes they leave the worker's time to the containers.
const announcePause = 20 * time.Microsecond

// announcer sends the announcements of ports one after another, spread out over time. Whatever
// happens to a port until its turn comes costs no second one.
type announcer struct {
	// send sends the announcement of a port, as it is then, and returns to how many it went.
	send func(*port) int

	mu      sync.Mutex
	due     []*port
	running *time.Timer // until none is due and the last pause is over
	stopped bool
}

// add has p announced when its turn comes, at once if no other was just before.
func (a *announcer) add(p *port) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || slices.Contains(a.due, p) {
		return
	}
	a.due = append(a.due, p)
	if a.running == nil {
		a.running = time.AfterFunc(0, a.next)
	}
}

// next sends the first announcement, and has itself called again.
func (a *announcer) next() {
	a.mu.Lock()
	if a.stopped || len(a.due) == 0 {
		a.running = nil
		a.mu.Unlock()
		return
	}
	p := a.due[0]
	a.due = slices.Delete(a.due, 0, 1)
	a.mu.Unlock()
	written := a.send(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = time.AfterFunc(time.Duration(written)*announcePause, a.next)
}

// stop forgets what is due.
func (a *announcer) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped, a.due = true, nil
}

// sendAnnouncement sends the segment's other ports the MAC of p's address, and returns to how many
// it went: none if the segment does not answer for p by now. Nothing waits for the worker but the
// caller.
func (nb *neighbours) sendAnnouncement(p *port) (written int) {
	nb.mu.Lock()
	b, ok := p.now().Binding()
	ok = ok && !nb.closed && nb.allPorts[p.record.ID] == p
	if !ok {
		p.segment.answers.notAnnounced(p.record.ID)
	}
	ports := len(nb.portsOf(p.segment))
	nb.mu.Unlock()
	if !ok {
		return 0
	}
	nb.sw.Announce(p.sw, arp.AppendAnnouncement(nil, b.MAC, b.IP))
	return ports
}
