package daemon

import vswitch "vswitch/switch"

// violated is called by the switch when a port's container did what it may not,
// at most once a minute for each port and reason.
func (d *Daemon) violated(v vswitch.Violation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.portAt(v.Port)
	if p == nil {
		return // it has gone meanwhile
	}
	args := []any{"port", p.record.Name, "segment", p.segment.record.Name, "reason", v.Reason.String(), "mac", v.MAC.String()}
	if v.IP.IsValid() {
		args = append(args, "ip", v.IP.String())
	}
	d.log.Warn("frame refused that the port may not send", args...)
}

// portHeld is called by the switch when the loop guard holds a port down.
func (d *Daemon) portHeld(sw *vswitch.Port) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.portAt(sw); p != nil {
		d.log.Warn("port held down: frames come back through it, so its container may bridge two ports",
			"port", p.record.Name, "segment", p.segment.record.Name, "for", vswitch.DefaultLoopHold.String())
	}
}

// portAt is the port that has that place in the switch; nil: none.
func (d *Daemon) portAt(sw *vswitch.Port) *port {
	for _, p := range d.ports {
		if p.sw == sw {
			return p
		}
	}
	return nil
}
