// Package drop names the reasons for which the switch drops a frame. The engine
// counts each dropped frame under one of them; port security and what answers at
// the gateway's address return them. The package holds names and nothing else.
package drop

// Reason is why a frame was dropped.
type Reason uint8

// The reasons. Those before LinkDown count at the port that the frame came from,
// those from LinkDown on at the port that it was meant for.
const (
	Runt               Reason = iota // shorter than an Ethernet header
	Giant                            // longer than the segment's MTU allows
	BadVirtioHeader                  // the virtio-net header does not fit the frame
	BadSource                        // source address is a group address or zero
	ReservedGroup                    // to 01:80:C2:00:00:01-0F (IEEE 802.1Q-2022 §8.6.3)
	BPDUGuard                        // to 01:80:C2:00:00:00, from a port that must not send BPDUs
	MalformedARP                     // ARP that is truncated or not IPv4 over Ethernet
	MalformedIP                      // IP that is truncated or whose lengths are wrong
	CrossSegment                     // IP to the gateway for an address in another segment
	NoUplink                         // IP to the gateway for an address outside all segments
	GatewayUnhandled                 // to the gateway itself, but nothing it answers
	GatewayBusy                      // to a busy service of the gateway's
	PortDown                         // the port it came from is administratively down
	Hairpin                          // its destination is the port that it came from
	Unreachable                      // to an address whose port is gone
	SpoofedMAC                       // its source address is not the port's
	SpoofedARP                       // ARP that names a sender other than the port's host
	SpoofedIP                        // its IP source address is not the port's
	SpoofedND                        // neighbour discovery that names another's address
	SpoofedGateway                   // its source is the gateway's address, or its ARP sender is
	RogueDHCP                        // what only a DHCP server sends
	RogueRA                          // what only an IPv6 router sends, or may hide it
	VLANTagged                       // tagged, from an access port
	UnassignedProtocol               // a protocol that the segment does not carry
	Isolated                         // from an isolated port, to isolated ports alone
	DeniedByRule                     // a rule of the segment denies it
	MACLimit                         // its source address is one too many at the port
	FloodLimit                       // to all, and the port has sent more of those than it may
	RateLimitIn                      // the port has sent more than it may
	Loop                             // the port is err-disabled: frames come back through it

	LinkDown     // the receiving interface is down
	PortLost     // the port that it was meant for has lost its device
	QueueFull    // the receiver has no room
	TxRejected   // the receiving device refused the frame
	DeviceGone   // the receiving device no longer exists
	HeldDown     // the receiving port is err-disabled, see Loop
	RateLimitOut // the receiver has been sent more than it may be

	// None is the reason of a frame that is not dropped.
	None
)

// Count is the number of reasons: all are less than it.
const Count = int(None)

var names = [Count]string{
	Runt:               "runt",
	Giant:              "giant",
	BadVirtioHeader:    "bad-virtio-header",
	BadSource:          "bad-source",
	ReservedGroup:      "reserved-group",
	BPDUGuard:          "bpdu-guard",
	MalformedARP:       "malformed-arp",
	MalformedIP:        "malformed-ip",
	CrossSegment:       "cross-segment",
	NoUplink:           "no-uplink",
	GatewayUnhandled:   "gateway-unhandled",
	GatewayBusy:        "gateway-busy",
	PortDown:           "port-down",
	Hairpin:            "hairpin",
	Unreachable:        "unreachable",
	SpoofedMAC:         "spoofed-mac",
	SpoofedARP:         "spoofed-arp",
	SpoofedIP:          "spoofed-ip",
	SpoofedND:          "spoofed-nd",
	SpoofedGateway:     "spoofed-gateway",
	RogueDHCP:          "rogue-dhcp",
	RogueRA:            "rogue-ra",
	VLANTagged:         "vlan-tagged",
	UnassignedProtocol: "unassigned-protocol",
	Isolated:           "isolated",
	DeniedByRule:       "denied-by-rule",
	MACLimit:           "mac-limit",
	FloodLimit:         "flood-limit",
	RateLimitIn:        "rate-limit-in",
	Loop:               "loop",
	LinkDown:           "link-down",
	PortLost:           "port-lost",
	QueueFull:          "queue-full",
	TxRejected:         "tx-rejected",
	DeviceGone:         "device-gone",
	HeldDown:           "held-down",
	RateLimitOut:       "rate-limit-out",
}

// String returns the reason's name in listings and statistics; "none" for None.
func (r Reason) String() string {
	switch {
	case r < None:
		return names[r]
	case r == None:
		return "none"
	}
	return "unknown"
}

// Ingress reports whether the reason counts at the port that the frame came from.
func (r Reason) Ingress() bool { return r < LinkDown }

// Violation reports whether the reason is one that a well-behaved host gives no
// cause for, so that the control side wants to know of it. UnassignedProtocol is
// none, because kernels send IPv6 of their own accord, nor are the rates, which
// TCP finds by exceeding them.
func (r Reason) Violation() bool {
	switch r {
	case BPDUGuard, SpoofedMAC, SpoofedARP, SpoofedIP, SpoofedND, SpoofedGateway,
		RogueDHCP, RogueRA, VLANTagged, MACLimit, FloodLimit:
		return true
	}
	return false
}

// All returns all reasons in order, without None.
func All() []Reason {
	all := make([]Reason, Count)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}
