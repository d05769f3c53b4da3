package control

import vswitch "vswitch/switch"

// violated is called by the switch when a port's container did what it may not,
// at most once a minute for each port and reason.
func (d *Control) violated(v vswitch.Violation) {
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

// loopFound is called by the switch when it err-disables a port because of a loop, and when
// the port's time is over.
func (d *Control) loopFound(sw *vswitch.Port, disabled bool) {
	d.lock()
	defer d.unlockSoon()
	p := d.portAt(sw)
	if p == nil || d.closed {
		return
	}
	if disabled {
		d.log.Warn("port err-disabled: frames come back through it, so its container may bridge two ports",
			"port", p.record.Name, "segment", p.segment.record.Name, "for", vswitch.DefaultLoopHold.String())
	} else {
		d.log.Info("port no longer err-disabled", "port", p.record.Name, "segment", p.segment.record.Name)
	}
	d.updateNeighbours(p)
}

// portAt is the port that has that place in the switch; nil: none.
func (d *Control) portAt(sw *vswitch.Port) *port {
	for _, p := range d.ports {
		if p.sw == sw {
			return p
		}
	}
	return nil
}
