package control

import (
	"maps"
	"slices"
	"time"

	"vswitch/internal/control/view"
)

// publishSnapshot makes what is now the snapshot that consumers follow, and that readers get then.
func (c *core) publishSnapshot() {
	begun := time.Now()
	now := c.now()
	for _, consumer := range c.consumers {
		consumer.follow(now)
	}
	now.Way = c.way() // as it has become by that
	c.snapshot.Store(now)
	if c.publishing != nil {
		c.publishing.Stop()
		c.publishing = nil
	}
	c.published = time.Now()
	c.publishPause = min(publishPause*c.published.Sub(begun), maxPublishPause)
	c.lines.release()
}

// now returns what is now, without the way from the host on.
func (c *core) now() *view.Snapshot {
	now := &view.Snapshot{Ports: make([]*view.Port, 0, len(c.allPorts))}
	for _, id := range slices.Sorted(maps.Keys(c.allSegments)) {
		s := c.segmentNow(c.allSegments[id])
		now.Segments = append(now.Segments, s)
		now.Ports = append(now.Ports, s.Ports...)
	}
	for _, id := range slices.Sorted(maps.Keys(c.allPools)) {
		now.Pools = append(now.Pools, c.poolNow(c.allPools[id]))
	}
	return now
}

// poolNow returns what p is.
func (c *core) poolNow(p *pool) *view.Pool {
	now := &view.Pool{Record: p.record}
	if s := c.segmentOver(p); s != nil {
		now.Segment = s.now()
	}
	return now
}

// segmentNow returns what s is, with its ports.
func (c *core) segmentNow(s *segment) *view.Segment {
	now := s.now()
	now.Hits = maps.Clone(s.hits)
	ports := c.portsOf(s)
	now.Ports = make([]*view.Port, len(ports))
	views := make([]view.Port, len(ports)) // in one allocation, half of what many cost
	for i, p := range ports {
		p.fill(&views[i], now)
		now.Ports[i] = &views[i]
	}
	return now
}

// now returns what s is, without its ports and the hits of its rules.
func (s *segment) now() *view.Segment {
	now := &view.Segment{
		Record: s.record, Place: s.sw, Bindings: s.bindings,
	}
	if h := s.host; h != nil {
		now.HostLink = &view.HostLink{
			Name: h.name, Made: h.made, Problem: h.problem, Counts: h.counts,
		}
	}
	return now
}

// now returns what p is.
func (p *port) now() *view.Port {
	now := new(view.Port)
	p.fill(now, p.segment.now())
	return now
}

// fill sets now to what p is as a port of s.
func (p *port) fill(now *view.Port, s *view.Segment) {
	*now = view.Port{
		Record: p.record, Segment: s, Place: p.sw, Counts: p.counts, Lost: p.lost(),
		Link: view.Link{Name: p.link.name, Down: p.link.down, MAC: p.link.mac, Addrs: p.link.addrs},
	}
	if !p.lost() {
		now.Offloads = p.device.Offloads().Names()
	}
	for _, q := range p.published {
		now.Published = append(now.Published, q.now())
	}
}

// current returns the latest snapshot.
func (c *core) current() *view.Snapshot { return c.snapshot.Load() }

// lock begins a change, which unlock or unlockSoon ends. What is logged meanwhile is written once
// readers find the change.
func (c *core) lock() {
	c.mu.Lock()
	c.lines.hold()
}

// unlock ends a change. Readers find it from then on.
func (c *core) unlock() {
	c.publishSnapshot()
	c.release()
}

// release gives the lock back and does what is due without it.
func (c *core) release() {
	due := c.afterwards
	c.afterwards = nil
	c.mu.Unlock()
	for _, do := range due {
		do()
	}
}

// publishPause is how much longer than a snapshot takes it is valid at least while events come,
// maxPublishPause for how long at most. For so long a segment may answer ARP for a port that has
// just been lost, to which frames from caches of its neighbours go on for longer.
const (
	publishPause    = 20
	maxPublishPause = 100 * time.Millisecond
)

// unlockSoon ends what follows an event, of which there may be thousands at once: consumers and
// readers find it at once, or after the pause that follows each snapshot.
func (c *core) unlockSoon() {
	defer c.release()
	since := time.Since(c.published)
	switch {
	case c.publishing != nil:
	case since >= c.publishPause:
		c.publishSnapshot()
	default:
		c.publishing = time.AfterFunc(c.publishPause-since, func() {
			c.mu.Lock()
			defer c.release()
			if c.publishing != nil {
				c.publishSnapshot()
			}
		})
	}
}
