package control

import (
	"maps"
	"slices"
	"time"

	"vswitch/internal/control/view"
)

// publishSnapshot makes what is now the snapshot that readers get.
func (d *Control) publishSnapshot() {
	begun := time.Now()
	now := &view.Snapshot{Way: d.way()}
	for _, id := range slices.Sorted(maps.Keys(d.segments)) {
		s := d.segmentNow(d.segments[id])
		now.Segments = append(now.Segments, s)
		now.Ports = append(now.Ports, s.Ports...)
	}
	for _, id := range slices.Sorted(maps.Keys(d.leasePools)) {
		now.Pools = append(now.Pools, d.poolNow(d.leasePools[id]))
	}
	d.snapshot.Store(now)
	if d.publishing != nil {
		d.publishing.Stop()
		d.publishing = nil
	}
	d.published = time.Now()
	d.publishPause = publishPause * d.published.Sub(begun)
	d.lines.release()
}

// poolNow returns what p is.
func (d *Control) poolNow(p *pool) *view.Pool {
	now := &view.Pool{Record: p.record}
	if s := d.segmentOver(p); s != nil {
		now.Segment = s.now()
	}
	return now
}

// segmentNow returns what s is, with its ports.
func (d *Control) segmentNow(s *segment) *view.Segment {
	now := s.now()
	for _, p := range d.portsOf(s) {
		now.Ports = append(now.Ports, p.in(now))
	}
	return now
}

// now returns what s is, without its ports.
func (s *segment) now() *view.Segment {
	now := &view.Segment{
		Record: s.record, Place: s.sw, Bindings: s.bindings, Hits: maps.Clone(s.hits),
	}
	if h := s.host; h != nil {
		now.HostLink = &view.HostLink{Name: h.name, Problem: h.problem, Counts: h.counts}
	}
	return now
}

// now returns what p is.
func (p *port) now() *view.Port { return p.in(p.segment.now()) }

// in returns what p is as a port of s.
func (p *port) in(s *view.Segment) *view.Port {
	now := &view.Port{
		Record: p.record, Segment: s, Place: p.sw, Counts: p.counts, Lost: p.lost(),
		Link: view.Link{Down: p.link.down, MAC: p.link.mac, Addrs: p.link.addrs},
	}
	for _, q := range p.published {
		now.Published = append(now.Published, q.now())
	}
	return now
}

// current returns the latest snapshot.
func (d *Control) current() *view.Snapshot { return d.snapshot.Load() }

// lock begins a change, which unlock or unlockSoon ends. What is logged meanwhile is written once
// readers find the change.
func (d *Control) lock() {
	d.mu.Lock()
	d.lines.hold()
}

// unlock ends a change. Readers find it from then on.
func (d *Control) unlock() {
	d.publishSnapshot()
	d.mu.Unlock()
}

// publishPause is how much longer than a snapshot takes it is valid at least while events come.
const publishPause = 20

// unlockSoon ends what follows an event, of which there may be thousands at once: readers find
// it at once, or after the pause that follows each snapshot.
func (d *Control) unlockSoon() {
	defer d.mu.Unlock()
	since := time.Since(d.published)
	switch {
	case d.publishing != nil:
	case since >= d.publishPause:
		d.publishSnapshot()
	default:
		d.publishing = time.AfterFunc(d.publishPause-since, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.publishing != nil {
				d.publishSnapshot()
			}
		})
	}
}
