package vswitch

import (
	"errors"

	"vswitch/frame"
)

// HostFilter decides what passes between a segment and the host that has a port
// on it, beside the segment's responder, which says [ToHost] of frames to the
// gateway's address. It is called by several workers at once, and leaves buf
// (virtio-net header and Ethernet frame, which has at least its header) as it is.
type HostFilter interface {
	// FromHost says of a frame that the host sends whether it may pass: Pass, or
	// Refused with an ingress reason.
	FromHost(buf []byte) Response
	// Overhears says whether the host gets a frame to a group address as well.
	Overhears(buf []byte) bool
}

// AddHostPort joins the device by which the host reaches a segment: the host has
// the gateway's address, and gets what the responder says [ToHost] of and what f
// lets it overhear. The segment must have a responder; it has at most one host's
// port. That is trusted: of its sources only the address is checked, nothing is
// learned at it, and the segment's rules are not asked.
func (s *Switch) AddHostPort(seg *Segment, dev Device, f HostFilter, c PortConfig) (*Port, error) {
	if f == nil {
		return nil, errors.New("a host's port without a filter: give one")
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
func (w *worker) firstOfHost(p *Port, g *guard, b []byte, r route) {
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	if gw := p.segment.gateway.Load(); gw == nil || eth.SrcUint64() != gw.mac {
		w.discard(p, SpoofedMAC)
		return
	}
	if reason := p.fromHost(b); reason != none {
		w.discard(p, reason)
		return
	}
	if eth.EtherType() == frame.EtherTypeARP && w.intercept(p, b) {
		return
	}
	if eth[0]&1 != 0 {
		w.group(p, g, b)
		return
	}
	w.unicast(p, g, b, r)
}

// sameOfHost carries a frame that goes the way l, as another before it, from the
// host or to the gateway's address.
func (w *worker) sameOfHost(p *Port, l *route, b []byte) {
	reason := w.recheck(p, l, b)
	if reason == none && l.checks&checkFilter != 0 {
		reason = p.fromHost(b)
	}
	switch {
	case reason != none:
		w.refuse(p, reason, b[frame.VNetHeaderLen:])
	case l.checks&checkGateway != 0:
		w.toGateway(p, l.out, b)
	default:
		w.tally.forwarded++
		w.transmit(l.out, b)
	}
}

// fromHost asks the filter of the host's port p about a frame from it.
func (p *Port) fromHost(b []byte) Reason {
	r := p.filter.FromHost(b)
	switch {
	case r.Action != Refused:
		return none
	case !r.Reason.Ingress():
		return GatewayUnhandled
	}
	return r.Reason
}

// toHost carries a frame that is for the host, or drops it for that reason where
// the host has no port.
func (w *worker) toHost(p *Port, b []byte, missing Reason) {
	switch host := p.segment.host.Load(); host {
	case nil:
		w.discard(p, missing)
	case p:
		w.discard(p, Hairpin)
	default:
		w.tally.forwarded++
		w.transmit(host, b)
	}
}

// tellHost sends the host a frame that is flooded, if it is to hear of it, and says
// so. It never hears of what is for a station that is not known.
func (w *worker) tellHost(p *Port, b []byte) bool {
	host := p.segment.host.Load()
	if host == nil || host == p || b[frame.VNetHeaderLen]&1 == 0 || !host.filter.Overhears(b) {
		return false
	}
	w.transmit(host, b)
	return true
}
