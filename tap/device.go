package tap

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// BufferLen is the size in bytes of a buffer that holds any frame that one read of a
// device can deliver: the virtio-net header, an Ethernet header with two VLAN tags, and
// the largest super-frame the kernel builds for a TAP (GSO_LEGACY_MAX_SIZE of
// include/linux/netdevice.h).
const BufferLen = frame.VNetHeaderLen + frame.EthernetHeaderLen + 2*frame.VLANTagLen + 65536

// Device is an open TAP. One read(2) or write(2) of its descriptor, which does not
// block, carries one frame, behind a virtio-net header unless it was opened without; a frame that does not fit in the
// buffer of a read is cut off, so give it [BufferLen] bytes. A write runs the network
// stack of the device's namespace on the writer's thread. Close may not run beside any
// other method.
type Device struct {
	fd       int
	name     string
	header   int
	offloads Offloads
	persist  bool // the link outlives the descriptor
}

// ReadStatus returns what a failed read(2) of the descriptor means (tun_do_read and
// tun_put_user, drivers/net/tun.c): [frame.Again] when nothing waits or memory is
// short; [frame.Rejected] after EINTR, EINVAL and EFAULT: the kernel could not describe a
// frame by a virtio-net header, or not by one as short as the device's, and has thrown it
// away, and the next can be read; [frame.Gone] when the device was deleted, with its
// namespace or alone. That a queue is shut down, another EFAULT, only a read that blocks
// is told.
func (d *Device) ReadStatus(errno syscall.Errno) frame.Status {
	switch errno {
	case unix.EAGAIN, unix.ENOMEM, unix.ENOBUFS:
		return frame.Again
	case unix.EINTR, unix.EINVAL, unix.EFAULT:
		return frame.Rejected
	}
	return frame.Gone // EBADFD: the link is deleted
}

// WriteStatus returns what a failed write(2) of a frame to the descriptor means
// (tun_get_user, drivers/net/tun.c): [frame.Again] when the kernel lacks memory;
// [frame.Down] when the interface is not up; [frame.Gone] when the device was
// deleted; else [frame.Rejected]: the frame is shorter than an Ethernet header, or
// its virtio-net header does not fit it (EINVAL, EMSGSIZE, EFAULT).
func (d *Device) WriteStatus(errno syscall.Errno) frame.Status {
	switch errno {
	case unix.EAGAIN, unix.ENOMEM, unix.ENOBUFS:
		return frame.Again
	case unix.EIO:
		return frame.Down
	case unix.EBADFD, unix.EBADF, unix.ENODEV, unix.ENXIO:
		return frame.Gone
	}
	return frame.Rejected
}

// Fd is the descriptor, or -1 after Close. It stays the Device's own.
func (d *Device) Fd() int { return d.fd }

// HeaderLen returns the length in bytes of the virtio-net header that each read and write
// begins with: [frame.VNetHeaderLen] where the kernel has [Tunnels], else
// [frame.VNetShortHeaderLen]; 0 if it was opened without.
func (d *Device) HeaderLen() int { return d.header }

// Name is the name the device had when it was opened; the link may have been
// renamed since.
func (d *Device) Name() string { return d.name }

// LinkName asks the kernel for the name that the link has now. The error is
// [ErrDeleted] when there is no link any more.
func (d *Device) LinkName() (string, error) {
	ifr, err := linkOf(d.fd)
	if err != nil {
		return "", fmt.Errorf("ask for the name of tap device %q: %w", d.name, err)
	}
	return ifr.Name(), nil
}

// Offloads says what the kernel may leave undone in frames that a read delivers.
func (d *Device) Offloads() Offloads { return d.offloads }

// SetPersist says whether the link, with its addresses and routes, outlives the
// descriptor, so that a later [Attach] finds it.
func (d *Device) SetPersist(persist bool) error {
	if persist == d.persist {
		return nil
	}
	if err := setPersist(d.fd, persist); err != nil {
		return fmt.Errorf("make tap device %q persistent: %t: %w", d.name, persist, err)
	}
	d.persist = persist
	return nil
}

// Close closes the descriptor, and with it deletes a link that is not
// persistent; a child process that is being forked at that moment holds the link
// until its exec. The caller warrants that nothing uses the device any more: a read
// in another thread would reach whatever gets the descriptor's number next. A second
// Close does nothing.
func (d *Device) Close() error {
	if d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close tap device %q: %w", d.name, os.NewSyscallError("close", err))
	}
	return nil
}
