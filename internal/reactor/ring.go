package reactor

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is an io_uring(7) that reads and writes several frames in one system call.
// Each request is carried out while it is submitted, in order, because it bears
// RWF_NOWAIT: none is ever left in the kernel between two calls.
type ring struct {
	fd       int
	handle   int    // what enter takes: fd, or its place among the thread's registered rings
	flags    uint32 // that it was set up with
	enter    func(ring int, requests, flags uint32) (taken uint32, errno syscall.Errno)
	register func(ring int, op uint32, argument unsafe.Pointer, n int) syscall.Errno

	rings []byte // the mapping of both rings' indices and of the completions
	sqes  []byte // the mapping of the requests

	sqHead, sqTail, cqHead, cqTail *uint32 // shared with the kernel
	sqMask, cqMask                 uint32
	requests                       []sqe
	completions                    []cqe
	queued                         uint32 // requests filled in and not submitted
	batch                          uint64 // user data of the batch's first request

	files files

	fixedAt, fixedSize uintptr // the registered memory; size 0: none
}

// sqe is struct io_uring_sqe (include/uapi/linux/io_uring.h), as far as reading
// and writing use it.
type sqe struct {
	opcode, flags uint8
	ioprio        uint16
	fd            int32
	offset        uint64
	addr          uint64
	length        uint32
	rwFlags       uint32
	userData      uint64
	_             [3]uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	result   int32 // bytes, or a negated errno
	_        uint32
}

// sqOffsets and cqOffsets are struct io_sqring_offsets and io_cqring_offsets.
type sqOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

type cqOffsets struct {
	head, tail, mask, entries, overflow, cqes, flags, _ uint32
	_                                                   uint64
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32
	_                                              [3]uint32
	sq                                             sqOffsets
	cq                                             cqOffsets
}

// Of include/uapi/linux/io_uring.h.
const (
	opReadFixed  = 4 // of the registered memory's first place, 0
	opWriteFixed = 5
	opRead       = 22
	opWrite      = 23

	fixedFile = 1 << 0 // IOSQE_FIXED_FILE: the request's fd is a place in the table of files

	featSingleMmap = 1 << 0
	featRWCurPos   = 1 << 3 // came with Linux 5.6, as opRead and opWrite did

	offsetRings    = 0
	offsetRequests = 0x10000000
)

// Of the same file, enum io_uring_register_op.
const (
	opRegisterBuffers   = 0
	opUnregisterBuffers = 1
	opRegisterRings     = 20 // Linux 5.18
	opUnregisterRings   = 21
)

// Flags of io_uring_setup(2).
const (
	setupCoopTaskrun  = 1 << 8  // Linux 5.19: no interrupts for what completes later, which nothing does
	setupSingleIssuer = 1 << 12 // Linux 6.0: one thread only
	setupDeferTaskrun = 1 << 13 // Linux 6.1: task work with enterGetEvents only
	setupNoSQArray    = 1 << 16 // Linux 6.6: requests are taken in their order, without an index

)

// Flags of io_uring_enter(2).
const (
	enterGetEvents      = 1 << 0
	enterRegisteredRing = 1 << 4
)

// setups are the flags to ask for, from the newest kernel's to the oldest's.
var setups = []uint32{
	setupSingleIssuer | setupDeferTaskrun | setupNoSQArray,
	setupSingleIssuer | setupDeferTaskrun,
	setupCoopTaskrun,
	0,
}

// Why there is no ring.
var (
	// errOldRing says that the kernel's io_uring cannot do what a ring needs.
	errOldRing = errors.New("io_uring without single mapping, read and write: needs Linux 5.6")
	// errParked says that the kernel has kept a request that was not to wait.
	errParked = errors.New("the request was not carried out at once")
)

// setupFunc is io_uring_setup(2).
type setupFunc func(entries uint32, p *ringParams) (fd int, errno syscall.Errno)

func setup(entries uint32, p *ringParams) (int, syscall.Errno) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_IO_URING_SETUP, uintptr(entries),
		uintptr(unsafe.Pointer(p)), 0)
	return int(fd), errno
}

