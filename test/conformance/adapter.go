package conformance

import (
	"net/netip"
	"time"

	"vswitch/internal/frame"
)

// Adapter is a switch under test. Segments and ports go by the names that the
// checks give them, which are unique in one switch. AddSegment, DelSegment, AddPort
// and DelPort may be called while another goroutine is in any method; the others
// come from one goroutine. An error says what could not be done and why.
type Adapter interface {
	// Name is the column's title in a report, and begins the names of its tests.
	Name() string
	// Offers is nil for a feature that the switch has; otherwise it says in a few
	// words why not.
	Offers(Feature) error

	// SetAgeing sets after how long without a frame a learned address is
	// forgotten. It comes before the first segment.
	SetAgeing(time.Duration) error
	AddSegment(name string) error
	DelSegment(name string) error
	AddPort(PortSpec) (Attachment, error)
	DelPort(name string) error
	// SetPort takes a port down at the switch, or up again; the container's own
	// interface stays as it is.
	SetPort(name string, up bool) error
	// Port is the attachment of a port as it is now.
	Port(name string) (Attachment, error)
	// Lost says whether the switch has seen that a port's namespace was deleted.
	Lost(port string) (bool, error)
	// Received counts the frames that the switch has taken from a port, dropped
	// ones included.
	Received(port string) (uint64, error)

	// AddStatic makes an address stand behind a port, whatever frames say.
	AddStatic(segment string, mac frame.MAC, port string) error
	// Flush forgets what a segment has learned.
	Flush(segment string) error
	// FDB lists a segment's forwarding table, without the switch's own addresses.
	FDB(segment string) ([]Entry, error)

	// Restart ends the switch in an orderly way and starts it again, with the
	// segments and ports that it had.
	Restart() error
}

// Feature is something that a switch may lack without breaking the rules.
type Feature string

// The features that checks ask for.
const (
	BPDUGuard    Feature = "bpdu-guard"    // takes no spanning tree from chosen ports
	FloodLimit   Feature = "flood-limit"   // bounds what a port may have flooded
	Gateway      Feature = "gateway"       // answers at an address in each segment
	Isolation    Feature = "isolation"     // keeps isolated ports of a segment apart
	KnownPorts   Feature = "known-ports"   // knows the MACs of its ports, heard or not
	MACLimit     Feature = "mac-limit"     // bounds how many addresses a port may have
	MACSecurity  Feature = "mac-security"  // holds a port to its own address
	RestartKeeps Feature = "restart"       // is a process that can be started again
	StrictSource Feature = "strict-source" // holds a port to its own MAC and IP addresses
)

// Security says which source addresses a port may use.
type Security string

// The levels of security; the zero value is SecurityOff.
const (
	SecurityOff    Security = ""       // any
	SecurityMAC    Security = "mac"    // its own MAC only
	SecurityStrict Security = "strict" // its own MAC and IP addresses only
)

// PortSpec asks for a network namespace to be attached to a segment.
type PortSpec struct {
	Name    string
	Segment string
	NetNS   string // the name that ip netns knows it by

	BPDUGuard  bool
	FloodLimit int // frames per second; 0 is no limit
	Isolated   bool
	MACLimit   int // addresses; 0 is no limit
	Security   Security
}

// Attachment is what a port looks like from inside its namespace.
type Attachment struct {
	IfName  string
	MAC     frame.MAC
	IP      netip.Prefix
	Gateway netip.Addr // where the segment's gateway is, or would be
}

// GatewayMAC is the MAC of a vswitch gateway at the segment's gateway address.
func (a Attachment) GatewayMAC() frame.MAC { return frame.MACFromIPv4(a.Gateway) }

// Entry is an address of a forwarding table.
type Entry struct {
	MAC    frame.MAC
	Port   string // empty if it is none that AddPort made
	Static bool
}
