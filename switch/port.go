package vswitch

import (
	"net/netip"
	"sync/atomic"

	"vswitch/frame"
)

// cacheLines is how far apart two things must be that different threads write:
// processors fetch lines of 64 bytes in pairs.
const cacheLines = 128

// Port is a segment's connection to one device or responder.
type Port struct {
	name      string
	slot      uint32 // its number in the forwarding table; never 0
	segment   *Segment
	device    Device     // nil for a responder's port
	responder Responder  // nil for a device's port
	filter    HostFilter // nil but for the host's port
	worker    *worker    // reads the device; nil for a responder's port
	plain     bool       // the device takes no partial checksums and super-frames
	maxFrame  int        // bytes of an Ethernet frame with one VLAN tag, by the MTU
	mac       uint64     // the address of a responder's port
	state     atomic.Uint32
	guard     atomic.Pointer[guard]
	stripes   []stripe // one for each worker

	// Fields of the worker that reads the device; the others read those above.
	_         [cacheLines]byte
	ready     bool // may have frames waiting; stands in the worker's list
	detached  bool // is read no more
	batch     int  // how many frames to ask for first; at least 1
	last      route
	restraint restraint          // by the frames refused
	restUntil int64              // in ticks, while it rests
	reported  [numReasons]uint32 // when each kind of violation was last reported; 0: never
}

// What a port's state may hold.
const (
	stateDown     uint32 = 1 << iota // administratively
	stateHeld                        // by the loop guard
	stateMetered                     // what it is sent is bounded: the guard's rateOut
	stateIsolated                    // the policy's Isolated

	stateEgress = stateDown | stateHeld | stateMetered // what a sender to the port must look at
)

// stopped is why a port in that state takes no frame from its device.
func stopped(state uint32) Reason {
	if state&stateDown != 0 {
		return PortDown
	}
	return Loop
}

// route is the way of the last frame that went from a port to one other: the
// next of the same flow needs neither learn nor lookup. The zero route fits no
// frame.
type route struct {
	head, tail uint64 // the frame's first 8 bytes and the 8 before its payload
	version    uint64 // the table's, before learn and lookup
	out        *Port
	checks     checks // what differs between frames of the flow and must be looked at
}

// PortConfig is what a port is made with.
type PortConfig struct {
	Name string // for people; the switch does not look at it
	// Plain says that the device takes no partial checksums and super-frames:
	// the switch completes and segments what it sends there.
	Plain bool
	// Policy is what the port may do from its first frame on.
	Policy Policy
}

// Name is the port's name.
func (p *Port) Name() string { return p.name }

// Segment is the segment that the port belongs to, for all its life.
func (p *Port) Segment() *Segment { return p.segment }

// Gateway says whether the port is that of the segment's responder.
func (p *Port) Gateway() bool { return p.responder != nil }

// SetDown stops (true) or resumes (false) the port: frames from it are dropped
// as port-down, frames to it as link-down.
func (p *Port) SetDown(down bool) {
	if down {
		p.state.Or(stateDown)
	} else {
		p.state.And(^stateDown)
	}
}

// Held says whether the loop guard holds the port down: frames from it are
// dropped as loop, frames to it as held-down.
func (p *Port) Held() bool { return p.state.Load()&stateHeld != 0 }

func (p *Port) isolated() bool { return p.state.Load()&stateIsolated != 0 }

// Counters sums what all workers have counted for the port.
func (p *Port) Counters() Counters {
	var c Counters
	for i := range p.stripes {
		p.stripes[i].addTo(&c)
	}
	return c
}

// Segment is one broadcast domain. Frames never leave it.
type Segment struct {
	id        uint16
	mtu       int
	gatewayIP uint32 // 0: unknown
	owner     *Switch
	flaps     *flaps
	ports     atomic.Pointer[[]*Port] // the stations': whom a flood reaches
	gateway   atomic.Pointer[Port]    // the responder's port; nil without one
	host      atomic.Pointer[Port]    // the host's port; nil without one
	rules     atomic.Pointer[rules]   // nil without any
}

// SegmentConfig is what a segment is made with.
type SegmentConfig struct {
	MTU int // bytes of payload; 0: 1500
	// Gateway is the gateway's IPv4 address, which no port may claim by ARP; the
	// zero Addr where there is none.
	Gateway netip.Addr
}

// Bounds of a segment's MTU in bytes: RFC 791's least, and what fits a frame of
// the kernel's largest TAP MTU (drivers/net/tun.c).
const (
	DefaultMTU = 1500
	MinMTU     = 68
	MaxMTU     = 65521
)

// MTU is the largest payload of a frame, in bytes.
func (s *Segment) MTU() int { return s.mtu }

func (s *Segment) maxFrame() int { return s.mtu + frame.EthernetHeaderLen + frame.VLANTagLen }
