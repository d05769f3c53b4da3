package reactor

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// region is the memory of the frame buffers. It is outside Go's heap, and stays mapped until the
// Reactor is closed, whatever the engine.
type region struct{ memory []byte }

// stagger keeps buffers whose sizes are near a multiple of a page's from beginning at the same
// place of their pages, and so in the same few lines of a processor's first cache: an odd number of
// lines of 64 bytes.
const stagger = 5 * 64

// Buffers returns n frame buffers of size bytes each, and has the kernel map them for the ring
// where the engine is to be [RingFixed]. Receive and Send are quickest with these, from any of
// their bytes on; they take all others too. They are the Reactor's, and end with Close. Call it
// once at most, before frames are carried.
//
// That the kernel refuses is no error, but a fallback to [Ring]: RLIMIT_MEMLOCK bounds what a user
// without CAP_IPC_LOCK may have mapped so.
func (r *Reactor) Buffers(n, size int) [][]byte {
	stride := (size+4095)/4096*4096 + stagger
	memory, err := unix.Mmap(-1, 0, n*stride, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		memory = make([]byte, n*stride)
	} else {
		r.region.memory = memory
	}
	bufs := make([][]byte, n)
	for i := range bufs {
		at := i * stride
		bufs[i] = memory[at : at+size : at+size]
	}
	defer func() { _ = r.endProbe() }() // it was read only
	if r.ring == nil || r.wanted != RingFixed {
		return bufs
	}
	if err == nil {
		err = r.registerBuffers()
	}
	if err != nil {
		r.degrade(Ring, err)
	} else {
		r.setState(RingFixed, nil)
	}
	return bufs
}

// registerBuffers registers the region with the ring, and tries it.
func (r *Reactor) registerBuffers() error {
	if err := r.ring.setBuffers(r.region.memory); err != nil {
		return err
	}
	if err := r.tryRing(r.region.memory[:tryBytes]); err != nil {
		r.ring.dropBuffers()
		return fmt.Errorf("read into a registered buffer: %w", err)
	}
	return nil
}

// close unmaps the region.
func (g *region) close() error {
	if g.memory == nil {
		return nil
	}
	err := unix.Munmap(g.memory)
	g.memory = nil
	return err
}

// tryBytes is the size of the read that tries a ring.
const tryBytes = 2048

// tryRing has the ring read from Options.Probe into b, twice since a queue of two is the least that
// uses it. Any result will do that is there at once, but those by which a kernel says that it cannot.
func (r *Reactor) tryRing(b []byte) error {
	if r.probe == nil {
		return nil
	}
	fd := int32(r.probe.Fd())
	for i := range 2 {
		r.ring.queue(opRead, file{fd: fd}, b, i)
	}
	results := r.results[:2]
	r.reading = [][]byte{b}
	errno := r.ring.submit(results)
	r.reading = nil
	if errno != 0 {
		return errno
	}
	for _, result := range results {
		switch errno := syscall.Errno(-result); {
		case result == notTaken:
			return errParked
		case result < 0 && (errno == unix.EOPNOTSUPP || errno == unix.EINVAL || errno == unix.EFAULT):
			return errno
		}
	}
	return nil
}

// endProbe closes what a ring is tried with.
func (r *Reactor) endProbe() error {
	if r.probe == nil {
		return nil
	}
	err := r.probe.Close()
	r.probe = nil
	return err
}

// setBuffers makes b the ring's registered memory.
func (r *ring) setBuffers(b []byte) error {
	vector := unix.Iovec{Base: unsafe.SliceData(b)}
	vector.SetLen(len(b))
	if errno := r.register(r.fd, opRegisterBuffers, unsafe.Pointer(&vector), 1); errno != 0 {
		return fmt.Errorf("register %d bytes of frame buffers with an io_uring%s: %w",
			len(b), hintOf(errno), errno)
	}
	r.fixedAt, r.fixedSize = uintptr(unsafe.Pointer(vector.Base)), uintptr(len(b))
	return nil
}

// hintOf says what an errno of registering buffers asks for.
func hintOf(errno syscall.Errno) string {
	if errno == unix.ENOMEM {
		return " (RLIMIT_MEMLOCK is too small)"
	}
	return ""
}

// dropBuffers takes the registered memory away, if there is any.
func (r *ring) dropBuffers() {
	if r.fixedSize != 0 {
		_ = r.register(r.fd, opUnregisterBuffers, nil, 0) // fails only without any
		r.fixedSize = 0
	}
}
