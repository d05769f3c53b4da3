package tap

import (
	"syscall"

	"golang.org/x/sys/unix"

	"vswitch/frame"
)

// batch carries frames several at a time: with an io_uring, one system call for
// all; without, one for each.
type batch struct {
	ring    *ring  // nil where there is none
	why     error  // why there is none
	sends   []send // queued by Send
	results []int32
	status  []frame.Status
}

// send is a frame on its way to a device.
type send struct {
	device *Device
	frame  []byte
}

func newBatch(frames int) batch {
	b := batch{sends: make([]send, 0, frames), results: make([]int32, frames), status: make([]frame.Status, frames)}
	if frames > 1 {
		b.ring, b.why = newRing(frames)
	}
	return b
}

// Singly is nil if several frames take one system call, or else says why each
// takes one of its own: what kept the kernel from giving an io_uring.
func (b *batch) Singly() error { return b.why }

// Receive reads frames from d, one into each of bufs, until none waits or bufs
// are full, and returns how many. Those of bufs are cut to the frames' lengths,
// virtio-net header included; their room is their capacity. The status is
// [frame.OK] when more may wait, else that of [Device.Receive]. It never blocks.
func (b *batch) Receive(d *Device, bufs [][]byte) (int, frame.Status) {
	if b.ring == nil || len(bufs) == 1 || len(bufs) > b.ring.room() {
		return receiveEach(d, bufs)
	}
	for i, buf := range bufs {
		bufs[i] = buf[:cap(buf)]
		b.ring.queue(opRead, d.fd, bufs[i])
	}
	results := b.results[:len(bufs)]
	b.submit(results)
	n, s := 0, frame.OK
	for i, r := range results {
		if r >= 0 {
			bufs[i], bufs[n] = bufs[n], bufs[i][:r]
			n++
			s = frame.OK // after Again: a frame came between two reads, and more may
			continue
		}
		switch e := ringErrno(r); e {
		case unix.ECANCELED, unix.EOPNOTSUPP:
			b.giveUp(e)
			more, s := receiveEach(d, bufs[n:])
			return n + more, s
		default:
			if e := d.ReadStatus(e); e != frame.Rejected {
				s = e
			}
		}
	}
	return n, s
}

// receiveEach is Receive by single reads.
func receiveEach(d *Device, bufs [][]byte) (int, frame.Status) {
	for i, buf := range bufs {
		n, s := d.Receive(buf[:cap(buf)])
		if s != frame.OK {
			return i, s
		}
		bufs[i] = buf[:n]
	}
	return len(bufs), frame.OK
}

// Send queues the frame in buf, virtio-net header first, for d. buf must stay as
// it is until Flush. No more than the Poller's number of frames may be queued.
func (b *batch) Send(d *Device, buf []byte) { b.sends = append(b.sends, send{d, buf}) }

// Flush transmits what Send has queued, in that order, and returns what became of
// each as [Device.Transmit] does. The result is valid until the next Flush.
func (b *batch) Flush() []frame.Status {
	sends, status := b.sends, b.status[:len(b.sends)]
	b.sends = b.sends[:0]
	if b.ring == nil || len(sends) == 1 || len(sends) > b.ring.room() {
		for i, s := range sends {
			status[i] = s.device.Transmit(s.frame)
		}
		return status
	}
	for _, s := range sends {
		b.ring.queue(opWrite, s.device.fd, s.frame)
	}
	results := b.results[:len(sends)]
	b.submit(results)
	for i, r := range results {
		status[i] = frame.OK
		if r >= 0 {
			continue
		}
		switch e := ringErrno(r); e {
		case unix.EOPNOTSUPP, unix.ECANCELED, unix.EINTR:
			status[i] = sends[i].device.Transmit(sends[i].frame)
		default:
			status[i] = sends[i].device.WriteStatus(e)
		}
	}
	return status
}

// submit carries out what is queued at the ring. When the kernel refuses, frames
// go one by one from then on.
func (b *batch) submit(results []int32) {
	if err := b.ring.submit(results); err != nil {
		b.giveUp(err)
	}
}

// giveUp ends the use of the ring.
func (b *batch) giveUp(why error) {
	if b.ring == nil {
		return
	}
	_ = b.ring.close() // nothing is under way in it
	b.ring, b.why = nil, why
}

// ringErrno is the error in a request's result; ECANCELED for one that the kernel did not take.
func ringErrno(result int32) syscall.Errno {
	if result == notDone {
		return unix.ECANCELED
	}
	return syscall.Errno(-result)
}

func (b *batch) closeRing() error {
	if b.ring == nil {
		return nil
	}
	r := b.ring
	b.ring = nil
	return r.close()
}
