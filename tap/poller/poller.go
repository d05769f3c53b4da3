// Package poller connects TAP devices to the switch: it makes the pollers with which the
// workers of a switch wait for, read and write the devices of package tap. It is all that
// a program needs between the two:
//
//	sw, err := vswitch.New(vswitch.Options{NewPoller: poller.New})
//	...
//	dev, err := tap.Create("tap1", tap.Options{})
//	...
//	port, err := sw.AddPort(segment, dev, vswitch.PortConfig{Name: "tap1"})
//
// The program examples/embed is a complete one. The package holds no state and starts no
// goroutine. A device must stay open until [vswitch.Switch.RemovePort],
// [vswitch.Switch.Detach] or [vswitch.Switch.Close] has returned.
package poller

import (
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
	"vswitch/tap"
)

// New makes the poller of one worker, for [vswitch.Options]. It waits by epoll(7) and carries
// up to [vswitch.BatchFrames] frames per system call through an io_uring, in and out of
// registered buffers where that is quicker. Where the kernel offers no io_uring, each frame takes
// a system call of its own. The error is that of epoll. The switch calls it in the worker's thread,
// which alone may use the poller.
//
// The poller takes any device that has a non-blocking descriptor and the methods Fd,
// ReadStatus and WriteStatus of tap.Device.
func New() (vswitch.Poller, error) {
	o := reactor.Options{Batch: vswitch.BatchFrames}
	if file, err := tap.OpenUnattached(); err == nil {
		o.Probe = file // what the kernel's io_uring can do with a TAP is tried on it
	}
	r, err := reactor.New(o)
	if err != nil {
		return nil, err
	}
	return r, nil
}
