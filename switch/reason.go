package vswitch

// Reason names why a frame was dropped.
type Reason uint8

// The reasons. Those up to Hairpin count at the port that the frame came from,
// those from LinkDown on at the port that it was meant for.
const (
	Runt             Reason = iota // shorter than an Ethernet header
	Giant                          // longer than the segment's MTU allows
	BadVirtioHeader                // the virtio-net header does not fit the frame
	BadSource                      // source address is a group address or zero
	ReservedGroup                  // to 01:80:C2:00:00:00-0F (IEEE 802.1Q-2022 §8.6.3)
	MalformedARP                   // ARP that is truncated or not IPv4 over Ethernet
	MalformedIP                    // IP that is truncated or lies about its length, to the gateway
	CrossSegment                   // IP to the gateway for an address in another segment
	NoUplink                       // IP to the gateway for an address outside all segments
	GatewayUnhandled               // to the gateway itself, but nothing it answers
	PortDown                       // the port it came from is administratively down
	Hairpin                        // its destination is the port that it came from
	LinkDown                       // the receiving interface is down
	QueueFull                      // the receiver has no room
	TxRejected                     // the receiving device refused the frame
	DeviceGone                     // the receiving device no longer exists

	numReasons
)

var reasonNames = [numReasons]string{
	Runt:             "runt",
	Giant:            "giant",
	BadVirtioHeader:  "bad-virtio-header",
	BadSource:        "bad-source",
	ReservedGroup:    "reserved-group",
	MalformedARP:     "malformed-arp",
	MalformedIP:      "malformed-ip",
	CrossSegment:     "cross-segment",
	NoUplink:         "no-uplink",
	GatewayUnhandled: "gateway-unhandled",
	PortDown:         "port-down",
	Hairpin:          "hairpin",
	LinkDown:         "link-down",
	QueueFull:        "queue-full",
	TxRejected:       "tx-rejected",
	DeviceGone:       "device-gone",
}

// String is the reason's name in listings and statistics.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Ingress says whether the reason counts at the port that the frame came from.
func (r Reason) Ingress() bool { return r < LinkDown }

// Reasons lists all reasons in order.
func Reasons() []Reason {
	all := make([]Reason, numReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}
