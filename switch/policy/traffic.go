package policy

import "vswitch/internal/frame"

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
	// The same as classify, of most frames.
	if h := f.PlainIPv4(); h != nil {
		if is := ported(h.Protocol()); is != 0 && !h.Later() {
			return Traffic{is: is, ported: true, port: h.DstPort()}
		}
	} else if h := f.PlainIPv6(); h != nil {
		if is := ported(h.NextHeader()); is != 0 {
			return Traffic{is: is, ported: true, port: h.DstPort()}
		}
	}
	return classify(f)
}

// ported returns the set of a protocol that has ports, else none.
func ported(protocol uint8) protocols {
	switch protocol {
	case frame.ProtoTCP:
		return tcpBit
	case frame.ProtoUDP:
		return udpBit
	}
	return 0
}

func classify(f *frame.Parsed) Traffic {
	switch f.Network() {
	case frame.NetworkIPv4:
		return classifyIP(f, frame.ProtoICMP)
	case frame.NetworkIPv6:
		if !f.Upper() {
			return Traffic{is: allBits}
		}
		t := classifyIP(f, frame.ProtoICMPv6)
		t.Exempt = t.is == icmpBit && !f.Later && discovery(f.Body())
		return t
	}
	if f.EtherType == frame.EtherTypeARP {
		return Traffic{Exempt: true}
	}
	return Traffic{is: otherBit}
}

// classifyIP reads an IP packet for the rules, in whose version icmp is ICMP.
func classifyIP(f *frame.Parsed, icmp uint8) Traffic {
	is := ported(f.Protocol)
	switch {
	case is != 0:
	case f.Protocol == icmp:
		is = icmpBit
	default:
		is = otherBit
	}
	if f.Ports() {
		return Traffic{is: is, ported: true, port: f.DstPort}
	}
	return Traffic{is: is}
}

// discovery reports whether an ICMPv6 message is one of neighbour discovery (RFC
// 4861 §4).
func discovery(message []byte) bool {
	return len(message) > 0 &&
		message[0] >= frame.ICMPv6RouterSolicitation && message[0] <= frame.ICMPv6Redirect
}
