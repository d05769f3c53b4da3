package daemon

import (
	"fmt"
	"log/slog"

	"vswitch/frame"
	vswitch "vswitch/switch"
	"vswitch/tap"
)

// poller lets a worker of the switch wait for TAP devices.
type poller struct{ *tap.Poller }

func newPoller(log *slog.Logger) (vswitch.Poller, error) {
	p, err := tap.NewPoller(vswitch.BatchFrames)
	if err != nil {
		return nil, err
	}
	if why := p.Singly(); why != nil {
		log.Warn("no io_uring: each frame takes system calls of its own, which is slower", "error", why)
	}
	return poller{p}, nil
}

// Add implements [vswitch.Poller].
func (p poller) Add(dev vswitch.Device, token uint32) error {
	d, ok := dev.(*tap.Device)
	if !ok {
		return fmt.Errorf("cannot poll a %T: only TAP devices", dev)
	}
	return p.Poller.Add(d, token)
}

// Remove implements [vswitch.Poller].
func (p poller) Remove(dev vswitch.Device) error {
	d, ok := dev.(*tap.Device)
	if !ok {
		return nil
	}
	return p.Poller.Remove(d)
}

// Receive implements [vswitch.Poller].
func (p poller) Receive(dev vswitch.Device, bufs [][]byte) (int, frame.Status) {
	d, ok := dev.(*tap.Device)
	if !ok {
		return 0, frame.Gone
	}
	return p.Poller.Receive(d, bufs)
}

// Send implements [vswitch.Poller].
func (p poller) Send(dev vswitch.Device, buf []byte) { p.Poller.Send(dev.(*tap.Device), buf) }
