// Package store keeps the state of the switch: segments, ports and static
// entries as records of validated values. Records flow in with every change,
// before it is acknowledged, and flow out once, at the start. It refuses what no
// switch could work with, and what would make the next start fail, and decides
// nothing else. [DB] is the store on disk; it never repairs or overwrites a file
// that it finds damaged.
package store

import (
	"io"
	"net/netip"
	"time"
)

// Segment is the record of a segment.
type Segment struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Subnet   netip.Prefix      `json:"subnet"`
	Gateway  netip.Addr        `json:"gateway"`
	Range    netip.Prefix      `json:"range"` // the whole subnet if it was not narrowed
	Internal bool              `json:"internal,omitempty"`
	Uplink   string            `json:"uplink,omitempty"` // its kind; empty: the default
	MTU      int               `json:"mtu"`              // bytes
	Labels   map[string]string `json:"labels,omitempty"`
	Created  time.Time         `json:"created,omitzero"`
	PoolID   string            `json:"pool_id,omitempty"` // of the pool that its subnet is
	Rules    []Rule            `json:"rules,omitempty"`   // the first that matches decides
}

// Rule is the part of a segment's record that allows or denies frames between
// its ports.
type Rule struct {
	ID       string  `json:"id"`
	Deny     bool    `json:"deny,omitempty"` // false: allow
	From     RuleEnd `json:"from,omitzero"`
	To       RuleEnd `json:"to,omitzero"`
	Protocol string  `json:"protocol,omitempty"` // its name; empty: all
	// Destination ports, both ends included; both 0: all.
	FirstPort uint16 `json:"first_port,omitempty"`
	LastPort  uint16 `json:"last_port,omitempty"`
}

// RuleEnd says which ports a rule is about; the zero one, all. The port need not
// exist any more.
type RuleEnd struct {
	PortID     string `json:"port_id,omitempty"`
	LabelKey   string `json:"label_key,omitempty"`
	LabelValue string `json:"label_value,omitempty"`
}

// Port is the record of a port with its lease.
type Port struct {
	ID             string            `json:"id"`
	Name           string            `json:"name"`
	SegmentID      string            `json:"segment_id"`
	MAC            string            `json:"mac"` // lower case with colons
	Addr           netip.Addr        `json:"addr"`
	NetNS          string            `json:"netns,omitempty"` // as the user named it: a name or a path; empty with PID
	PID            int               `json:"pid,omitempty"`
	IfName         string            `json:"ifname,omitempty"`
	Handover       bool              `json:"handover,omitempty"` // the device is moved and configured by others
	NoDefaultRoute bool              `json:"no_default_route,omitempty"`
	Down           bool              `json:"down,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Created        time.Time         `json:"created,omitzero"`

	// Namespace is the identity of the network namespace that the device is in.
	Namespace string `json:"namespace,omitempty"`

	// What the port may send, and how much of it.
	AllowAddresses []netip.Prefix `json:"allow_addresses,omitempty"` // sources beside Addr
	Security       string         `json:"security,omitempty"`        // the mode's name; empty: the default
	AllowReserved  bool           `json:"allow_reserved,omitempty"`  // group addresses that bridges keep to themselves
	BPDUGuard      bool           `json:"bpdu_guard,omitempty"`      // drop its BPDUs instead of forwarding them
	Isolated       bool           `json:"isolated,omitempty"`        // reaches no other isolated port
	MACLimit       int            `json:"mac_limit,omitempty"`       // addresses learned at once; 0: the default; below 0: no limit
	FloodLimit     int            `json:"flood_limit,omitempty"`     // frames per second; 0: the default; below 0: no limit
	RateIn         uint64         `json:"rate_in,omitempty"`         // bit/s; 0: no limit
	RateInBurst    uint64         `json:"rate_in_burst,omitempty"`   // bytes; 0: the default
	RateOut        uint64         `json:"rate_out,omitempty"`        // bit/s; 0: no limit
	RateOutBurst   uint64         `json:"rate_out_burst,omitempty"`  // bytes; 0: the default

	Published []Publication `json:"published,omitempty"`
	// What the container is called and told.
	Aliases    []string `json:"aliases,omitempty"`     // names beside Name
	DHCP       bool     `json:"dhcp,omitempty"`        // it has a client that gets Addr
	ResolvConf bool     `json:"resolv_conf,omitempty"` // the namespace's resolv.conf was written for it

	LostSince  time.Time `json:"lost_since,omitzero"` // when its namespace or link was found gone; zero: it is there
	LostReason string    `json:"lost_reason,omitempty"`
}

// Publication is the part of a port's record that has ports of the host lead to it.
type Publication struct {
	Protocol string     `json:"protocol"`         // its name
	HostIP   netip.Addr `json:"host_ip,omitzero"` // an address of the host; zero: all
	HostPort uint16     `json:"host_port"`        // the first
	Port     uint16     `json:"port"`             // the first, of the container
	Count    int        `json:"count,omitempty"`  // how many in a row; 0: one
}

// Entry is the record of a static entry of the forwarding table.
type Entry struct {
	SegmentID string `json:"segment_id"`
	MAC       string `json:"mac"` // lower case with colons
	PortID    string `json:"port_id"`
}

// State is all that a store holds.
type State struct {
	Segments []Segment
	Ports    []Port
	Entries  []Entry
	Pools    []Pool
}

// Store keeps records.
type Store interface {
	// Load returns all records, in order of their ids.
	Load() (State, error)
	// Apply makes all changes, in their order, in one transaction, or none of them. When it
	// has returned nil they survive the end of the process and of the machine. It refuses
	// what each of the changes is said to be refused for. Deleting what is not there, and
	// putting what is there already, are no errors and write nothing.
	Apply(changes ...Change) error
	// Backup writes a copy of the state as it is at one moment.
	Backup(w io.Writer) error
	Close() error
}
