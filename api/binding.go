package api

import "net/netip"

// Binding is an IP address of a segment and the MAC that the switch answers ARP
// for it with.
type Binding struct {
	Segment string     `json:"segment"` // name
	IP      netip.Addr `json:"ip"`
	MAC     string     `json:"mac"`
	Port    string     `json:"port"` // name
	Kind    string     `json:"kind"` // [Dynamic] or [Static]
}
