package vswitch

import (
	"sync/atomic"

	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// cacheLines is how far apart two things must be that different threads write:
// processors fetch lines of 64 bytes in pairs.
const cacheLines = 128

// Port is a segment's connection to one device or responder. It lasts from [Switch.AddPort]
// to [Switch.RemovePort]; its device may come and go meanwhile.
type Port struct {
	name      string
	slot      uint32 // its number in the forwarding table; never 0
	segment   *Segment
	responder Responder  // nil for a device's port
	filter    HostFilter // nil but for the host's port
	worker    *worker    // reads the device; nil for a responder's port
	maxFrame  int        // bytes of an Ethernet frame with one VLAN tag, by the MTU
	mac       uint64     // the address of a responder's port
	state     atomic.Uint32
	guard     atomic.Pointer[policy.Guard]
	stripes   []*stripe // one for each worker
	egress    []*queue  // one for each worker, that worker's; nil until it is needed

	// Fields of the control side, under the switch's mu.
	device Device // nil: the port is lost
	member bool   // floods go to the port
	own    uint64 // the address that is the port's own, or is to be once it is free; 0: none

	refusals refusals

	// Fields of the worker that reads the device; the others read those above.
	_         [cacheLines]byte
	ready     bool   // may have frames waiting; takes turns (turn.go) or rests
	detached  bool   // is read no more
	round     uint32 // of the worker's turns: the one that credit belongs to
	credit    int    // bytes that may be carried in that round; below 0: carried too many
	batch     int    // how many frames to ask for first; at least 1
	last      route
	ingress   *queue              // nil until it is needed
	restraint restraint           // by the frames refused
	restUntil int64               // in ticks, while it rests
	floods    floodMeter          // by the frames flooded (loop_probe.go)
	reported  [reasonCount]uint32 // when each kind of violation was last reported; 0: never
}

// What a port's state may hold.
const (
	stateDown        uint32 = 1 << iota // administratively
	stateErrDisabled                    // because of a loop
	stateLost                           // it has no device
	statePlain                          // its device takes no partial checksums and super-frames
	stateShort                          // its device takes no super-frames of tunnels
	stateMetered                        // what it is sent is bounded, or waits: the guard's RateOut
	stateIsolated                       // the policy's Isolated

	stateStopped = stateDown | stateErrDisabled // takes nothing from its device
	stateClosed  = stateStopped | stateLost     // takes nothing from others
	stateOffload = statePlain | stateShort
	stateEgress  = stateClosed | stateOffload | stateMetered // what a sender must look at
)

// route is the way of the last frame that went from a port to one other: the next of the
// same flow needs neither learn nor lookup. The zero route fits no frame.
type route struct {
	head, tail uint64 // the frame's first 8 bytes and the 8 before its payload
	version    uint64 // the table's, before learn and lookup
	out        *Port
	checks     policy.Checks // what differs between frames of the flow and must be looked at
}

// The checks of a route beside the policy's own.
const (
	checkRules   = policy.CheckNext << iota // the segment's rules
	checkFilter                             // the host port's filter; it and what follows: host.go
	checkGateway                            // the segment's responder, whose port the route leads to
)

// PortConfig is what a port is made with.
type PortConfig struct {
	Name string // for people; the switch does not look at it
	// Policy is what the port may do from its first frame on. Its MAC is the port's own
	// address in the forwarding table.
	Policy policy.Policy
	// Counters is where the port counts: [CounterWords] words for each worker, one worker's
	// after the other's, which begin at a multiple of 128 bytes and are nobody else's until the
	// port is removed. It counts on from what they hold. Nil is memory of the port's own.
	Counters []atomic.Uint64
}

// Name is the port's name.
func (p *Port) Name() string { return p.name }

// Slot is the port's number in the switch, from 1 on; no other port has it as long as this
// one is not removed.
func (p *Port) Slot() uint32 { return p.slot }

// Segment is the segment that the port belongs to, for all its life.
func (p *Port) Segment() *Segment { return p.segment }

// Gateway reports whether the port is that of the segment's responder.
func (p *Port) Gateway() bool { return p.responder != nil }

// Host reports whether the port is the host's.
func (p *Port) Host() bool { return p.filter != nil }

// Trusted reports whether what the port's container says of itself is believed: its
// security is off.
func (p *Port) Trusted() bool { return p.guard.Load().Security == policy.SecurityOff }

// SetDown stops (true) or resumes (false) the port: frames from it are dropped as port-down,
// frames to it as link-down.
func (p *Port) SetDown(down bool) { p.setState(stateDown, down) }

func (p *Port) setState(bit uint32, on bool) {
	if on {
		p.state.Or(bit)
	} else {
		p.state.And(^bit)
	}
}

// setOffload sets which of stateOffload the port is in.
func (p *Port) setOffload(bits uint32) {
	p.state.And(^(stateOffload &^ bits))
	p.state.Or(bits)
}

// ErrDisabled reports whether a loop was found at the port, so that for a while frames from
// it are dropped as loop, frames to it as held-down.
func (p *Port) ErrDisabled() bool { return p.state.Load()&stateErrDisabled != 0 }

// Lost reports whether the port has no device.
func (p *Port) Lost() bool { return p.state.Load()&stateLost != 0 }

func (p *Port) isolated() bool { return p.state.Load()&stateIsolated != 0 }

// key is the forwarding table's key for an address on p's segment.
func (p *Port) key(mac uint64) uint64 { return fdb.Key(mac, p.segment.id) }

func (p *Port) place() fdb.Place { return fdb.Place(p.slot) }

// Counters sums what all workers have counted for the port.
func (p *Port) Counters() Counters {
	var c Counters
	for _, s := range p.stripes {
		s.addTo(&c)
	}
	return c
}
