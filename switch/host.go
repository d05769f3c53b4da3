package vswitch

import (
	"errors"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// HostFilter decides what passes between a segment and the host that has a port on it,
// beside the segment's responder, which says [ToHost] of frames to the gateway's address. It
// is called by several workers at once.
type HostFilter interface {
	// FilterIngress returns the ingress reason why a frame that the host sends is dropped,
	// or [drop.None].
	FilterIngress(f *frame.Parsed) drop.Reason
	// AcceptsFlood reports whether the host gets a frame to a group address as well.
	AcceptsFlood(f *frame.Parsed) bool
}

// AddHostPort joins the device by which the host reaches a segment: the host has
// the gateway's address, and gets what the responder says [ToHost] of and what f
// accepts of floods. The segment must have a responder; it has at most one host's
// port. That is trusted: of its sources only the address is checked, nothing is
// learned at it, and the segment's rules are not asked.
func (s *Switch) AddHostPort(seg *Segment, dev Device, f HostFilter, c PortConfig) (*Port, error) {
	if f == nil || dev == nil {
		return nil, errors.New("a host's port without a device or a filter: give both")
	}
	return s.addPort(seg, dev, c, f)
}

// takesHost says why the segment cannot have a host's port.
func (s *Segment) takesHost() error {
	if s.gateway.Load() == nil {
		return errors.New("the segment has no responder, and so no gateway whose address the host could have")
	}
	if s.host.Load() != nil {
		return ErrInUse
	}
	return nil
}

// firstOfHost decides on a frame of the host whose route is not known yet.
func (w *worker) firstOfHost(p *Port, g *policy.Guard, b []byte, r route) {
	f := &w.parsed
	if gw := p.segment.gateway.Load(); gw == nil || f.Eth.SrcUint64() != gw.mac {
		w.discard(p, drop.SpoofedMAC, b)
		return
	}
	if reason := p.filterIngress(f); reason != drop.None {
		w.discard(p, reason, b)
		return
	}
	f.Link()
	if f.EtherType == frame.EtherTypeARP && !f.VLAN && w.intercept(p, b) {
		return
	}
	if f.Eth[0]&1 != 0 {
		w.group(p, g, b)
		return
	}
	w.unicast(p, g, b, r)
}

// filterIngress asks the filter of the host's port p about a frame from it.
func (p *Port) filterIngress(f *frame.Parsed) drop.Reason {
	r := p.filter.FilterIngress(f)
	if r != drop.None && !r.Ingress() { // would be missing from the sum of what p sent
		return drop.GatewayUnhandled
	}
	return r
}

// toHost carries a frame that is for the host, or drops it for that reason where
// the host has no port.
func (w *worker) toHost(p *Port, b []byte, missing drop.Reason) {
	switch host := p.segment.host.Load(); host {
	case nil:
		w.discard(p, missing, b)
	case p:
		w.discard(p, drop.Hairpin, b)
	default:
		w.forward(host, b)
	}
}
