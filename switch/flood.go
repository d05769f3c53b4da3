package vswitch

import "vswitch/frame"

// group carries a frame to a group address.
func (w *worker) group(p *Port, g *guard, b []byte) {
	if eth := frame.Ethernet(b[frame.VNetHeaderLen:]); reserved(eth) && !g.policy.AllowReserved {
		w.discard(p, ReservedGroup)
		return
	}
	w.flood(p, g, b)
}

// reserved says whether a frame is for 01:80:C2:00:00:00 to -0F, which no bridge
// forwards (IEEE 802.1Q-2022 §8.6.3; net/bridge/br_input.c).
func reserved(eth frame.Ethernet) bool {
	return eth.DstUint64()&^0xf == 0x0180c2000000
}

// flood carries a frame from p to all other ports of the segment that it may
// reach.
func (w *worker) flood(p *Port, g *guard, b []byte) {
	if g.flood != nil && !g.flood.take(w.clock(), 1) {
		w.refuse(p, FloodLimit, b[frame.VNetHeaderLen:])
		return
	}
	if rules := p.segment.rules.Load(); p.filter == nil && (rules != nil || g.policy.Isolated) {
		w.floodSome(p, g, rules, b)
		return
	}
	w.floodAll(p, b)
}

func (w *worker) floodAll(p *Port, b []byte) {
	w.stripe(p).flooded.Add(1)
	for _, out := range *p.segment.ports.Load() {
		if out != p {
			w.transmit(out, b)
		}
	}
	w.tellHost(p, b)
}

// floodSome leaves out the ports that isolation and the rules keep apart from p.
// A frame that is left with none counts as dropped.
func (w *worker) floodSome(p *Port, g *guard, rules *rules, b []byte) {
	var t traffic
	if rules != nil {
		if t = classify(b[frame.VNetHeaderLen:]); t.exempt {
			rules = nil
		}
	}
	reached, reason := w.tellHost(p, b), none
	for _, out := range *p.segment.ports.Load() {
		switch {
		case out == p:
		case g.policy.Isolated && out.isolated():
			reason = Isolated
		case rules != nil && rules.deny(w.id, p.slot, out.slot, t):
			reason = DeniedByRule
		default:
			reached = true
			w.transmit(out, b)
		}
	}
	if reached || reason == none {
		w.stripe(p).flooded.Add(1)
		return
	}
	w.discard(p, reason)
}
