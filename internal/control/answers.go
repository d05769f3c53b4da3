package control

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"vswitch/arp"
	"vswitch/internal/control/view"
	"vswitch/internal/frame"
)

// answers are what a segment answers ARP for on behalf of its ports: the function
// [view.Port.Binding] of each port of the last snapshot. Nobody else changes these bindings, but
// a port may have claimed its own for another MAC behind it, as long as its security lets it.
type answers struct {
	table *arp.Table
	ports []answer // in the order of their ids, which is the snapshot's
}

// answer is what is answered for a port.
type answer struct {
	portID    string
	bound     arp.Binding // zero: nothing
	announced known       // what neighbours were told of last; zero: nothing
}

// known is what neighbours know of a port.
type known struct {
	ip  netip.Addr
	mac frame.MAC
}

// follow answers for the ports of the segment as it is now, and returns the ids of those whose
// neighbours are to be told of another MAC or address. What has not changed is left alone. The error tells of
// bindings that could not be made.
func (a *answers) follow(now *view.Segment) (changed []string, err error) {
	a.match(now.Ports)
	for i, p := range now.Ports { // first, for the address may be another's by now
		if b, ok := p.Binding(); !ok || b.IP != a.ports[i].bound.IP {
			a.end(&a.ports[i])
		}
	}
	var errs []error
	for i, p := range now.Ports {
		if err := a.bind(&a.ports[i], p); err != nil {
			errs = append(errs, err)
		}
		if a.ports[i].isNews(p) {
			changed = append(changed, p.Record.ID)
		}
	}
	return changed, errors.Join(errs...)
}

// match makes the list one of these ports. What was answered for others ends.
func (a *answers) match(ports []*view.Port) {
	same := func(was answer, p *view.Port) bool { return was.portID == p.Record.ID }
	if slices.EqualFunc(a.ports, ports, same) {
		return
	}
	before := a.ports
	a.ports = make([]answer, 0, len(ports))
	for _, p := range ports {
		for len(before) > 0 && before[0].portID < p.Record.ID {
			a.end(&before[0])
			before = before[1:]
		}
		if len(before) > 0 && same(before[0], p) {
			a.ports = append(a.ports, before[0])
			before = before[1:]
		} else {
			a.ports = append(a.ports, answer{portID: p.Record.ID})
		}
	}
	for i := range before {
		a.end(&before[i])
	}
}

// end ends what is answered for a port.
func (a *answers) end(was *answer) {
	if was.bound != (arp.Binding{}) {
		a.table.Unbind(was.bound.IP)
		was.bound = arp.Binding{}
	}
}

// bind has p's address answered for, unless it is or frames would not get there.
func (a *answers) bind(was *answer, p *view.Port) error {
	b, ok := p.Binding()
	if !ok || b == was.bound && (p.Place.Trusted() || !a.claimed(b)) {
		return nil
	}
	was.bound = b
	return a.table.Bind(b)
}

// claimed reports whether answers for b's address carry another MAC than b's.
func (a *answers) claimed(b arp.Binding) bool {
	mac, bound := a.table.Lookup(b.IP)
	return bound && mac != b.MAC
}

// isNews reports whether p's neighbours are to be told of it, and notes that they are. They
// know a port that was there before this process, whose interface has not been read yet, and
// one that was away for a while. What was lost may have been used by others.
func (was *answer) isNews(p *view.Port) bool {
	switch {
	case p.Lost:
		was.announced = known{}
	case p.Link.MAC.IsZero():
		was.announced = known{p.Record.IPv4(), p.Record.MAC}
	case was.bound != (arp.Binding{}) && (known{was.bound.IP, was.bound.MAC}) != was.announced:
		was.announced = known{was.bound.IP, was.bound.MAC}
		return true
	}
	return false
}

// notAnnounced notes that neighbours were not told of a port: it could not be reached then.
func (a *answers) notAnnounced(portID string) {
	byID := func(was answer, id string) int { return strings.Compare(was.portID, id) }
	if i, found := slices.BinarySearchFunc(a.ports, portID, byID); found {
		a.ports[i].announced = known{}
	}
}
