package daemon

import (
	"fmt"

	vswitch "vswitch/switch"
	"vswitch/tap"
)

// poller lets a worker of the switch wait for TAP devices.
type poller struct{ *tap.Poller }

func newPoller() (vswitch.Poller, error) {
	p, err := tap.NewPoller()
	return poller{p}, err
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
