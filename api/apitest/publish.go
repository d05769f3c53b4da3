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
	host := netip.IPv4Unspecified()
	if spec.HostIP != "" {
		host = netip.MustParseAddr(spec.HostIP)
	}
	published := api.Published{
		Port: p.Name, PortID: p.ID, Segment: p.Segment, HostIP: host, HostPorts: spec.HostPorts,
		IP: p.IPs[0].Addr(), Ports: spec.Ports, Protocol: spec.Protocol,
	}
	if spec.HostPorts == "" {
		free := uint16(firstFree + len(f.published))
		published.HostPorts = api.FormatPorts(free, free)
	}
	for _, other := range f.published {
		if other.HostPorts == published.HostPorts && other.Protocol == published.Protocol {
			return api.Published{}, api.Conflictf("port %s/%s of the host is published by port %q: choose another", other.HostPorts, other.Protocol, other.Port)
		}
	}
	f.published = append(f.published, published)
	p.Published = append(p.Published, published.String())
	return published, nil
}

// Published implements [api.Backend].
func (f *Fake) Published(ctx context.Context, ref string) ([]api.Published, error) {
	if err := f.enter(ctx, "Published"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	name, err := f.segmentName(ref)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(f.published), func(p api.Published) bool { return name != "" && p.Segment != name }), nil
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
	i := slices.IndexFunc(f.published, func(o api.Published) bool {
		return o.PortID == p.ID && o.HostIP.String() == cmp.Or(key.HostIP, "0.0.0.0") && o.HostPorts == key.HostPorts && o.Protocol == key.Protocol
	})
	if i < 0 {
		return api.Published{}, api.NotFoundf("port %q does not publish %s/%s: see list-published", p.Name, key.HostPorts, key.Protocol)
	}
	published := f.published[i]
	f.published = slices.Delete(f.published, i, i+1)
	p.Published = slices.DeleteFunc(slices.Clone(p.Published), func(s string) bool { return s == published.String() })
	return published, nil
}
