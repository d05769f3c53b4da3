// Package store keeps the state of the switch: segments, ports and static
// entries as records of validated values. Records flow in with every change,
// before it is acknowledged, and flow out once, at the start. It decides nothing.
package store

import (
	"net/netip"
	"time"
)

// Segment is the record of a segment.
type Segment struct {
	ID       string
	Name     string
	Subnet   netip.Prefix
	Gateway  netip.Addr
	Range    netip.Prefix // the whole subnet if it was not narrowed
	Internal bool
	MTU      int // bytes
	Labels   map[string]string
	Created  time.Time
}

// Port is the record of a port with its lease.
type Port struct {
	ID             string
	Name           string
	SegmentID      string
	MAC            string
	Addr           netip.Addr
	NetNS          string // as the user named it: a name or a path; empty with PID
	PID            int
	IfName         string
	NoDefaultRoute bool
	Down           bool
	Labels         map[string]string
	Created        time.Time
}

// Entry is the record of a static entry of the forwarding table.
type Entry struct {
	SegmentID string
	MAC       string
	PortID    string
}

// State is all that a store holds.
type State struct {
	Segments []Segment
	Ports    []Port
	Entries  []Entry
}

// Store keeps records. A Put or Delete that returned nil survives the end of the
// process and of the machine. Deleting what is not there is no error; deleting a
// segment or a port deletes its static entries too.
type Store interface {
	Load() (State, error)
	PutSegment(Segment) error
	DeleteSegment(id string) error
	PutPort(Port) error
	DeletePort(id string) error
	PutEntry(Entry) error
	DeleteEntry(segmentID, mac string) error
	Close() error
}

// Discard is the store that keeps nothing.
type Discard struct{}

var _ Store = Discard{}

// Load implements [Store]: there never is a state.
func (Discard) Load() (State, error) { return State{}, nil }

// PutSegment implements [Store].
func (Discard) PutSegment(Segment) error { return nil }

// DeleteSegment implements [Store].
func (Discard) DeleteSegment(string) error { return nil }

// PutPort implements [Store].
func (Discard) PutPort(Port) error { return nil }

// DeletePort implements [Store].
func (Discard) DeletePort(string) error { return nil }

// PutEntry implements [Store].
func (Discard) PutEntry(Entry) error { return nil }

// DeleteEntry implements [Store].
func (Discard) DeleteEntry(string, string) error { return nil }

// Close implements [Store].
func (Discard) Close() error { return nil }
