package policy

import (
	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// inspectARP wants a strict port's ARP to be about its own host only: every packet
// teaches its readers the sender's addresses (RFC 826). A probe has no sender
// address yet (RFC 5227 §1.1): what it may ask for is the responder's decision.
func (g *Guard) inspectARP(f *frame.Parsed) drop.Reason {
	a, ok := f.ARP()
	switch {
	case !ok:
		return drop.MalformedARP
	case !g.mayBe(a.SenderMAC()):
		return drop.SpoofedARP
	case f.Src4 == 0 && f.ARPOp == frame.ARPRequest, g.owns4(f.Src4):
		return drop.None
	}
	return drop.SpoofedARP
}

// owns4 reports whether a is an address of the port's host.
func (g *Guard) owns4(a uint32) bool {
	if uint64(a) == g.own4 {
		return true
	}
	for _, own := range g.more4 {
		if a == own {
			return true
		}
	}
	return false
}
