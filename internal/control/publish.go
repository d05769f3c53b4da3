package control

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/gateway"
	"vswitch/internal/host"
)

// publications have ports of the host lead to ports of the switch.
type publications struct {
	*core
	firewall     *firewall
	republishing *time.Timer // runs while published ports are to be tried again
	pauses       *backoff.ExponentialBackOff
}

// newPublications makes the noun. Ports that could not be reserved are tried again after these
// pauses: at first a process that was killed may still have them, which takes milliseconds. Later
// an address of the host may come, or a program may end.
func newPublications(c *core, fw *firewall) *publications {
	return &publications{core: c, firewall: fw, pauses: newPauses()}
}

// maxPublished bounds the ports of the host that are published: each takes a
// descriptor.
const maxPublished = 4096

// withoutNAT is why nothing is published when the configuration says so.
const withoutNAT = "vswitchd runs with --nat=false, so the host's rules are yours"

// publication is what has ports of the host lead to a port of the switch.
type publication struct {
	record   model.Publication
	reserved kernel.Reservation // nil: see problem
	problem  string             // why it is not reachable
}

// now returns what q is.
func (q *publication) now() view.Publication {
	return view.Publication{Record: q.record, Problem: q.problem}
}

func (q *publication) close() {
	if q.reserved != nil {
		q.reserved.Close()
	}
}

// Publish implements [api.Backend].
func (pubs *publications) Publish(
	_ context.Context, ref string, spec api.PublishSpec,
) (api.Published, error) {
	pubs.lock()
	defer pubs.unlock()
	p, err := pubs.findPort(ref)
	if err != nil {
		return api.Published{}, err
	}
	if err := pubs.checkPublishable(p); err != nil {
		return api.Published{}, err
	}
	r := publicationOf(spec)
	if err := pubs.checkPublication(r); err != nil {
		return api.Published{}, err
	}
	q, err := pubs.publish(p, r)
	if err != nil {
		return api.Published{}, err
	}
	shown := p.now().PublishedView(q.now(), pubs.firewall.problem)
	pubs.log.Info("port published", "port", p.record.Name, "published", shown)
	return shown, nil
}

// checkPublishable refuses a port that the host has no way to.
func (pubs *publications) checkPublishable(p *port) error {
	switch {
	case p.segment.host == nil:
		return api.Invalidf("segment %q of port %q has no link to the host: publish ports of a segment with uplink host", p.segment.record.Name, p.record.Name)
	case !pubs.config.NAT:
		return api.Unsupportedf("ports are not published: %s", withoutNAT)
	case pubs.firewall.problem != "":
		return api.Unsupportedf("ports are not published: %s", pubs.firewall.problem)
	}
	return nil
}

// publicationOf returns what a spec asks for.
func publicationOf(spec api.PublishSpec) model.Publication {
	return model.Publication{
		Protocol: string(cmp.Or(spec.Protocol, api.ProtocolTCP)), HostIP: spec.HostIP,
		HostPort: spec.HostPorts.First, Port: spec.Ports.First, Count: spec.Ports.Len(),
	}
}

// checkPublication refuses what would be too much, or what another port publishes.
func (pubs *publications) checkPublication(r model.Publication) error {
	n := view.Count(r)
	for _, p := range pubs.allPorts {
		for _, q := range p.published {
			n += view.Count(q.record)
			if r.HostPort != 0 && view.Forward(r, nil).Overlaps(view.Forward(q.record, nil)) {
				return api.Conflictf("port %s of the host is published by port %q already, as %s: choose another, or unpublish that",
					view.HostPorts(r), p.record.Name, p.now().PublishedView(q.now(), pubs.firewall.problem))
			}
		}
	}
	if n > maxPublished {
		return api.Exhaustedf("%d ports of the host would be published: at most %d can be", n, maxPublished)
	}
	return nil
}

// publish takes every step to have p publish r, or none.
func (pubs *publications) publish(p *port, r model.Publication) (*publication, error) {
	var undo undo
	defer undo.run()
	q, err := pubs.reserve(r)
	if err != nil {
		return nil, err
	}
	undo.add(q.close)
	old := p.published
	p.published = append(slices.Clip(old), q)
	undo.add(func() { p.published = old }) // the rules follow with the snapshot
	if err := pubs.firewall.try(pubs.now()); err != nil {
		return nil, err
	}
	return q, pubs.storePublished(p, &undo)
}

