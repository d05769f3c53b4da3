package vswitch

import (
	"encoding/binary"

	"vswitch/frame"
)

// protocols is a set of protocols, a bit for each [Protocol]; that of ProtocolAny
// is for whatever is none of the others.
type protocols uint8

const (
	otherBit protocols = 1 << ProtocolAny
	tcpBit   protocols = 1 << ProtocolTCP
	udpBit   protocols = 1 << ProtocolUDP
	icmpBit  protocols = 1 << ProtocolICMP

	allBits = otherBit | tcpBit | udpBit | icmpBit
)

// traffic is what rules ask of a frame.
type traffic struct {
	is     protocols // several where it cannot be known
	ported bool      // port holds the destination port
	exempt bool      // never denied
	port   uint16
}

// classify reads a frame for the rules.
func classify(eth frame.Ethernet) traffic {
	switch etherType, b := eth.Network(); etherType {
	case frame.EtherTypeARP:
		return traffic{exempt: true}
	case frame.EtherTypeIPv4:
		if len(b) >= frame.IPv4HeaderLen {
			return classifyIPv4(b)
		}
	case frame.EtherTypeIPv6:
		if p, ok := frame.ParseIPv6(b); ok {
			return classifyIPv6(p)
		}
	}
	return traffic{is: otherBit}
}

func classifyIPv4(p frame.IPv4) traffic {
	t := traffic{is: otherBit}
	switch p.Protocol() {
	case frame.ProtoTCP:
		t.is = tcpBit
	case frame.ProtoUDP:
		t.is = udpBit
	case frame.ProtoICMP:
		t.is = icmpBit
	}
	if header := p.HeaderLen(); !p.IsLaterFragment() && header <= len(p) {
		t.readPort(p[header:])
	}
	return t
}

func classifyIPv6(p frame.IPv6) traffic {
	t := traffic{is: otherBit}
	u, ok := p.Upper()
	if !ok {
		return traffic{is: allBits}
	}
	switch u.Protocol {
	case frame.ProtoTCP:
		t.is = tcpBit
	case frame.ProtoUDP:
		t.is = udpBit
	case frame.ProtoICMPv6:
		t.is = icmpBit
		if !u.Later && len(p) > u.Offset {
			kind := p[u.Offset]
			t.exempt = kind >= frame.ICMPv6RouterSolicitation && kind <= frame.ICMPv6Redirect
		}
	}
	if !u.Later {
		t.readPort(p[u.Offset:])
	}
	return t
}

// readPort reads the destination port from a TCP or UDP header, which has it at
// the same place.
func (t *traffic) readPort(header []byte) {
	if t.is&(tcpBit|udpBit) != 0 && len(header) >= 4 {
		t.port, t.ported = binary.BigEndian.Uint16(header[2:]), true
	}
}

// matches says whether a rule is about traffic from one slot to another. A rule
// that wants ports is about TCP and UDP only, see compile.
func (r *rule) matches(from, to uint32, t traffic) bool {
	return r.about&t.is != 0 &&
		(!r.ported || !t.ported || t.port >= r.ports.First && t.port <= r.ports.Last) &&
		r.from.has(from) && r.to.has(to)
}

// deny finds the first rule that matches, counts it, and says whether it denies.
func (r *rules) deny(worker int, from, to uint32, t traffic) bool {
	for i := range r.list {
		if r.list[i].matches(from, to, t) {
			r.hits[worker][i].Add(1)
			return r.list[i].deny
		}
	}
	return false
}

// denied says whether the segment's rules deny a frame from p to out.
func (w *worker) denied(p, out *Port, eth frame.Ethernet) bool {
	r := p.segment.rules.Load()
	if r == nil {
		return false
	}
	t := classify(eth)
	return !t.exempt && r.deny(w.id, p.slot, out.slot, t)
}
