package tap

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// plainFlags make what is read and written be the frame, and nothing before it.
const plainFlags = unix.IFF_TAP | unix.IFF_NO_PI

// Options say how a device is opened.
type Options struct {
	// Persist keeps the link when its descriptor is closed, also by the end of
	// the process.
	Persist bool
	// NoHeader opens the device without virtio-net header and offloads: the kernel
	// hands over, and takes, frames that are complete.
	NoHeader bool
}

// flags are those of TUNSETIFF.
func (o Options) flags() uint16 {
	if o.NoHeader {
		return plainFlags
	}
	return plainFlags | unix.IFF_VNET_HDR
}

// Create makes a TAP of this name in the calling thread's network namespace,
// down, and opens it. When that fails nothing is left behind. The error wraps
// [io/fs.ErrExist] when a link of that name is there already and
// [io/fs.ErrPermission] when the caller lacks CAP_NET_ADMIN.
func Create(name string, opts Options) (*Device, error) {
	d, err := create(name, opts, attach)
	if err != nil {
		return nil, fmt.Errorf("create tap device %q: %w", name, err)
	}
	return d, nil
}

// create is Create, with the step that may fail after the link was made as an
// argument.
func create(name string, opts Options, attach func(int, string, Options) (*Device, error)) (*Device, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	fd, err := openClone()
	if err != nil {
		return nil, err
	}
	if err := makeLink(name); err != nil {
		unix.Close(fd)
		return nil, err
	}
	d, err := attach(fd, name, opts)
	if err != nil {
		if undo := unmakeLink(fd, name); undo != nil {
			err = fmt.Errorf("%w; and %w", err, undo)
		}
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

// Attach opens the TAP of this name in the calling thread's network namespace,
// which must exist, be persistent, and be held by no descriptor. A failed Attach
// leaves it as it was. The error wraps [io/fs.ErrNotExist] when there is no such
// link, instead of making one as TUNSETIFF would.
func Attach(name string, opts Options) (*Device, error) {
	d, err := attachExisting(name, opts)
	if err != nil {
		return nil, fmt.Errorf("attach to tap device %q: %w", name, err)
	}
	return d, nil
}

func attachExisting(name string, opts Options) (*Device, error) {
	if err := checkGiven(name); err != nil {
		return nil, err
	}
	switch there, err := linkExists(name); {
	case err != nil:
		return nil, err
	case !there:
		return nil, missing()
	}
	fd, err := openClone()
	if err != nil {
		return nil, err
	}
	d, err := attach(fd, name, opts)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

func missing() error {
	return fmt.Errorf("%w: no link of that name is in this network namespace", unix.ENOENT)
}

// attach binds fd to the existing, persistent link and takes its persistence
// away as the last step, unless opts keep it. fd stays the caller's on failure.
func attach(fd int, name string, opts Options) (*Device, error) {
	if err := setInterface(fd, name, opts.flags()); err != nil {
		return nil, err
	}
	if err := checkPersistent(fd, name); err != nil {
		return nil, err
	}
	header, offloads, err := setHeader(fd, !opts.NoHeader)
	if err != nil {
		return nil, err
	}
	d := &Device{fd: fd, name: name, header: header, offloads: offloads, persist: true}
	if err := d.SetPersist(opts.Persist); err != nil {
		return nil, err
	}
	return d, nil
}

// checkPersistent finds out whether the link was there before TUNSETIFF: a TAP
// without a descriptor exists only as long as it is persistent, and one that
// TUNSETIFF has just made is not. Closing fd deletes the latter.
func checkPersistent(fd int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
		return fmt.Errorf("read its flags: %w", err)
	}
	if ifr.Uint16()&unix.IFF_PERSIST == 0 {
		return missing()
	}
	return nil
}

// makeLink lets water make a persistent TAP, the one thing that water is used for: it is the
// given library for TAPs, and cannot open one with a virtio-net header. water loses a descriptor when the
// kernel refuses, so the refusals that can be foreseen are found out before.
func makeLink(name string) error {
	switch there, err := linkExists(name); {
	case err != nil:
		return err
	case there:
		return fmt.Errorf("%w: a link of that name is in this network namespace; choose another name", unix.EEXIST)
	}
	if err := checkCapability(); err != nil {
		return err
	}
	// water opens without O_CLOEXEC: a child forked now would keep the device busy.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	w, err := water.New(water.Config{
		DeviceType:             water.TAP,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name, Persist: true},
	})
	if err != nil {
		return explain(err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("close it after its creation: %w", err)
	}
	return nil
}

// unmakeLink deletes, with the closing of fd that must follow, the persistent
// link that fd is or is not yet attached to.
func unmakeLink(fd int, name string) error {
	err := setPersist(fd, false)
	if errors.Is(err, unix.EBADFD) { // not attached
		if err = setInterface(fd, name, plainFlags); err == nil {
			err = setPersist(fd, false)
		}
	}
	if err != nil {
		return fmt.Errorf("delete it again: %w", err)
	}
	return nil
}
