package reactor

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"vswitch/internal/frame"
)

// Endpoint is anything with a non-blocking descriptor on which one read(2) or
// write(2) carries one frame buffer, with the virtio-net header or without it. The descriptor must stay open, and the same,
// from [Reactor.Add] to [Reactor.Remove].
type Endpoint interface {
	// Fd returns the descriptor, below 0 if it is closed.
	Fd() int
	// HeaderLen returns how many bytes of virtio-net header each read and write of the
	// descriptor begins with: [frame.VNetHeaderLen], [frame.VNetShortHeaderLen], or 0 if it
	// carries frames alone.
	HeaderLen() int
	// ReadStatus returns what a failed read means for the endpoint: Again if
	// nothing waits, Gone if no frame will ever come again, Rejected if this
	// frame is lost and the next can be read. A read of 0 bytes counts as failed,
	// with errno 0. It is not asked about EINTR.
	ReadStatus(errno syscall.Errno) frame.Status
	// WriteStatus returns what a failed write means for the frame and the
	// endpoint. It is not asked about EINTR.
	WriteStatus(errno syscall.Errno) frame.Status
}

// Options configure a Reactor.
type Options struct {
	// Batch is the highest number of frames that one system call carries, at
	// least 1. With 1 the Reactor does not ask for an io_uring.
	Batch int
	// Engine is what to do the I/O by, or the next best that the kernel permits.
	Engine Engine
	// Probe is a file of the endpoints' kind that never has a frame. Where it is given,
	// the kernel's io_uring is tried by reads of it. The Reactor closes it.
	Probe *os.File
	// OnFallback is called when the engine turns out not to be what was wanted: by New
	// and by Buffers, or by the Receive or Flush that finds out. It may be nil.
	OnFallback func(State)

	setup setupFunc // io_uring_setup(2); nil: the kernel's
}

// Reactor does the I/O of one worker. The operating system's thread that calls New calls
// all methods, Close too, since the kernel carries requests of a ring for one thread only;
// [Reactor.Wake] and [Reactor.State] may be called from any goroutine.
type Reactor struct {
	poll    poll
	entries []entry // by slot
	batch   int     // most frames of one system call

	ring       *ring  // nil where there is none
	wanted     Engine // the best engine to use
	state      atomic.Pointer[State]
	call       time.Duration // the price of a system call
	probe      *os.File
	onFallback func(State)
	region     region

	sends   []send // queued by Send; keeps their buffers alive until Flush has returned
	reading [][]byte
	results []int32 // of a batch's requests
	status  []frame.Status
}

// send is a frame on its way to an endpoint.
type send struct {
	slot uint32
	buf  []byte
}

// New makes a Reactor without endpoints. It opens two descriptors, and a third
// where the kernel gives an io_uring; that it gives none is no error. The calling
// goroutine must be locked to its thread.
func New(o Options) (*Reactor, error) {
	if o.Batch < 1 {
		return nil, fmt.Errorf("make a reactor with batches of %d frames: want 1 or more", o.Batch)
	}
	r := &Reactor{
		batch: o.Batch, probe: o.Probe, onFallback: o.OnFallback, call: callPrice(),
		sends:   make([]send, 0, o.Batch),
		results: make([]int32, max(o.Batch, 2)), status: make([]frame.Status, o.Batch),
	}
	if err := r.poll.open(); err != nil {
		_ = r.endProbe()
		return nil, fmt.Errorf("make a reactor: %w", err)
	}
	var why error
	if r.wanted, why = choose(o.Engine, r.call); o.Batch == 1 {
		r.wanted, why = Plain, errBatchOfOne
	}
	if r.wanted == Plain {
		r.setState(Plain, why)
		return r, nil
	}
	ring, err := newRing(o.Batch, o.setup)
	if err == nil {
		r.ring = ring
		if err = r.tryRing(make([]byte, tryBytes)); err != nil {
			err = fmt.Errorf("read by an io_uring without waiting: %w", err)
		}
	}
	if err != nil {
		r.fallBack(err)
		return r, nil
	}
	if r.wanted == RingFixed {
		why = errNoBuffers
	}
	r.setState(Ring, why)
	return r, nil
}

// Close frees the Reactor's own descriptors and its buffers, and forgets all slots; endpoints
// stay open. No other method may run during Close or follow it, except a second Close,
// which does nothing.
func (r *Reactor) Close() error {
	err := r.poll.close()
	if r.ring != nil {
		err = errors.Join(err, r.ring.close())
		r.ring = nil
	}
	err = errors.Join(err, r.region.close(), r.endProbe())
	r.entries, r.sends = nil, nil
	if err != nil {
		return fmt.Errorf("close a reactor: %w", err)
	}
	return nil
}
