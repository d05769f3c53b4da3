package policy

import "vswitch/frame"

// protocols is a set of protocols, a bit for each [Protocol]; that of ProtocolAny
// is for what is none of the others.
type protocols uint8

const (
	otherBit protocols = 1 << ProtocolAny
	tcpBit   protocols = 1 << ProtocolTCP
	udpBit   protocols = 1 << ProtocolUDP
	icmpBit  protocols = 1 << ProtocolICMP

	allBits = otherBit | tcpBit | udpBit | icmpBit
)

// Traffic is what rules ask of a frame.
type Traffic struct {
	// Exempt frames are never denied: ARP, and IPv6's neighbour and router discovery.
	Exempt bool
	is     protocols // several where it cannot be known
	ported bool      // port holds the destination port
	port   uint16
}

// Classify reads a frame for the rules.
func Classify(f *frame.Parsed) Traffic {
	switch f.Network() {
	case frame.NetworkIPv4:
		return classify(f, frame.ProtoICMP)
	case frame.NetworkIPv6:
		if !f.Upper() {
			return Traffic{is: allBits}
		}
		t := classify(f, frame.ProtoICMPv6)
		t.Exempt = t.is == icmpBit && !f.Later && discovery(f.Body())
		return t
	}
	if f.EtherType == frame.EtherTypeARP {
		return Traffic{Exempt: true}
	}
	return Traffic{is: otherBit}
}

// classify reads an IP packet for the rules, in whose version icmp is ICMP.
func classify(f *frame.Parsed, icmp uint8) Traffic {
	t := Traffic{is: otherBit}
	switch f.Protocol {
	case frame.ProtoTCP:
		t.is = tcpBit
	case frame.ProtoUDP:
		t.is = udpBit
	case icmp:
		t.is = icmpBit
		return t
	}
	if f.Ports() {
		t.port, t.ported = f.DstPort, true
	}
	return t
}

// discovery reports whether an ICMPv6 message is one of neighbour discovery (RFC
// 4861 §4).
func discovery(message []byte) bool {
	return len(message) > 0 &&
		message[0] >= frame.ICMPv6RouterSolicitation && message[0] <= frame.ICMPv6Redirect
}
