package reactor

import (
	"errors"
	"fmt"

	"vswitch/internal/frame"
)

// maxSlots bounds the slots: a forwarding table has 16 bits for them.
const maxSlots = 1 << 16

// noSlot is the slot of a queued frame whose endpoint was removed.
const noSlot = ^uint32(0)

// entry is what the Reactor knows about the endpoint in a slot.
type entry struct {
	endpoint Endpoint // nil if the slot is free
	fd       int32
	skip     int // bytes of a frame buffer before what the descriptor carries
	watched  bool
	ending   int // reports in a row that it has ended or failed, see [Reactor.Wait]
}

// mostEnding bounds those reports of an endpoint that can still be read. A TAP's descriptor says
// so for some milliseconds, in which nothing waits, before a read says that it has ended.
const mostEnding = 10_000

// lookup returns the entry of slot, or nil if no endpoint is in it.
func (r *Reactor) lookup(slot uint32) *entry {
	if int(slot) >= len(r.entries) || r.entries[slot].endpoint == nil {
		return nil
	}
	return &r.entries[slot]
}

// Add makes endpoint, which must be an [Endpoint], known as slot, below 65,536. If
// watch is true, [Reactor.Wait] reports slot when the endpoint becomes readable,
// and the next Wait does so if something waits already. An error changes nothing:
// endpoint is no Endpoint or is closed or has a header of another length, slot is too
// high or taken, or epoll_ctl(2) refuses the descriptor.
//
// Where the kernel allows it the descriptor is registered with the io_uring, which
// keeps the file open: call [Reactor.Remove] before closing the descriptor.
func (r *Reactor) Add(slot uint32, endpoint any, watch bool) error {
	e, ok := endpoint.(Endpoint)
	switch {
	case !ok:
		return fmt.Errorf("add to slot %d: a %T is no reactor.Endpoint", slot, endpoint)
	case slot >= maxSlots:
		return fmt.Errorf("add to slot %d: want a slot below %d", slot, maxSlots)
	case r.lookup(slot) != nil:
		return fmt.Errorf("add to slot %d: an endpoint is in it", slot)
	case e.Fd() < 0:
		return fmt.Errorf("add to slot %d: the endpoint is closed", slot)
	case !knowsHeader(e.HeaderLen()):
		return fmt.Errorf("add to slot %d: a virtio-net header of %d bytes: want 0, %d or %d",
			slot, e.HeaderLen(), frame.VNetShortHeaderLen, frame.VNetHeaderLen)
	}
	fd := int32(e.Fd())
	if watch {
		if err := r.poll.add(fd, slot); err != nil {
			return fmt.Errorf("add to slot %d: %w", slot, err)
		}
	}
	if n := int(slot) + 1; n > len(r.entries) {
		r.entries = append(r.entries, make([]entry, n-len(r.entries))...)
	}
	r.entries[slot] = entry{
		endpoint: e, fd: fd, skip: frame.VNetHeaderLen - e.HeaderLen(), watched: watch,
	}
	if r.ring != nil {
		full := r.ring.files.full
		if r.ring.setFile(slot, fd); r.ring.files.full != full {
			r.setState(r.State().Engine, r.State().Why)
		}
	}
	return nil
}

// knowsHeader returns true for the lengths of virtio-net headers that an endpoint may have.
func knowsHeader(n int) bool {
	return n == 0 || n == frame.VNetShortHeaderLen || n == frame.VNetHeaderLen
}

// pack returns what the descriptor is to be given of a frame buffer. A short header is put in
// front of the frame for that, where a buffer's long header has what a tunnel only needs.
func (e *entry) pack(b []byte) []byte {
	if e.skip != 0 {
		copy(b[e.skip:frame.VNetHeaderLen], b)
	}
	return b[e.skip:]
}

// unpack makes a frame buffer's header of what the descriptor has delivered behind e.skip bytes.
func (e *entry) unpack(b []byte) {
	if e.skip != 0 {
		header := copy(b[:frame.VNetHeaderLen], b[e.skip:frame.VNetHeaderLen])
		clear(b[header:frame.VNetHeaderLen])
	}
}

// Unwatch makes [Reactor.Wait] no longer report slot; Receive and Send still work.
// It fails if slot is not watched.
func (r *Reactor) Unwatch(slot uint32) error {
	e := r.lookup(slot)
	if e == nil || !e.watched {
		return fmt.Errorf("unwatch slot %d: %w", slot, errNotWatched)
	}
	e.watched = false
	if err := r.poll.remove(e.fd); err != nil {
		return fmt.Errorf("unwatch slot %d: %w", slot, err)
	}
	return nil
}

// What Unwatch and Remove say of a slot that they do not find.
var (
	errNotWatched = errors.New("it is not watched")
	errFree       = errors.New("no endpoint is in it")
)

// Remove forgets slot. When it has returned, also with an error, the Reactor holds
// nothing of the endpoint: closing its descriptor then closes the file. Frames that
// are queued for slot are not sent; Flush says [frame.Gone] of them. It fails if
// slot is free, and if the descriptor was closed before.
func (r *Reactor) Remove(slot uint32) error {
	e := r.lookup(slot)
	if e == nil {
		return fmt.Errorf("remove slot %d: %w", slot, errFree)
	}
	var err error
	if e.watched {
		err = r.poll.remove(e.fd)
	}
	if r.ring != nil {
		r.ring.clearFile(slot)
	}
	// The next endpoint in this slot must not get them.
	for i := range r.sends {
		if r.sends[i].slot == slot {
			r.sends[i].slot = noSlot
		}
	}
	*e = entry{}
	if err != nil {
		return fmt.Errorf("remove slot %d: %w", slot, err)
	}
	return nil
}
