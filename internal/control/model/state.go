package model

import (
	"iter"
	"net/netip"
	"slices"
	"sync"

	"vswitch/internal/frame"
)

// Records are all records of a state, each kind in the order of its keys.
type Records struct {
	Pools    []Pool
	Segments []Segment
	Ports    []Port
	Entries  []Entry
}

// State is everything that was asked for at one moment. It never changes, and may be read by any
// number of goroutines. What it returns shares slices and maps with it, which are not to be
// written to.
type State struct {
	cloning sync.Mutex // guards the tables while With clones them, not what they hold
	tables
}

// tables hold the records by their keys, and what finds them in another way.
type tables struct {
	pools    records[Pool]
	segments records[Segment]
	ports    records[Port]
	entries  records[Entry]

	segmentNames table[string] // name: id
	portNames    table[string] // name: id
	members      table[string] // segment id and port id: port id
	addrs        table[string] // segment id and address: port id
	allowed      table[string] // segment id, single address and port id: id of the port that may use it
	macs         table[string] // segment id and MAC: id of the port whose own it is
	portEntries  table[string] // port id and entry key: entry key
	poolSegments table[string] // pool id and segment id: segment id
}

// Empty returns a state without records.
func Empty() *State {
	return &State{tables: tables{
		pools: newRecords[Pool](), segments: newRecords[Segment](), ports: newRecords[Port](),
		entries: newRecords[Entry](), segmentNames: newTable[string](), portNames: newTable[string](),
		members: newTable[string](), addrs: newTable[string](), allowed: newTable[string](), macs: newTable[string](),
		portEntries: newTable[string](), poolSegments: newTable[string](),
	}}
}

// New returns the state that holds these records, or an error that names the first which does
// not fit. Segments refer to pools, ports to segments, and entries to ports. What breaks the rules
// of the book of addresses is in the state all the same, for versions before have stored it: see
// [State.Conflicts].
func New(r Records) (*State, error) {
	changes := make([]Change, 0, len(r.Pools)+len(r.Segments)+len(r.Ports)+len(r.Entries))
	for _, p := range r.Pools {
		changes = append(changes, PutPool(p))
	}
	for _, s := range r.Segments {
		changes = append(changes, PutSegment(s))
	}
	for _, p := range r.Ports {
		changes = append(changes, PutPort(p))
	}
	for _, e := range r.Entries {
		changes = append(changes, PutEntry(e))
	}
	s, _, err := Empty().with(true, changes)
	return s, err
}

// Records returns all records.
func (s *State) Records() Records {
	return Records{
		Pools: slices.Collect(s.pools.values()), Segments: slices.Collect(s.segments.values()),
		Ports: slices.Collect(s.ports.values()), Entries: slices.Collect(s.entries.values()),
	}
}

// Segment finds a segment by its id.
func (s *State) Segment(id string) (Segment, bool) { return s.segments.get(id) }

// Port finds a port by its id.
func (s *State) Port(id string) (Port, bool) { return s.ports.get(id) }

// Pool finds a pool by its id.
func (s *State) Pool(id string) (Pool, bool) { return s.pools.get(id) }

// Entry finds the static entry of a segment for a MAC.
func (s *State) Entry(segmentID string, mac frame.MAC) (Entry, bool) {
	return s.entries.get(Entry{SegmentID: segmentID, MAC: mac}.Key())
}

// SegmentNamed finds a segment by its name.
func (s *State) SegmentNamed(name string) (Segment, bool) {
	return via(s.segmentNames, name, s.segments)
}

// PortNamed finds a port by its name.
func (s *State) PortNamed(name string) (Port, bool) { return via(s.portNames, name, s.ports) }

// PortOf finds the port of a segment whose own MAC this is.
func (s *State) PortOf(segmentID string, mac frame.MAC) (Port, bool) {
	return via(s.macs, macKey(segmentID, mac), s.ports)
}

// Segments iterates over the segments in the order of their ids.
func (s *State) Segments() iter.Seq[Segment] { return s.segments.values() }

// Ports iterates over all ports in the order of their ids.
func (s *State) Ports() iter.Seq[Port] { return s.ports.values() }

// Pools iterates over the pools in the order of their ids.
func (s *State) Pools() iter.Seq[Pool] { return s.pools.values() }

// PortIDsOf iterates over the ids of a segment's ports in their order.
func (s *State) PortIDsOf(segmentID string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, id := range s.members.within(segmentID) {
			if !yield(id) {
				return
			}
		}
	}
}

// EntriesOf iterates over the static entries that lead to a port.
func (s *State) EntriesOf(portID string) iter.Seq[Entry] {
	return each(s.portEntries.within(portID), s.entries)
}

// PortCount returns the number of ports.
func (s *State) PortCount() int { return s.ports.len() }

// via finds a record by another key than its own.
func via[T any](index table[string], key string, in records[T]) (record T, found bool) {
	id, found := index.get(key)
	if found {
		record, found = in.get(id)
	}
	return record, found
}

// each iterates over the records whose keys are the values of another table.
func each[T any](keys iter.Seq2[string, string], in records[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, key := range keys {
			if record, found := in.get(key); found && !yield(record) {
				return
			}
		}
	}
}

// addrKey is the key of an address of a segment. Ids have one length, so that a key is of one
// segment only.
func addrKey(segmentID string, a netip.Addr) string {
	b := a.As16()
	return segmentID + string(b[:])
}

func macKey(segmentID string, mac frame.MAC) string { return segmentID + string(mac[:]) }
