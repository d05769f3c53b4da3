package api

import "net/netip"

// DefaultIfName is a port's interface name inside the container when its spec
// names none.
const DefaultIfName = "eth0"

// PortIP is the address that a port is to get: Addr, or, if that is the zero Addr, the next free
// one, which DHCP leaves to a client in the container to fetch from the segment's gateway.
type PortIP struct {
	Addr netip.Addr // without DHCP
	DHCP bool
}

// ipDHCP stands for DHCP in the text of a [PortIP].
const ipDHCP = "dhcp"

// ParsePortIP reads an address without prefix length, or dhcp.
func ParsePortIP(s string) (PortIP, error) {
	if s == ipDHCP {
		return PortIP{DHCP: true}, nil
	}
	addr, err := ParseAddr("ip", s)
	return PortIP{Addr: addr}, err
}

// String writes the address as ParsePortIP reads it; the zero PortIP is empty.
func (p PortIP) String() string {
	switch {
	case p.DHCP:
		return ipDHCP
	case p.Addr.IsValid():
		return p.Addr.String()
	}
	return ""
}

// MarshalText implements [encoding.TextMarshaler].
func (p PortIP) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// GatewayName is what listings call the port that a segment's gateway is. Other ports
// cannot be given that name.
const GatewayName = "gateway"

// PortHost is the kind of a segment's [HostLink], where it is shown as a port.
const PortHost PortKind = "host"

// Dropped is the number of frames dropped for any reason.
func (c Counters) Dropped() uint64 {
	var n uint64
	for _, d := range c.Drops {
		n += d
	}
	return n
}
