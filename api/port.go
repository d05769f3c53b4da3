package api

import (
	"net/netip"
	"time"
)

// DefaultIfName is a port's interface name inside the container when its spec
// names none.
const DefaultIfName = "eth0"

// IPDHCP in place of an address leaves it to the container's own DHCP client,
// which gets the next free one from the segment's gateway.
const IPDHCP = "dhcp"

// GatewayName is what listings call the port that a segment's gateway is. Other ports
// cannot be given that name.
const GatewayName = "gateway"

// Kinds of port.
const (
	PortTAP     = "tap"     // a TAP device in a container
	PortGateway = "gateway" // what answers at the segment's gateway address
	PortHost    = "host"    // a segment's [HostLink], where it is shown as a port
)

// States of a port.
const (
	PortUp   = "up"
	PortDown = "down" // by set-port or in its container, or err-disabled because of a loop
	PortLost = "lost" // its container or device is gone
)

// PortSpec asks for a container to be attached. Exactly one of NetNS, PID and
// Handover says which.
type PortSpec struct {
	ID      string `json:"id,omitempty"` // 64 hex digits; empty is a new one
	Name    string `json:"name"`
	Segment string `json:"segment,omitempty"` // name, id or id prefix; empty is [DefaultSegment]
	NetNS   string `json:"netns,omitempty"`   // name as in "ip netns", or absolute path
	PID     int    `json:"pid,omitempty"`     // process whose namespace it is
	IfName  string `json:"ifname,omitempty"`  // empty is [DefaultIfName]
	// Handover leaves the interface, as [Port].Device, where vswitchd runs, with MAC
	// and MTU but down and without address. Another program, such as Docker, moves it
	// into the container and configures it there.
	Handover bool `json:"handover,omitempty"`

	IP             string            `json:"ip,omitempty"`  // without prefix length; empty is the next free one; [IPDHCP]
	MAC            string            `json:"mac,omitempty"` // empty is 02:42 and the IPv4 address
	NoDefaultRoute bool              `json:"no_default_route,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Aliases        []string          `json:"aliases,omitempty"`     // names beside Name in the segment's DNS
	ResolvConf     bool              `json:"resolv_conf,omitempty"` // write the resolv.conf of the namespace, which NetNS names

	// What the container may do.
	Security       string   `json:"security,omitempty"`        // empty is [SecurityStrict]
	AllowAddresses []string `json:"allow_addresses,omitempty"` // its own besides IP, or as CIDR networks that it routes
	AllowReserved  bool     `json:"allow_reserved,omitempty"`  // frames to 01:80:C2:00:00:01-0F pass
	BPDUGuard      bool     `json:"bpdu_guard,omitempty"`      // frames to 01:80:C2:00:00:00 do not
	Isolated       bool     `json:"isolated,omitempty"`        // no frames from and to other isolated ports
	MACLimit       int      `json:"mac_limit,omitempty"`       // learned addresses; 0 is [DefaultMACLimit]; [NoLimit]
	FloodLimit     int      `json:"flood_limit,omitempty"`     // frames per second to all; 0 is [DefaultFloodLimit]; [NoLimit]
	RateIn         string   `json:"rate_in,omitempty"`         // what it sends, as [ParseRate] reads it; empty is no bound
	RateOut        string   `json:"rate_out,omitempty"`        // what it is sent
}

// Port is one attachment to a segment.
type Port struct {
	ID        string            `json:"id"` // 64 hex digits
	Name      string            `json:"name"`
	Segment   string            `json:"segment"` // the segment's name
	SegmentID string            `json:"segment_id"`
	MAC       string            `json:"mac"`
	IPs       []netip.Prefix    `json:"ips"` // each with the subnet's prefix length
	Gateway   string            `json:"gateway,omitempty"`
	NetNS     string            `json:"netns,omitempty"`
	IfName    string            `json:"ifname,omitempty"`
	Device    string            `json:"device,omitempty"` // name of an interface to hand over, where vswitchd runs
	MTU       int               `json:"mtu"`              // bytes
	Kind      string            `json:"kind"`             // [PortTAP] or [PortGateway]
	State     string            `json:"state"`            // [PortUp], [PortDown] or [PortLost]
	Reason    string            `json:"reason,omitempty"` // why it does not carry what it should
	Labels    map[string]string `json:"labels,omitempty"`
	Created   time.Time         `json:"created"`
	Counters  Counters          `json:"counters"`

	Aliases    []string `json:"aliases,omitempty"`
	DHCP       bool     `json:"dhcp,omitempty"` // the container's own client gets the address
	ResolvConf bool     `json:"resolv_conf,omitempty"`

	Security       string   `json:"security"`
	AllowAddresses []string `json:"allow_addresses,omitempty"`
	AllowReserved  bool     `json:"allow_reserved,omitempty"`
	BPDUGuard      bool     `json:"bpdu_guard,omitempty"`
	Isolated       bool     `json:"isolated,omitempty"`
	MACLimit       int      `json:"mac_limit"`          // [NoLimit] is none
	FloodLimit     int      `json:"flood_limit"`        // frames per second; [NoLimit] is none
	RateIn         string   `json:"rate_in,omitempty"`  // such as 100mbit; empty is no bound
	RateOut        string   `json:"rate_out,omitempty"` // such as 100mbit:64kb

	Published []string `json:"published,omitempty"` // as [Published.String] has it
}

// Counters counts a port's frames, as the switch sees them: rx came from the container,
// tx went to it. Every frame received is forwarded, flooded, consumed locally or dropped.
type Counters struct {
	// Since is when they began at zero: with the port, or when vswitchd was last started as a
	// whole. They survive an upgrade, the end of the process that carries frames and, under
	// systemd, a restart.
	Since     time.Time         `json:"since"`
	RxFrames  uint64            `json:"rx_frames"`
	RxBytes   uint64            `json:"rx_bytes"`
	TxFrames  uint64            `json:"tx_frames"`
	TxBytes   uint64            `json:"tx_bytes"`
	Forwarded uint64            `json:"forwarded"` // sent to the one port that its address was learned on
	Flooded   uint64            `json:"flooded"`   // sent to all other ports of the segment
	Local     uint64            `json:"local"`     // answered by the switch itself, such as ARP
	Drops     map[string]uint64 `json:"drops"`     // frames by reason; reasons with none may be missing
}

// Dropped is the number of frames dropped for any reason.
func (c Counters) Dropped() uint64 {
	var n uint64
	for _, d := range c.Drops {
		n += d
	}
	return n
}

// PortUpdate changes a port; what is nil stays as it is.
type PortUpdate struct {
	Name   *string            `json:"name,omitempty"`
	MAC    *string            `json:"mac,omitempty"` // unicast and not zero
	Up     *bool              `json:"up,omitempty"`
	NetNS  *string            `json:"netns,omitempty"`  // path that a handed over interface is moved to; "" is back
	Labels map[string]*string `json:"labels,omitempty"` // a nil value removes the label

	Aliases *[]string `json:"aliases,omitempty"` // all there are from now on

	Security       *string   `json:"security,omitempty"`
	AllowAddresses *[]string `json:"allow_addresses,omitempty"` // all there are from now on
	AllowReserved  *bool     `json:"allow_reserved,omitempty"`
	BPDUGuard      *bool     `json:"bpdu_guard,omitempty"`
	Isolated       *bool     `json:"isolated,omitempty"`
	MACLimit       *int      `json:"mac_limit,omitempty"`   // 0 is the default again
	FloodLimit     *int      `json:"flood_limit,omitempty"` // 0 is the default again
	RateIn         *string   `json:"rate_in,omitempty"`     // "none" is no bound
	RateOut        *string   `json:"rate_out,omitempty"`    // "none" is no bound
}
