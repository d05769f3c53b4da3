package vswitch

import (
	"time"

	"vswitch/frame"
)

// BatchFrames is the most frames that a worker hands to its [Poller] at a time.
const BatchFrames = 32

// Device is the wire end of a port. A buffer holds a virtio-net header
// ([frame.VNetHeaderLen] bytes) and the Ethernet frame behind it.
//
// Only the port's own worker calls Receive; any worker may call Transmit, also
// at the same time as another. Neither may block, and neither may keep the
// buffer after it returns. The switch never closes a device: it belongs to
// whoever added the port, who may close it once RemovePort has returned.
type Device interface {
	// Receive reads one frame into buf and returns its length in bytes with
	// frame.OK, or frame.Again when none waits, or frame.Gone.
	Receive(buf []byte) (int, frame.Status)
	// Transmit hands one frame over. Anything but frame.OK means it is lost.
	Transmit(buf []byte) frame.Status
}

// Poller tells one worker which of its devices can be read. It is
// edge-triggered: a device is reported when a frame arrives, and need not be
// again until Receive has said frame.Again.
//
// It also carries frames to and from devices, several in one call, so that the
// kernel may be asked once for all of them.
//
// Only Wake may be called from another goroutine than the worker's.
type Poller interface {
	// Add watches dev and reports it as token.
	Add(dev Device, token uint32) error
	// Remove ends watching dev.
	Remove(dev Device) error
	// Wait fills ready with tokens and returns how many. A zero timeout never
	// blocks, a negative one blocks until a device is ready or Wake is called.
	// It may return 0 early.
	Wait(ready []uint32, timeout time.Duration) int
	// Receive reads frames from dev, one into each of bufs, until none waits or
	// bufs are full, and returns how many. It cuts those of bufs to the frames'
	// lengths; their room is their capacity. The status is frame.OK when more may
	// wait, or what Device.Receive said last.
	Receive(dev Device, bufs [][]byte) (int, frame.Status)
	// Send queues a frame for dev. buf stays as it is until Flush; no more than
	// BatchFrames are queued.
	Send(dev Device, buf []byte)
	// Flush transmits what is queued, in that order, and returns what
	// Device.Transmit would have of each; valid until the next Flush.
	Flush() []frame.Status
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
)

// Response is a responder's word on one frame.
type Response struct {
	Action Action
	Len    int    // with Answered: the answer's length in bytes, virtio-net header included
	Reason Reason // with Refused
}

// Responder is a port's end inside the switch: it answers frames in the worker
// that carries them, in place. It is called by several workers at once.
type Responder interface {
	// Respond looks at the frame in buf (virtio-net header and Ethernet frame),
	// which has at least an Ethernet header. buf may be overwritten, to its full
	// capacity, only when the answer is Answered.
	Respond(buf []byte) Response
}
