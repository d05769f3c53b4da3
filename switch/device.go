package vswitch

import (
	"time"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// BatchFrames is the most frames that a worker hands to its [Poller] at a time.
const BatchFrames = 32

// Device is the wire end of a port: whatever the switch's pollers can read frames from and
// write them to. The switch hands it to them and does nothing else with it. It never closes
// a device, which belongs to the caller that attached it and may be closed once [Switch.Detach] or
// [Switch.RemovePort] has returned.
type Device = any

// Headed is a [Device] that says how long its virtio-net header is, in bytes. If that is 0 it
// takes complete frames only, for which the switch completes checksums and cuts super-frames.
// If it is less than [frame.VNetHeaderLen] the switch cuts a tunnel's super-frames. Every other
// device takes what any device delivers.
type Headed interface {
	HeaderLen() int
}

// offloadState is the part of a port's state that says what dev does not take.
func offloadState(dev Device) uint32 {
	d, ok := dev.(Headed)
	switch {
	case !ok:
		return 0
	case d.HeaderLen() == 0:
		return statePlain
	case d.HeaderLen() < frame.VNetHeaderLen:
		return stateShort
	}
	return 0
}

// Poller carries the frames of one worker, and tells it which devices can be read. It knows
// a device by the slot of its port. It is edge-triggered: a device is reported when a frame
// arrives, and need not be again until Receive has said frame.Again.
//
// A buffer holds a virtio-net header ([frame.VNetHeaderLen] bytes) and the Ethernet frame
// behind it, also where the device has a shorter header or none: Receive then makes it, and
// Send sends what the device has of it.
//
// The worker's thread makes it, and calls all of its methods but Wake.
type Poller interface {
	// Buffers returns n frame buffers of size bytes each, which belong to the poller and end
	// with it. Receive and Send are at their best with these, and take all others. It is called
	// once, before all other methods.
	Buffers(n, size int) [][]byte
	// Add has the poller know dev as slot. With watch, Wait reports it.
	Add(slot uint32, dev Device, watch bool) error
	// Unwatch has Wait report the device no more; Send still works.
	Unwatch(slot uint32) error
	// Remove has the poller forget the device, which may be closed then.
	Remove(slot uint32) error
	// Wait fills ready with slots and returns how many. A zero timeout never blocks, a
	// negative one blocks until a device is ready or Wake is called. It may return 0 early.
	Wait(ready []uint32, timeout time.Duration) int
	// Receive reads frames, one into each of bufs, until none waits or bufs are full, and
	// returns how many. It cuts those of bufs to the frames' lengths; their room is their
	// capacity. The status is frame.OK when more may wait, else frame.Again, or frame.Gone
	// when the device has ended. That no frame was read and the status is frame.OK means that
	// as many as there are bufs were lost on the way out of the device. It never blocks.
	Receive(slot uint32, bufs [][]byte) (int, frame.Status)
	// Send queues a frame. buf stays as it is until Flush; no more than BatchFrames are
	// queued.
	Send(slot uint32, buf []byte)
	// Flush writes what is queued, in that order, and returns what became of each; valid
	// until the next Flush. It never blocks.
	Flush() []frame.Status
	// Yield has other threads run that wait for the worker's processor, and returns soon.
	Yield()
	// Wake makes the running or the next Wait return.
	Wake()
	// Close frees the poller; no method is called after it.
	Close() error
}

// Action is what a [Responder] did with a frame.
type Action uint8

// The actions.
const (
	Pass     Action = iota // not for the responder: the frame goes its way
	Consumed               // taken, without an answer
	Answered               // the buffer now holds the answer
	Refused                // to be dropped for Response.Reason
	ToHost                 // for the port of the host, which AddHostPort adds
	// Probe is an ARP address probe (RFC 5227 §1.1) that the responder does not answer: it
	// goes to the ports that may use the address that it asks for, and to no others.
	Probe
)

// Response is a responder's verdict on one frame.
type Response struct {
	Action Action
	Len    int         // with Answered: the answer's length in bytes, virtio-net header included
	Reason drop.Reason // with Refused
}

// Origin is where a frame for a [Responder] came from.
type Origin struct {
	Slot    uint32 // the port's; the gateway's own for the host's port, whose address is the same
	Trusted bool   // the port's security is off, so that what it says of itself is believed
}

// Responder is a port's end inside the switch: it answers frames in the worker that carries
// them, in place. It is called by several workers at once.
type Responder interface {
	// Respond decides on the frame f, which came from a port, and that buf holds behind its
	// virtio-net header. buf may be overwritten, to its full capacity, only when the action
	// is Answered.
	Respond(from Origin, f *frame.Parsed, buf []byte) Response
}
