package vswitch

import (
	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// group carries a frame to a group address.
func (w *worker) group(p *Port, g *policy.Guard, b []byte) {
	if reason := g.Reserved(&w.parsed); reason != drop.None {
		w.refuse(p, reason, b)
		return
	}
	w.flood(p, g, b)
}

// flood carries a frame from p to all other ports of the segment that it may reach.
func (w *worker) flood(p *Port, g *policy.Guard, b []byte) {
	if g.Flood != nil && !g.Flood.Take(w.clock(), 1) {
		w.refuse(p, drop.FloodLimit, b)
		return
	}
	w.meterFlood(p)
	if rules := p.segment.rules.Load(); p.filter == nil && (rules != nil || g.Isolated) {
		w.floodSome(p, g, rules, b)
		return
	}
	w.flooded(p, b)
	w.floodAll(p, b)
}

func (w *worker) floodAll(p *Port, b []byte) {
	for _, out := range *p.segment.ports.Load() {
		if out != p {
			w.transmit(out, b)
		}
	}
	w.floodToHost(p, b)
}

// floodSome leaves out the ports that isolation and the rules keep apart from p.
// A frame that is left with none counts as dropped.
func (w *worker) floodSome(p *Port, g *policy.Guard, rules *policy.Rules, b []byte) {
	var t policy.Traffic
	if rules != nil {
		if t = policy.Classify(&w.parsed); t.Exempt {
			rules = nil
		}
	}
	reached, reason := w.floodToHost(p, b), drop.None
	for _, out := range *p.segment.ports.Load() {
		switch {
		case out == p:
		case g.Isolated && out.isolated():
			reason = drop.Isolated
		case rules != nil && rules.Deny(w.id, p.slot, out.slot, t):
			reason = drop.DeniedByRule
		default:
			reached = true
			w.transmit(out, b)
		}
	}
	if reached || reason == drop.None {
		w.flooded(p, b)
		return
	}
	w.discard(p, reason, b)
}

// probe carries an ARP address probe from p to the ports that may use the address that it
// asks for: nobody else can answer it, and nobody else has to see it. With none, it ends
// here.
func (w *worker) probe(p *Port, b []byte) {
	g := p.guard.Load()
	if g.Flood != nil && !g.Flood.Take(w.clock(), 1) {
		w.refuse(p, drop.FloodLimit, b)
		return
	}
	w.meterFlood(p)
	reached := false
	for _, out := range *p.segment.ports.Load() {
		other := out.guard.Load()
		if out == p || !other.MayUse4(w.parsed.Dst4) || g.Isolated && out.isolated() {
			continue
		}
		reached = true
		w.transmit(out, b)
	}
	if reached {
		w.flooded(p, b)
		return
	}
	w.local(p, b)
}

// floodToHost sends the host a frame that is flooded, if it accepts it, and says so. It
// never gets what is for a host that is not known.
func (w *worker) floodToHost(p *Port, b []byte) bool {
	host := p.segment.host.Load()
	if host == nil || host == p || b[frame.VNetHeaderLen]&1 == 0 {
		return false
	}
	f := &w.parsed
	if p.responder != nil { // an answer, which the worker has not parsed
		f.Reset(frame.Ethernet(b[frame.VNetHeaderLen:]))
	}
	if !host.filter.AcceptsFlood(f) {
		return false
	}
	w.transmit(host, b)
	return true
}
