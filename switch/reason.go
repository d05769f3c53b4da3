package vswitch

// Reason names why a frame was dropped.
type Reason uint8

// The reasons. Those up to Loop count at the port that the frame came from,
// those from LinkDown on at the port that it was meant for.
const (
	Runt               Reason = iota // shorter than an Ethernet header
	Giant                            // longer than the segment's MTU allows
	BadVirtioHeader                  // the virtio-net header does not fit the frame
	BadSource                        // source address is a group address or zero
	ReservedGroup                    // to 01:80:C2:00:00:00-0F (IEEE 802.1Q-2022 §8.6.3)
	MalformedARP                     // ARP that is truncated or not IPv4 over Ethernet, to the gateway or from a strict port
	MalformedIP                      // IP that is truncated or lies about its length, likewise
	CrossSegment                     // IP to the gateway for an address in another segment
	NoUplink                         // IP to the gateway for an address outside all segments
	GatewayUnhandled                 // to the gateway itself, but nothing it answers
	GatewayBusy                      // to a service of the gateway's, beyond what it takes at a time
	PortDown                         // the port it came from is administratively down
	Hairpin                          // its destination is the port that it came from
	SpoofedMAC                       // its source address is not the port's
	SpoofedARP                       // ARP that names a sender other than the port's station
	SpoofedIP                        // its IP source address is not the port's
	SpoofedND                        // neighbour discovery that names another's address
	SpoofedGateway                   // its source is the gateway's address, or its ARP sender is
	RogueDHCP                        // what only a DHCP server sends
	RogueRA                          // what only an IPv6 router sends, or may hide it
	VLANTagged                       // tagged, from an access port
	UnassignedProtocol               // a protocol that the segment does not carry, as IPv6 without it
	Isolated                         // all that it was for are isolated, as is the port it came from
	DeniedByRule                     // a rule of the segment denies it
	MACLimit                         // its source address is new, and the port has as many as it may
	FloodLimit                       // to all, and the port has sent more of those than it may
	RateLimitIn                      // the port has sent more than it may
	Loop                             // the port is held down, because frames come back through it
	LinkDown                         // the receiving interface is down
	QueueFull                        // the receiver has no room
	TxRejected                       // the receiving device refused the frame
	DeviceGone                       // the receiving device no longer exists
	HeldDown                         // the receiving port is held down, see Loop
	RateLimitOut                     // the receiver has been sent more than it may be

	numReasons
)

var reasonNames = [numReasons]string{
	Runt:               "runt",
	Giant:              "giant",
	BadVirtioHeader:    "bad-virtio-header",
	BadSource:          "bad-source",
	ReservedGroup:      "reserved-group",
	MalformedARP:       "malformed-arp",
	MalformedIP:        "malformed-ip",
	CrossSegment:       "cross-segment",
	NoUplink:           "no-uplink",
	GatewayUnhandled:   "gateway-unhandled",
	GatewayBusy:        "gateway-busy",
	PortDown:           "port-down",
	Hairpin:            "hairpin",
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
	QueueFull:          "queue-full",
	TxRejected:         "tx-rejected",
	DeviceGone:         "device-gone",
	HeldDown:           "held-down",
	RateLimitOut:       "rate-limit-out",
}

// none says that there is no reason to drop a frame.
const none = numReasons

// String is the reason's name in listings and statistics.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Ingress says whether the reason counts at the port that the frame came from.
func (r Reason) Ingress() bool { return r < LinkDown }

// Violation says whether the reason is one that a well-behaved station gives no
// cause for, and that is reported to [Options].OnViolation. UnassignedProtocol is
// not, because kernels send IPv6 of their own accord, nor are the rates, which
// TCP finds by exceeding them.
func (r Reason) Violation() bool {
	switch r {
	case SpoofedMAC, SpoofedARP, SpoofedIP, SpoofedND, SpoofedGateway, RogueDHCP, RogueRA, VLANTagged, MACLimit, FloodLimit:
		return true
	}
	return false
}

// Reasons lists all reasons in order.
func Reasons() []Reason {
	all := make([]Reason, numReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}
