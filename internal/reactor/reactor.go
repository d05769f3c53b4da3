package reactor

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"vswitch/internal/frame"
)

// Endpoint is anything with a non-blocking descriptor on which one read(2) or
// write(2) carries one frame buffer, with the virtio-net header or without it. The descriptor must stay open, and the same,
// from [Reactor.Add] to [Reactor.Remove].
type Endpoint interface {
	// Fd returns the descriptor, below 0 if it is closed.
	Fd() int
	// HeaderLen returns how many bytes of virtio-net header each read and write of the
	// descriptor begins with: [frame.VNetHeaderLen], or 0 if it carries frames alone.
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
	// OnFallback is called at most once, with the reason, when the kernel turns
	// out not to do io_uring: by New, or by the Receive or Flush that finds out.
	// From then on each frame takes a system call of its own. It may be nil.
	OnFallback func(why error)
}

// Reactor does the I/O of one worker. One thread at a time calls its methods;
// [Reactor.Wake] and [Reactor.Batched] may be called from any goroutine.
type Reactor struct {
	poll    poll
	entries []entry // by slot
	batch   int     // most frames of one system call

	ring       *ring                 // nil where there is none
	single     atomic.Pointer[error] // why there is none; nil if there is one
	onFallback func(error)

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

// errBatchOfOne is why a Reactor with Batch 1 has no ring.
var errBatchOfOne = errors.New("the batch size is 1")

// New makes a Reactor without endpoints. It opens two descriptors, and a third
// where the kernel gives an io_uring; that it gives none is no error.
func New(o Options) (*Reactor, error) {
	if o.Batch < 1 {
		return nil, fmt.Errorf("make a reactor with batches of %d frames: want 1 or more", o.Batch)
	}
	r := &Reactor{
		batch: o.Batch, onFallback: o.OnFallback, sends: make([]send, 0, o.Batch),
		results: make([]int32, o.Batch), status: make([]frame.Status, o.Batch),
	}
	if err := r.poll.open(); err != nil {
		return nil, fmt.Errorf("make a reactor: %w", err)
	}
	if o.Batch == 1 {
		r.single.Store(&errBatchOfOne)
		return r, nil
	}
	ring, err := newRing(o.Batch)
	if err != nil {
		r.fallBack(err)
		return r, nil
	}
	r.ring = ring
	return r, nil
}

// Batched returns nil if several frames take one system call, or else why each
// takes one of its own: the Batch is 1, or the kernel does not do io_uring. Any
// goroutine may call it.
func (r *Reactor) Batched() error {
	if why := r.single.Load(); why != nil {
		return *why
	}
	return nil
}

// fallBack ends the use of the ring for good.
func (r *Reactor) fallBack(why error) {
	if r.ring != nil {
		_ = r.ring.close() // every request in it has completed
		r.ring = nil
	}
	r.single.Store(&why)
	if r.onFallback != nil {
		r.onFallback(why)
	}
}

// Close frees the Reactor's own descriptors and forgets all slots; endpoints stay
// open. No other method may run during Close or follow it, except a second Close,
// which does nothing.
func (r *Reactor) Close() error {
	err := r.poll.close()
	if r.ring != nil {
		err = errors.Join(err, r.ring.close())
		r.ring = nil
	}
	r.entries, r.sends = nil, nil
	if err != nil {
		return fmt.Errorf("close a reactor: %w", err)
	}
	return nil
}
