package control

import (
	"errors"
	"io/fs"
	"syscall"

	"vswitch/api"
	"vswitch/internal/ipam"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// ipamError gives an error of the addresses its kind.
func ipamError(err error) error {
	switch {
	case errors.Is(err, ipam.ErrInvalid), errors.Is(err, ipam.ErrOutside):
		return api.Invalidf("%w", err)
	case errors.Is(err, ipam.ErrOverlap), errors.Is(err, ipam.ErrInUse):
		return api.Conflictf("%w", err)
	case errors.Is(err, ipam.ErrExhausted), errors.Is(err, ipam.ErrFull):
		return api.Exhaustedf("%w", err)
	}
	return err
}

// switchError gives an error of the switch its kind.
func switchError(err error) error {
	switch {
	case errors.Is(err, vswitch.ErrTooMany):
		return api.Exhaustedf("%w", err)
	case errors.Is(err, vswitch.ErrClosed):
		return api.Unavailablef("vswitchd is stopping: try again once it has started")
	}
	return err
}

// kernelError gives an error of the namespaces and devices its kind.
func kernelError(err error) error {
	switch {
	case errors.Is(err, netns.ErrNoNamespace):
		return api.NotFoundf("%w", err)
	case errors.Is(err, netns.ErrNotNamespace), errors.Is(err, netns.ErrOutOfSight):
		return api.Invalidf("%w", err)
	case errors.Is(err, netns.ErrLinkExists):
		return api.Conflictf("%w", err)
	case errors.Is(err, fs.ErrPermission):
		return api.Deniedf("%w", err)
	}
	return err
}

// deviceError gives an error of making a TAP device its kind.
func deviceError(err error) error {
	for _, missing := range []error{fs.ErrNotExist, syscall.ENODEV, syscall.ENXIO} {
		if errors.Is(err, missing) { // the clone device, or the driver behind it
			return api.Unsupportedf("%w", err)
		}
	}
	if errors.Is(err, fs.ErrExist) { // an interface of its name
		return api.Conflictf("%w", err)
	}
	return kernelError(err)
}
