package tap

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Adopt takes over a descriptor that another process, or this one before an exec,
// has got from [Create] or [Attach], and that may have been handed on since. fd
// becomes the Device's own, also when Adopt fails and closes it. Whether it has a
// virtio-net header cannot change any more: [Device.HeaderLen] says so. The error wraps
// [ErrDeleted] when the link is no more.
func Adopt(fd int) (*Device, error) {
	d, err := adopt(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("take over tap descriptor %d: %w", fd, err)
	}
	return d, nil
}

func adopt(fd int) (*Device, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	ifr, err := linkOf(fd)
	if err != nil {
		return nil, err
	}
	flags := ifr.Uint16()
	if flags&plainFlags != plainFlags {
		return nil, fmt.Errorf("flags %#x: want a tap device without packet information", flags)
	}
	header, offloads, err := setHeader(fd, flags&unix.IFF_VNET_HDR != 0)
	if err != nil {
		return nil, err
	}
	persist := flags&unix.IFF_PERSIST != 0
	return &Device{
		fd: fd, name: ifr.Name(), header: header, offloads: offloads, persist: persist,
	}, nil
}

// linkOf is the name and the flags of the link that fd is attached to.
func linkOf(fd int) (*unix.Ifreq, error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); errors.Is(err, unix.EBADFD) {
		return nil, ErrDeleted
	} else if err != nil {
		return nil, fmt.Errorf("read its flags: %w", err)
	}
	return ifr, nil
}
