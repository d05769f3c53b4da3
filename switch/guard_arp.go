package vswitch

import (
	"encoding/binary"

	"vswitch/frame"
)

// Offsets in an ARP packet (RFC 826).
const (
	arpSenderIP = 14
	arpTargetIP = 24
)

// claimsGateway says whether an ARP frame names the gateway's address as its
// sender's.
func (s *Segment) claimsGateway(eth frame.Ethernet) bool {
	if s.gatewayIP == 0 {
		return false
	}
	a, ok := frame.ParseARP(eth.Payload())
	return ok && binary.BigEndian.Uint32(a[arpSenderIP:]) == s.gatewayIP
}

// inspectARP wants a strict port's ARP to speak of its own station only: every
// packet teaches whoever reads it the sender's addresses (RFC 826). A probe has no
// sender address yet (RFC 5227 §1.1) and asks for what it is about to be: who
// probes for another's address keeps that station from taking it.
func (g *guard) inspectARP(eth frame.Ethernet) Reason {
	a, ok := frame.ParseARP(eth.Payload())
	if !ok {
		return MalformedARP
	}
	if a.SenderMAC() != g.policy.MAC {
		return SpoofedARP
	}
	sender := binary.BigEndian.Uint32(a[arpSenderIP:])
	if g.owns4(sender) {
		return none
	}
	if sender == 0 && a.Operation() == frame.ARPRequest && g.owns4(binary.BigEndian.Uint32(a[arpTargetIP:])) {
		return none
	}
	return SpoofedARP
}

// owns4 says whether a is an address of the port's station.
func (g *guard) owns4(a uint32) bool {
	if a == g.own4 {
		return a != 0
	}
	for _, own := range g.more4 {
		if a == own {
			return true
		}
	}
	return false
}
