package vswitch

import (
	"sync/atomic"

	"vswitch/frame"
)

// Port is a segment's connection to one device or responder.
type Port struct {
	name      string
	slot      uint32 // its number in the forwarding table; never 0
	segment   *Segment
	device    Device    // nil for a responder's port
	responder Responder // nil for a device's port
	worker    *worker   // reads the device; nil for a responder's port
	plain     bool      // the device takes no partial checksums and super-frames
	maxFrame  int       // bytes of an Ethernet frame with one VLAN tag, by the MTU
	down      atomic.Bool
	stripes   []stripe // one for each worker

	// Fields of the worker that reads the device; the others read those above.
	_        [cacheLines]byte
	ready    bool // may have frames waiting; stands in the worker's list
	detached bool // is read no more
	batch    int  // how many frames to ask for first; at least 1
	last     route
}

// route is the way of the last frame that went from a port to one other: the
// next of the same flow needs neither learn nor lookup. The zero route fits no
// frame.
type route struct {
	head, tail uint64 // the frame's first 8 bytes and the 8 before its payload
	version    uint64 // the table's, before learn and lookup
	out        *Port
}

// PortConfig is what a port is made with.
type PortConfig struct {
	Name string // for people; the switch does not look at it
	// Plain says that the device takes no partial checksums and super-frames:
	// the switch completes and segments what it sends there.
	Plain bool
}

// Name is the port's name.
func (p *Port) Name() string { return p.name }

// Segment is the segment that the port belongs to, for all its life.
func (p *Port) Segment() *Segment { return p.segment }

// Gateway says whether the port is that of the segment's responder.
func (p *Port) Gateway() bool { return p.responder != nil }

// SetDown stops (true) or resumes (false) the port: frames from it are dropped
// as port-down, frames to it as link-down.
func (p *Port) SetDown(down bool) { p.down.Store(down) }

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
	id      uint16
	mtu     int
	ports   atomic.Pointer[[]*Port] // those with a device: whom a flood reaches
	gateway atomic.Pointer[Port]    // the responder's port; nil without one
}

// SegmentConfig is what a segment is made with.
type SegmentConfig struct {
	MTU int // bytes of payload; 0: 1500
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
