package arp

import (
	"fmt"

	"vswitch/frame"
)

// Verdict is what became of a frame given to [Responder.Respond].
type Verdict uint8

// The verdicts. Only Answered means that the frame was changed.
const (
	Pass      Verdict = iota // not ours to answer: forward it as any other frame
	Answered                 // the frame is now the reply, for the port it came from
	Malformed                // not ARP for IPv4 over Ethernet, or from an impossible MAC
)

// String is the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case Pass:
		return "pass"
	case Answered:
		return "answered"
	case Malformed:
		return "malformed"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Responder answers requests on behalf of all stations in a table (proxy ARP).
// It may be used by many workers at once.
type Responder struct {
	table *Table
}

// NewResponder answers from t, and follows its changes.
func NewResponder(t *Table) *Responder { return &Responder{table: t} }

// Respond looks at an untagged frame of EtherType [frame.EtherTypeARP] and, when
// it asks for a bound address, turns it in place into the reply (RFC 826). The
// frame keeps its length; padding becomes zero. Respond does not allocate.
//
// The Ethernet destination is not looked at: Linux revalidates a neighbour with
// unicast requests (net/ipv4/arp.c, arp_solicit), which are answered as well.
//
// Passed on are replies and other operations, requests for an address that is
// not bound, and two kinds of request that only look like a question:
//   - an announcement, sender and target address the same (RFC 5227 §3): a
//     reply would tell the announcer that its address is in conflict;
//   - any request for an address bound to the asking MAC, above all a probe
//     (sender address 0.0.0.0, RFC 5227 §1.1): a station must not be told that
//     it conflicts with itself.
//
// A probe for another station's address is answered, which defends it
// (RFC 5227 §2.4).
func (r *Responder) Respond(eth frame.Ethernet) Verdict {
	if len(eth) < frame.EthernetHeaderLen+frame.ARPLen {
		return Malformed
	}
	packet, ok := frame.ParseARP(eth.Payload())
	if !ok || !packet.SenderMAC().IsUnicast() {
		return Malformed
	}
	asker, askerIP, targetIP := packet.SenderMAC(), packet.SenderIP(), packet.TargetIP()
	if packet.Operation() != frame.ARPRequest || askerIP == targetIP {
		return Pass
	}
	mac, ok := r.table.Lookup(targetIP)
	if !ok || mac == asker {
		return Pass
	}
	eth.SetDst(asker)
	eth.SetSrc(mac)
	packet.SetOperation(frame.ARPReply)
	packet.SetSender(mac, targetIP)
	packet.SetTarget(asker, askerIP)
	// What the asker's padding holds is no business of the wire's.
	clear(eth[frame.EthernetHeaderLen+frame.ARPLen:])
	return Answered
}
