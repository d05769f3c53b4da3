package host

import (
	"fmt"
	"net/netip"
)

// Config is all that the host's kernel is to do for the switch.
type Config struct {
	Segments []Segment
	Forwards []Forward
	// NoDrop has the host forward between its other networks too where it did not forward
	// before there were segments.
	NoDrop bool
}

// Segment is a segment that has a link of the host in it.
type Segment struct {
	Link       string       // the host's interface in the segment
	Subnet     netip.Prefix // IPv4
	Gateway    netip.Addr   // the host's address on Link
	Masquerade bool         // what leaves the host from Subnet takes the host's address
}

// Protocol is what a port is a port of.
type Protocol string

// The protocols that have ports to publish.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// number is the protocol's in the IPv4 header (RFC 1700).
func (p Protocol) number() (byte, bool) {
	switch p {
	case TCP:
		return 6, true
	case UDP:
		return 17, true
	default:
		return 0, false
	}
}

// Forward sends what comes to ports of the host on to a container.
type Forward struct {
	Protocol Protocol
	HostIP   netip.Addr // an address of the host; the zero Addr or 0.0.0.0: any
	HostPort uint16     // the first of Count
	Count    int        // how many ports in a row; 0 is 1
	To       netip.Addr // the container's address
	ToPort   uint16     // where HostPort goes; those after it go to those after this
	Link     string     // of the segment that To is in
}

func (f Forward) count() int { return max(f.Count, 1) }

// anyHost says whether every address of the host is meant.
func (f Forward) anyHost() bool { return !f.HostIP.IsValid() || f.HostIP.IsUnspecified() }

// loopback says whether the host's own 127.0.0.1 is to lead to the container.
func (f Forward) loopback() bool { return f.anyHost() || f.HostIP.IsLoopback() }

// String is the forward in the notation of docker run -p.
func (f Forward) String() string {
	host, port, to := "", fmt.Sprint(f.HostPort), fmt.Sprint(f.ToPort)
	if !f.anyHost() {
		host = f.HostIP.String() + ":"
	}
	if n := f.count() - 1; n > 0 {
		port, to = fmt.Sprintf("%s-%d", port, int(f.HostPort)+n), fmt.Sprintf("%s-%d", to, int(f.ToPort)+n)
	}
	return fmt.Sprintf("%s%s:%s/%s", host, port, to, f.Protocol)
}

// Overlaps says whether f and g want the same port of the same address.
func (f Forward) Overlaps(g Forward) bool {
	return f.Protocol == g.Protocol && (f.anyHost() || g.anyHost() || f.HostIP == g.HostIP) &&
		int(f.HostPort) < int(g.HostPort)+g.count() && int(g.HostPort) < int(f.HostPort)+f.count()
}

// linkSize is the kernel's IFNAMSIZ, the closing zero included.
const linkSize = 16