// newRing makes a ring for up to entries requests at a time, of the calling thread. It fails where
// the kernel is old, or io_uring is forbidden (kernel.io_uring_disabled, seccomp). call is
// io_uring_setup(2), or nil for the kernel's.
func newRing(entries int, call setupFunc) (*ring, error) {
	if call == nil {
		call = setup
	}
	var p ringParams
	fd, errno := -1, unix.EINVAL
	for i := 0; i < len(setups) && errno == unix.EINVAL; i++ {
		p = ringParams{flags: setups[i]}
		fd, errno = call(uint32(entries), &p)
	}
	if errno != 0 {
		return nil, fmt.Errorf("set up an io_uring of %d entries: %w", entries, errno)
	}
	r := &ring{fd: fd, handle: fd, flags: p.flags, enter: enter, register: register}
	if p.features&featSingleMmap == 0 || p.features&featRWCurPos == 0 {
		r.close()
		return nil, errOldRing
	}
	if err := r.mapMemory(&p); err != nil {
		r.close()
		return nil, err
	}
	r.registerRing()
	return r, nil
}

// ringUpdate is struct io_uring_rsrc_update, of registered rings.
type ringUpdate struct {
	offset, _ uint32
	data      uint64
}

// registerRing registers the ring with its thread, if the kernel lets it: entering it then
// takes no reference to its file.
func (r *ring) registerRing() {
	update := ringUpdate{offset: math.MaxUint32, data: uint64(r.fd)}
	if r.register(r.fd, opRegisterRings, unsafe.Pointer(&update), 1) == 0 {
		r.handle, r.enter = int(update.offset), enterRegistered
	}
}

// dropRing undoes registerRing, without which the ring would live as long as its thread.
func (r *ring) dropRing() {
	if r.handle != r.fd {
		update := ringUpdate{offset: uint32(r.handle)}
		_ = r.register(r.fd, opUnregisterRings, unsafe.Pointer(&update), 1) // fails in another thread only
		r.handle = r.fd
	}
}

// features returns what the ring uses of its kernel, see [State].
func (r *ring) features() []string {
	var list []string
	for _, f := range []struct {
		used bool
		name string
	}{
		{r.flags&setupSingleIssuer != 0, "single-issuer"},
		{r.flags&setupDeferTaskrun != 0, "deferred-task-work"},
		{r.flags&setupCoopTaskrun != 0, "cooperative-task-work"},
		{r.flags&setupNoSQArray != 0, "no-index-array"},
		{r.handle != r.fd, "registered-ring"},
		{!r.files.full, "registered-files"},
		{r.fixedSize != 0, "registered-buffers"},
	} {
		if f.used {
			list = append(list, f.name)
		}
	}
	return list
}

// mapMemory maps what is shared with the kernel.
func (r *ring) mapMemory(p *ringParams) error {
	size := max(int(p.sq.array)+int(p.sqEntries)*4,
		int(p.cq.cqes)+int(p.cqEntries)*int(unsafe.Sizeof(cqe{})))
	var err error
	if r.rings, err = mapRing(r.fd, offsetRings, size); err != nil {
		return err
	}
	size = int(p.sqEntries) * int(unsafe.Sizeof(sqe{}))
	if r.sqes, err = mapRing(r.fd, offsetRequests, size); err != nil {
		return err
	}
	r.sqHead, r.sqTail = r.word(p.sq.head), r.word(p.sq.tail)
	r.cqHead, r.cqTail = r.word(p.cq.head), r.word(p.cq.tail)
	r.sqMask, r.cqMask = *r.word(p.sq.mask), *r.word(p.cq.mask)
	r.requests = unsafe.Slice((*sqe)(unsafe.Pointer(&r.sqes[0])), p.sqEntries)
	r.completions = unsafe.Slice((*cqe)(unsafe.Pointer(&r.rings[p.cq.cqes])), p.cqEntries)
	if p.flags&setupNoSQArray != 0 {
		return nil
	}
	// The kernel takes requests in the order of this array: that of the requests.
	order := unsafe.Slice(r.word(p.sq.array), p.sqEntries)
	for i := range order {
		order[i] = uint32(i)
	}
	return nil
}

func mapRing(fd int, offset int64, size int) ([]byte, error) {
	b, err := unix.Mmap(fd, offset, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of an io_uring: %w", size, err)
	}
	return b, nil
}

func (r *ring) word(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[offset])) }

// file is how a request names its file: by descriptor, or by place in the table of files.
type file struct {
	fd    int32
	flags uint8
}

