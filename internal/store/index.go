package store

import (
	"fmt"
	"net/netip"
	"slices"
)

// index is what the records say about each other, so that one more can be held
// against all at once. The same checks meet records on their way in and when a
// file is read.
type index struct {
	segments     map[string]segmentFacts // by id
	ports        map[string]portFacts    // by id
	entries      map[station]string      // ids of ports
	segmentNames map[string]string       // ids
	portNames    map[string]string       // ids
	addresses    map[address]string      // ids of ports
	stations     map[station]string      // ids of ports, by their own MAC
	pools        map[string]netip.Prefix // by id

	undo []func() // takes back what was done since keep or revert, newest last
}

type segmentFacts struct {
	name    string
	pool    string // id; empty: none
	subnet  netip.Prefix
	gateway netip.Addr
}

type portFacts struct {
	name, segment, mac string
	addr               netip.Addr
}

// address and station are what only one port of a segment can have.
type (
	address struct {
		segment string
		addr    netip.Addr
	}
	station struct{ segment, mac string }
)

func newIndex() *index {
	return &index{
		segments: make(map[string]segmentFacts), ports: make(map[string]portFacts), entries: make(map[station]string),
		segmentNames: make(map[string]string), portNames: make(map[string]string),
		addresses: make(map[address]string), stations: make(map[station]string), pools: make(map[string]netip.Prefix),
	}
}

// set and unset change a table of the index so that revert can take it back.
func set[K comparable, V any](x *index, table map[K]V, key K, value V) {
	x.remember(restorer(table, key))
	table[key] = value
}

func unset[K comparable, V any](x *index, table map[K]V, key K) {
	x.remember(restorer(table, key))
	delete(table, key)
}

// restorer brings back what a table has under key now.
func restorer[K comparable, V any](table map[K]V, key K) func() {
	if old, exists := table[key]; exists {
		return func() { table[key] = old }
	}
	return func() { delete(table, key) }
}

func (x *index) remember(undo func()) { x.undo = append(x.undo, undo) }

// keep ends the possibility to take back what was done.
func (x *index) keep() { x.undo = nil }

// revert takes back what was done since the last keep or revert.
func (x *index) revert() {
	for _, undo := range slices.Backward(x.undo) {
		undo()
	}
	x.undo = nil
}

// checkSegment says why s cannot be put beside what is there, or instead of the
// segment with its id.
func (x *index) checkSegment(s Segment) error {
	if err := s.check(); err != nil {
		return err
	}
	if id, taken := x.segmentNames[s.Name]; taken && id != s.ID {
		return fmt.Errorf("name %q is that of segment %s as well", s.Name, id)
	}
	if err := x.checkPoolOf(s); err != nil {
		return err
	}
	old, exists := x.segments[s.ID]
	if !exists || old.subnet == s.Subnet && old.gateway == s.Gateway {
		return nil
	}
	for _, p := range x.ports {
		if p.segment == s.ID && !inSubnet(p.addr, s.Subnet, s.Gateway) {
			return fmt.Errorf("subnet %s with gateway %s has no room for port %q at %s", s.Subnet, s.Gateway, p.name, p.addr)
		}
	}
	return nil
}

func (x *index) putSegment(s Segment) {
	if old, exists := x.segments[s.ID]; exists {
		unset(x, x.segmentNames, old.name)
	}
	set(x, x.segments, s.ID, segmentFacts{name: s.Name, pool: s.PoolID, subnet: s.Subnet, gateway: s.Gateway})
	set(x, x.segmentNames, s.Name, s.ID)
}

// checkSegmentEnd says why the segment cannot be deleted: its ports would be
// left without one.
func (x *index) checkSegmentEnd(id string) error {
	for _, p := range x.ports {
		if p.segment == id {
			return fmt.Errorf("segment %q still has port %q: delete its ports first", x.segments[id].name, p.name)
		}
	}
	return nil
}

func (x *index) deleteSegment(id string) {
	unset(x, x.segmentNames, x.segments[id].name)
	unset(x, x.segments, id)
}

// checkPort says why p cannot be put beside what is there, or instead of the
// port with its id.
func (x *index) checkPort(p Port) error {
	if err := p.check(); err != nil {
		return err
	}
	s, exists := x.segments[p.SegmentID]
	if !exists {
		return fmt.Errorf("segment %s does not exist", p.SegmentID)
	}
	if !inSubnet(p.Addr, s.subnet, s.gateway) {
		return fmt.Errorf("address %s is the gateway's or outside subnet %s of segment %q", p.Addr, s.subnet, s.name)
	}
	if id, taken := x.portNames[p.Name]; taken && id != p.ID {
		return fmt.Errorf("name %q is that of port %s as well", p.Name, id)
	}
	if id, taken := x.addresses[address{p.SegmentID, p.Addr}]; taken && id != p.ID {
		return fmt.Errorf("address %s is that of port %q as well", p.Addr, x.ports[id].name)
	}
	if id, taken := x.stations[station{p.SegmentID, p.MAC}]; taken && id != p.ID {
		return fmt.Errorf("mac %s is that of port %q as well", p.MAC, x.ports[id].name)
	}
	if old, exists := x.ports[p.ID]; exists && old.segment != p.SegmentID && len(x.entriesOfPort(p.ID)) > 0 {
		return fmt.Errorf("segment %q is another than that of the port's static entries", s.name)
	}
	return nil
}

func (x *index) putPort(p Port) {
	x.deletePort(p.ID)
	set(x, x.ports, p.ID, portFacts{name: p.Name, segment: p.SegmentID, mac: p.MAC, addr: p.Addr})
	set(x, x.portNames, p.Name, p.ID)
	set(x, x.addresses, address{p.SegmentID, p.Addr}, p.ID)
	set(x, x.stations, station{p.SegmentID, p.MAC}, p.ID)
}

func (x *index) deletePort(id string) {
	p, exists := x.ports[id]
	if !exists {
		return
	}
	unset(x, x.portNames, p.name)
	unset(x, x.addresses, address{p.segment, p.addr})
	unset(x, x.stations, station{p.segment, p.mac})
	unset(x, x.ports, id)
}

// checkEntry says why e cannot be put beside what is there, or instead of the
// entry of its segment and MAC.
func (x *index) checkEntry(e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	s, exists := x.segments[e.SegmentID]
	if !exists {
		return fmt.Errorf("segment %s does not exist", e.SegmentID)
	}
	p, exists := x.ports[e.PortID]
	if !exists {
		return fmt.Errorf("port %s does not exist", e.PortID)
	}
	if p.segment != e.SegmentID {
		return fmt.Errorf("port %q is not on segment %q", p.name, s.name)
	}
	return nil
}

func (x *index) putEntry(e Entry) { set(x, x.entries, station{e.SegmentID, e.MAC}, e.PortID) }

func (x *index) deleteEntry(e station) { unset(x, x.entries, e) }

// entriesOfPort are the static entries that lead to a port. Since an entry's port
// is on its segment, a segment without ports has none.
func (x *index) entriesOfPort(id string) []station {
	var list []station
	for e, port := range x.entries {
		if port == id {
			list = append(list, e)
		}
	}
	return list
}
