package reactor

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// Receive reads frames from the endpoint in slot, one into each of bufs, until
// none waits, bufs are full or Options.Batch reads are done, and returns how many
// frames it has read. Those of bufs, the first ones, are cut to the frames'
// lengths, in the order of arrival; the room of a buffer is its capacity. What the
// endpoint's header does not have is zero. Receive may change the order of bufs.
// It never blocks and does not allocate.
//
// The status is [frame.OK] when more may wait, also when no frame was read because
// each read failed with [frame.Rejected]; else it is [frame.Again], or what the
// endpoint's ReadStatus has made of the read that failed. It is [frame.Gone] for a
// slot that is not known, and for an endpoint that has said many times in a row that it has ended,
// and never when it is read: its reader would be called without an end.
//
// The buffers must be memory that does not move: memory of Go's heap, which it is
// if Go has allocated it, since Receive makes bufs escape; or memory outside Go.
// The Reactor keeps them alive while the kernel writes to them.
func (r *Reactor) Receive(slot uint32, bufs [][]byte) (int, frame.Status) {
	e := r.lookup(slot)
	if e == nil {
		return 0, frame.Gone
	}
	n, status := r.receive(slot, e, bufs[:min(len(bufs), r.batch)])
	if e.skip > 0 {
		for _, b := range bufs[:n] {
			e.unpack(b)
		}
	}
	if status == frame.Again && e.ending > mostEnding {
		status = frame.Gone
	}
	return n, status
}

func (r *Reactor) receive(slot uint32, e *entry, bufs [][]byte) (int, frame.Status) {
	if r.ring == nil || len(bufs) < 2 {
		return e.receiveEach(bufs)
	}
	// The ring is told addresses as integers. The field keeps what is there alive,
	// and as the heap cannot point to a stack, the compiler allocates bufs and
	// what they point to on the heap.
	r.reading = bufs
	n, status := r.receiveBatch(slot, e, bufs)
	r.reading = nil
	return n, status
}

// receiveEach is Receive by single calls.
func (e *entry) receiveEach(bufs [][]byte) (int, frame.Status) {
	n := 0
	for range bufs {
		got, errno := read(e.fd, bufs[n][e.skip:cap(bufs[n])])
		if got > 0 {
			bufs[n] = bufs[n][:e.skip+got]
			n++
		} else if s := e.endpoint.ReadStatus(errno); s != frame.Rejected {
			return n, s
		}
	}
	return n, frame.OK
}

// receiveBatch is Receive through the ring.
func (r *Reactor) receiveBatch(slot uint32, e *entry, bufs [][]byte) (int, frame.Status) {
	file := r.ring.fileOf(slot, e.fd)
	for i, buf := range bufs {
		r.ring.queue(opRead, file, buf[e.skip:cap(buf)], i)
	}
	results := r.results[:len(bufs)]
	errno := r.ring.submit(results)
	n, status, o := 0, frame.OK, outcome{errno: errno, done: len(results)}
	for i, result := range results {
		switch {
		case result > 0:
			if i != n {
				bufs[i], bufs[n] = bufs[n], bufs[i]
			}
			bufs[n] = bufs[n][:e.skip+int(result)]
			n++
			status = frame.OK // after Again: a frame came between two reads, and more may
		case o.undone(result):
		default:
			status = e.endpoint.ReadStatus(syscall.Errno(-result))
			if status == frame.Rejected {
				status = frame.OK
			}
		}
	}
	if r.conclude(o); o.left > 0 && status == frame.OK {
		more, s := e.receiveEach(bufs[n:])
		return n + more, s
	}
	return n, status
}

// outcome sums up what became of a batch in the ring.
type outcome struct {
	errno       syscall.Errno // why the kernel did not take all; 0 if it did
	done        int           // requests that were carried out, well or not: all, less the next
	left        int           // requests without effect, to be carried by single calls
	unsupported int           // of these, refused with EOPNOTSUPP
}