// fileOf returns the name of the file in slot, whose descriptor is fd.
func (r *ring) fileOf(slot uint32, fd int32) file {
	if r.files.holds(slot) {
		return file{int32(slot), fixedFile}
	}
	return file{fd, 0}
}

// queue fills in the next request: opcode on all of b, whose result goes to place i
// of submit's results. b must stay until submit has returned, and there must be room.
func (r *ring) queue(opcode uint8, f file, b []byte, i int) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if at-r.fixedAt < r.fixedSize {
		opcode -= opRead - opReadFixed
	}
	// What is not set here is zero for ever: the place of the registered memory too.
	s := &r.requests[(*r.sqTail+r.queued)&r.sqMask]
	s.opcode, s.flags, s.fd, s.rwFlags = opcode, f.flags, f.fd, unix.RWF_NOWAIT
	s.addr, s.length, s.userData = uint64(at), uint32(len(b)), r.batch+uint64(i)
	r.queued++
}

// notTaken is the result of a request that the kernel did not take, or that was not
// queued.
const notTaken = math.MinInt32

// submit carries out what is queued and fills results, at the places that queue was
// given: bytes, or a negated errno. It returns 0 if the kernel took all requests.
// Else the ones that it did not take, the last ones, are out of the ring again and
// have notTaken, and the errno says why.
func (r *ring) submit(results []int32) syscall.Errno {
	for i := range results {
		results[i] = notTaken
	}
	queued := r.queued
	left := queued
	r.queued = 0
	atomic.StoreUint32(r.sqTail, *r.sqTail+left)
	var failed syscall.Errno
	for left > 0 && failed == 0 {
		taken, errno := r.enter(r.handle, left, 0)
		switch {
		case errno == 0 && taken > 0:
			left -= min(taken, left)
		case errno == 0:
			failed = unix.EAGAIN // it took none, and does not say why
		case errno != unix.EINTR:
			failed = errno
		}
	}
	if failed != 0 {
		// The kernel moves the head past each request that it takes, and reads the
		// tail while it is entered only.
		atomic.StoreUint32(r.sqTail, atomic.LoadUint32(r.sqHead))
	}
	if ended := r.reap(results); ended < queued-left {
		// A read or write that fails ends by task work (io_uring/rw.c, io_complete_rw), which
		// a ring with setupDeferTaskrun puts off until it is asked for. Until then the request
		// holds the file, and a device that is closed stays.
		_, _ = r.enter(r.handle, 0, enterGetEvents)
		r.reap(results)
	}
	r.batch += 1 << 32 // what ends too late for this batch is no result of the next
	return failed
}

// reap takes the completions out of the ring, and returns how many of this batch's there were.
func (r *ring) reap(results []int32) (ended uint32) {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		c := &r.completions[head&r.cqMask]
		if i := c.userData - r.batch; i < uint64(len(results)) {
			results[i] = c.result
			ended++
		}
	}
	atomic.StoreUint32(r.cqHead, head)
	return ended
}

// enter is io_uring_enter(2). The system call is raw: no request in it waits.
func enter(ring int, requests, flags uint32) (uint32, syscall.Errno) {
	taken, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(ring),
		uintptr(requests), 0, uintptr(flags), 0, 0)
	return uint32(taken), errno
}

// enterRegistered is enter by the ring's place among the thread's registered ones.
func enterRegistered(ring int, requests, flags uint32) (uint32, syscall.Errno) {
	taken, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(ring),
		uintptr(requests), 0, uintptr(flags|enterRegisteredRing), 0, 0)
	return uint32(taken), errno
}

// close frees the ring and what it holds of files and memory.
func (r *ring) close() error {
	if r.fd < 0 {
		return nil
	}
	// The end of a ring lets go of its files some time later (io_uring.c,
	// io_ring_exit_work); this does it at once, and with the memory too.
	r.dropFiles()
	r.dropBuffers()
	r.dropRing()
	var errs []error
	for _, b := range [][]byte{r.rings, r.sqes} {
		if b != nil {
			errs = append(errs, unix.Munmap(b))
		}
	}
	errs = append(errs, unix.Close(r.fd))
	r.fd, r.rings, r.sqes = -1, nil, nil
	return errors.Join(errs...)
}
