// Package reactor owns the I/O of one worker: it reports which endpoints have
// become readable (epoll), and reads and writes frame buffers several at a time
// (io_uring, or one system call for each frame where the kernel has no io_uring).
//
// An [Endpoint] is anything with a non-blocking descriptor on which one read(2) or
// write(2) carries one frame buffer: a TAP, a datagram or sequenced-packet socket.
// The caller numbers its endpoints; the number is called a slot.
//
// Frame buffers flow in and out and belong to the caller, which lends them for
// the time of a call, or from Send to Flush. A buffer begins with a virtio-net
// header of [frame.VNetHeaderLen] bytes, also for endpoints that carry a shorter one or
// none: the package then passes what they carry, and makes the header of what it has
// read. It never reads or changes what else is in a buffer, never opens or closes the
// descriptor of an endpoint, and starts no goroutine.
package reactor