// undone counts the result of a request and returns true if the request had no
// effect and is to be carried by a single call.
func (o *outcome) undone(result int32) bool {
	switch {
	case result == notTaken, result == -int32(unix.EINTR), result == -int32(unix.ECANCELED):
	case result == -int32(unix.EOPNOTSUPP):
		o.unsupported++
	default:
		return false
	}
	o.done--
	o.left++
	return true
}

// conclude ends the use of the ring if a batch has shown that the kernel cannot
// carry batches. What the kernel lacks for a moment costs that batch alone.
func (r *Reactor) conclude(o outcome) {
	switch o.errno {
	case 0, unix.EAGAIN, unix.ENOMEM, unix.EBUSY:
	default:
		r.fallBack(fmt.Errorf("submit to an io_uring: %w", o.errno))
		return
	}
	if o.unsupported > 0 && o.done == 0 {
		r.fallBack(fmt.Errorf("io_uring without waiting: needs Linux 6.4: %w", unix.EOPNOTSUPP))
	}
}

// Send queues the frame in buf for the endpoint in slot; [Reactor.Flush] sends it.
// Up to Options.Batch frames may be queued without an allocation and leave with one
// system call. It does not block. Of a buffer for an endpoint without virtio-net header
// only the frame is sent. A short header must not be a tunnel's: it is put where the
// fields are that only a tunnel's uses.
//
// buf must stay as it is until Flush has returned. It must be memory that does not
// move: of Go's heap, which it is if Go has allocated it, since Send makes buf
// escape; or outside Go. The Reactor keeps it alive until then.
func (r *Reactor) Send(slot uint32, buf []byte) { r.sends = append(r.sends, send{slot, buf}) }

// Flush sends the queued frames in the order of their Sends, and returns what
// became of each: [frame.OK], [frame.Gone] if its slot is not known, or else what
// its endpoint's WriteStatus has made of the error. The result is valid until the
// next Flush. It never blocks and, for up to Options.Batch frames, does not allocate.
func (r *Reactor) Flush() []frame.Status {
	sends := r.sends
	r.sends = sends[:0]
	if len(sends) > len(r.status) {
		r.status = make([]frame.Status, len(sends))
	}
	status := r.status[:len(sends)]
	for start := 0; start < len(sends); start += r.batch {
		end := min(start+r.batch, len(sends))
		if r.ring == nil || end-start < 2 {
			r.sendEach(sends[start:end], status[start:end])
		} else {
			r.sendBatch(sends[start:end], status[start:end])
		}
	}
	return status
}

// sendEach sends frames by single calls.
func (r *Reactor) sendEach(sends []send, status []frame.Status) {
	for i := range sends {
		status[i] = r.sendOne(&sends[i])
	}
}

func (r *Reactor) sendOne(s *send) frame.Status {
	e := r.lookup(s.slot)
	if e == nil {
		return frame.Gone
	}
	if errno := write(e.fd, e.pack(s.buf)); errno != 0 {
		return e.endpoint.WriteStatus(errno)
	}
	return frame.OK
}

// sendBatch sends frames through the ring.
func (r *Reactor) sendBatch(sends []send, status []frame.Status) {
	for i := range sends {
		if e := r.lookup(sends[i].slot); e != nil {
			file := r.ring.fileOf(sends[i].slot, e.fd)
			r.ring.queue(opWrite, file, e.pack(sends[i].buf), i)
		}
	}
	results := r.results[:len(sends)]
	o := outcome{errno: r.ring.submit(results), done: len(results)}
	for i, result := range results {
		switch {
		case result >= 0:
			status[i] = frame.OK
		case o.undone(result):
			status[i] = r.sendOne(&sends[i]) // Gone, for a slot that was not queued
		default:
			status[i] = r.entries[sends[i].slot].endpoint.WriteStatus(syscall.Errno(-result))
		}
	}
	r.conclude(o)
}

// read reads one frame into buf; 0 bytes with an errno, or with 0 at the end of
// the file. The system call is raw: it does not block, and telling the scheduler
// about it costs more than some frames.
func read(fd int32, buf []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// write writes the frame in buf, by a raw system call as read.
func write(fd int32, buf []byte) syscall.Errno {
	for {
		_, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
		if errno != unix.EINTR {
			return errno
		}
	}
}
