package control

import vswitch "vswitch/switch"

// violated is called by the switch when a port's container did what it may not,
// at most once a minute for each port and reason.
func (pc *ports) violated(v vswitch.Violation) {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	p := pc.portAt(v.Port)
	if p == nil {
		return // it has gone meanwhile
	}
	args := []any{"port", p.record.Name, "segment", p.segment.record.Name, "reason", v.Reason.String(), "mac", v.MAC.String()}
	if v.IP.IsValid() {
		args = append(args, "ip", v.IP.String())
	}
	if option := p.now().Allowance(v.Reason); option != "" {
		args = append(args, "allowed-by", "vsctl set-port "+p.record.Name+" "+option)
	}
	pc.log.Warn("frame refused that the port may not send", args...)
}

// loopFound is called by the switch when it err-disables a port because of a loop, and when
// the port's time is over.
func (pc *ports) loopFound(sw *vswitch.Port, disabled bool) {
	pc.lock()
	defer pc.unlockSoon()
	p := pc.portAt(sw)
	if p == nil || pc.closed {
		return
	}
	if disabled {
		pc.log.Warn("port err-disabled: frames come back through it, so its container may bridge two ports",
			"port", p.record.Name, "segment", p.segment.record.Name, "for", vswitch.DefaultLoopHold.String())
	} else {
		pc.log.Info("port no longer err-disabled", "port", p.record.Name, "segment", p.segment.record.Name)
	}
}
