package apitest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"vswitch/api"
)

// firstFree is the host's port that the fake finds free first.
const firstFree = 32768

// publication is what a port publishes.
type publication struct {
	port *api.Port
	api.Published
}

// view names the port and the segment as they are called now.
func (q publication) view() api.Published {
	v := q.Published
	v.Port, v.Segment = q.port.Name, q.port.Segment
	return v
}

// overlaps says whether both are about a port of the host.
func (q publication) overlaps(other api.Published) bool {
	if q.Protocol != other.Protocol ||
		q.HostIP != other.HostIP && !q.HostIP.IsUnspecified() && !other.HostIP.IsUnspecified() {
		return false
	}
	return q.HostPorts.First <= other.HostPorts.Last && other.HostPorts.First <= q.HostPorts.Last
}

// Publish implements [api.Backend].
func (f *Fake) Publish(ctx context.Context, port string, spec api.PublishSpec) (api.Published, error) {
	if err := f.enter(ctx, "Publish"); err != nil {
		return api.Published{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPort(port)
	if err != nil {
		return api.Published{}, err
	}
	if s, err := f.findSegment(p.SegmentID); err != nil || s.Uplink != api.UplinkHost {
		return api.Published{}, api.Invalidf("segment %q of port %q has no link to the host: "+
			"publish ports of a segment with uplink host", p.Segment, p.Name)
	}
	published := api.Published{
		Port: p.Name, PortID: p.ID, Segment: p.Segment, HostIP: cmp.Or(spec.HostIP, netip.IPv4Unspecified()),
		HostPorts: spec.HostPorts, IP: p.IPs[0].Addr(), Ports: spec.Ports, Protocol: spec.Protocol,
	}
	if spec.HostPorts == (api.PortRange{}) {
		free := uint16(firstFree + len(f.published))
		published.HostPorts = api.PortRange{First: free, Last: free}
	}
	for _, q := range f.published {
		if q.overlaps(published) {
			return api.Published{}, api.Conflictf("port %s of the host is published by port %q "+
				"already, as %s: choose another, or unpublish that",
				published.HostPorts, q.port.Name, q)
		}
	}
	f.published = append(f.published, publication{p, published})
	p.Published = append(p.Published, published.String())
	return published, nil
}

// Published implements [api.Backend].
func (f *Fake) Published(ctx context.Context, ref string) ([]api.Published, error) {
	if err := f.enter(ctx, "Published"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	in, err := f.filter(ref)
	if err != nil {
		return nil, err
	}
	var list []api.Published
	for _, q := range f.published {
		if in(q.port.SegmentID) {
			list = append(list, q.view())
		}
	}
	return list, nil
}

// Unpublish implements [api.Backend].
func (f *Fake) Unpublish(ctx context.Context, port string, key api.PublishedKey) (api.Published, error) {
	if err := f.enter(ctx, "Unpublish"); err != nil {
		return api.Published{}, err
	}
	defer f.mu.Unlock()
	p, err := f.findPort(port)
	if err != nil {
		return api.Published{}, err
	}
	i := slices.IndexFunc(f.published, func(q publication) bool {
		return q.port == p && q.HostIP == cmp.Or(key.HostIP, netip.IPv4Unspecified()) &&
			q.HostPorts == key.HostPorts && q.Protocol == key.Protocol
	})
	if i < 0 {
		return api.Published{}, api.NotFoundf("port %q does not publish %s/%s: see list-published",
			p.Name, key.HostPorts, key.Protocol)
	}
	view := f.published[i].view()
	f.published = slices.Delete(f.published, i, i+1)
	p.Published = slices.DeleteFunc(slices.Clone(p.Published), func(s string) bool { return s == view.String() })
	return view, nil
}