// reserve keeps the ports of the host from other programs. That of DNS the segments'
// resolvers have as well, each on its own link: they make way until it is ours.
func (pubs *publications) reserve(r model.Publication) (*publication, error) {
	names := host.Forward{Protocol: host.Protocol(r.Protocol), HostPort: gateway.DNSPort}
	shared := (!r.HostIP.IsValid() || r.HostIP.IsUnspecified()) && view.Forward(r, nil).Overlaps(names)
	if shared {
		defer pubs.pauseNames()()
	}
	reserved, err := pubs.kernel.Reserve(host.Protocol(r.Protocol), r.HostIP, r.HostPort, view.Count(r))
	switch {
	case errors.Is(err, host.ErrInUse):
		return nil, api.Conflictf("%w: choose another, or end that program", err)
	case errors.Is(err, host.ErrNotHost):
		return nil, api.Invalidf("%w: publish on one that the host has, or on all", err)
	case err != nil:
		return nil, api.Internalf("%w", err)
	}
	if shared {
		pubs.logFailure("share the port of names", reserved.Share(gateway.DNSPort))
	}
	r.HostPort = reserved.Port()
	return &publication{record: r, reserved: reserved}, nil
}

// storePublished stores what p publishes now, and keeps the change.
func (pubs *publications) storePublished(p *port, undo *undo) error {
	record := p.record
	record.Published = nil
	for _, q := range p.published {
		record.Published = append(record.Published, q.record)
	}
	if err := pubs.store.Apply(model.PutPort(record)); err != nil {
		return api.Internalf("store port %q: %w", record.Name, err)
	}
	p.record = record
	undo.keep()
	return nil
}

// Unpublish implements [api.Backend].
func (pubs *publications) Unpublish(
	_ context.Context, ref string, key api.PublishedKey,
) (api.Published, error) {
	pubs.lock()
	defer pubs.unlock()
	p, err := pubs.findPort(ref)
	if err != nil {
		return api.Published{}, err
	}
	now := p.now()
	i := slices.IndexFunc(p.published, func(q *publication) bool {
		return names(key, now.PublishedView(q.now(), pubs.firewall.problem))
	})
	if i < 0 {
		return api.Published{}, api.NotFoundf("port %q does not publish %s/%s: see list-published",
			p.record.Name, key.HostPorts, key.Protocol)
	}
	q, old := p.published[i], p.published
	var undo undo
	defer undo.run()
	p.published = slices.Delete(slices.Clone(old), i, i+1)
	undo.add(func() { p.published = old })
	if err := pubs.firewall.try(pubs.now()); err != nil {
		return api.Published{}, err
	}
	if err := pubs.storePublished(p, &undo); err != nil {
		return api.Published{}, err
	}
	q.close()
	shown := p.now().PublishedView(q.now(), pubs.firewall.problem)
	pubs.log.Info("port not published any more", "port", p.record.Name, "published", shown)
	return shown, nil
}

// names says whether key is that of a publication.
func names(key api.PublishedKey, p api.Published) bool {
	return p.HostIP == cmp.Or(key.HostIP, netip.IPv4Unspecified()) &&
		p.HostPorts == key.HostPorts && p.Protocol == key.Protocol
}

// withdraw ends all that a port publishes which has gone.
func (pubs *publications) withdraw(p *port) {
	for _, q := range p.published {
		q.close()
	}
	p.published = nil
}

// restorePublished brings back what the record says that p publishes. What cannot
// be reserved stays in the record, out of reach, and is tried again.
func (pubs *publications) restorePublished(p *port) {
	for _, r := range p.record.Published {
		if !pubs.config.NAT {
			p.published = append(p.published, &publication{record: r, problem: withoutNAT})
			continue
		}
		q, err := pubs.reserve(r)
		if err != nil {
			q = &publication{record: r, problem: err.Error()}
			pubs.log.Warn("port not published", "port", p.record.Name, "published", p.now().PublishedView(q.now(), pubs.firewall.problem), "error", err)
			pubs.republishSoon()
		}
		p.published = append(p.published, q)
	}
}

func (pubs *publications) republishSoon() {
	if pubs.republishing != nil || pubs.closed {
		return
	}
	pubs.republishing = time.AfterFunc(pubs.pauses.NextBackOff(), func() {
		pubs.lock()
		defer pubs.unlockSoon()
		if pubs.republishing = nil; !pubs.closed {
			pubs.republish()
		}
	})
}

// republish tries again what could not be published.
func (pubs *publications) republish() {
	for _, p := range pubs.allPorts {
		for _, q := range p.published {
			if q.reserved != nil {
				continue
			}
			again, err := pubs.reserve(q.record)
			if err != nil {
				q.problem = err.Error()
				pubs.republishSoon()
				continue
			}
			*q = *again
			pubs.log.Info("port published", "port", p.record.Name, "published", p.now().PublishedView(q.now(), pubs.firewall.problem))
		}
	}
	if pubs.republishing == nil {
		pubs.pauses.Reset()
	}
}
