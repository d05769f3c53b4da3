package api

import "net/netip"

// Kinds of binding.
const (
	BindingPort    = "port"    // the address of a port
	BindingGateway = "gateway" // the gateway's address
)

// Binding is an IP address of a segment and the MAC that the switch answers ARP for it
// with. A port's address is bound while the port is up and its interface has the address,
// to the MAC that the interface has.
type Binding struct {
	Segment string     `json:"segment"` // name
	IP      netip.Addr `json:"ip"`
	MAC     string     `json:"mac"`
	Port    string     `json:"port"` // name
	Kind    string     `json:"kind"` // [BindingPort] or [BindingGateway]
}
