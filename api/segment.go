package api

import (
	"net/netip"
	"time"
)

// DefaultSegment is the segment a port joins when its spec names none.
const DefaultSegment = "bridge"

// MTU range in bytes: from the smallest an IPv4 link may have (RFC 791 §3.2) to
// the most that a TAP takes, 65535 less an Ethernet header (drivers/net/tun.c).
const (
	MinMTU = 68
	MaxMTU = 65521
)

// SegmentSpec asks for a new segment. Subnet, Gateway and IPRange may be empty:
// the backend then chooses a free pool and its first address.
type SegmentSpec struct {
	ID       string            `json:"id,omitempty"` // 64 hex digits; empty is a new one
	Name     string            `json:"name"`
	Subnet   string            `json:"subnet,omitempty"`   // CIDR without host bits
	Gateway  string            `json:"gateway,omitempty"`  // inside Subnet
	IPRange  string            `json:"ip_range,omitempty"` // CIDR inside Subnet that addresses are taken from
	Internal bool              `json:"internal,omitempty"` // no way out of the segment
	Uplink   string            `json:"uplink,omitempty"`   // [UplinkHost] or [UplinkNone]; empty is host, none when Internal
	MTU      int               `json:"mtu,omitempty"`      // bytes; 0 is the backend's default
	Labels   map[string]string `json:"labels,omitempty"`
}

// Segment is a broadcast domain with its subnet.
type Segment struct {
	ID       string            `json:"id"` // 64 hex digits
	Name     string            `json:"name"`
	Driver   string            `json:"driver"` // "vswitch"
	Scope    string            `json:"scope"`  // "local"
	Subnet   netip.Prefix      `json:"subnet"`
	Gateway  string            `json:"gateway,omitempty"`
	IPRange  string            `json:"ip_range,omitempty"`
	Internal bool              `json:"internal"`
	Uplink   string            `json:"uplink"`             // [UplinkHost] or [UplinkNone]
	HostLink HostLink          `json:"host_link,omitzero"` // with [UplinkHost]
	MTU      int               `json:"mtu"`                // bytes
	Labels   map[string]string `json:"labels,omitempty"`
	Created  time.Time         `json:"created"`
	Ports    int               `json:"ports"` // containers attached; the gateway does not count
}

// SegmentUpdate changes a segment; what is nil stays as it is.
type SegmentUpdate struct {
	Name   *string            `json:"name,omitempty"`
	Subnet *string            `json:"subnet,omitempty"` // only of a segment without ports; "" is a free pool
	Labels map[string]*string `json:"labels,omitempty"` // a nil value removes the label
}
