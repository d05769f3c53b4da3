package arp

import (
	"fmt"

	"vswitch/internal/frame"
)

// Verdict is what became of a frame given to [Responder.Respond].
type Verdict uint8

// The verdicts. Only Answered means that the frame was changed.
const (
	Pass      Verdict = iota // nothing to answer: forward it as any other frame
	Answered                 // the frame is now the reply, for the port it came from
	Malformed                // not ARP for IPv4 over Ethernet, or from an impossible MAC
	Spoofed                  // claims an address that is bound to another port or MAC
	Probe                    // deliver it only to the ports that may use the target address
)

var verdictNames = [...]string{
	Pass: "pass", Answered: "answered", Malformed: "malformed", Spoofed: "spoofed", Probe: "probe",
}

// String returns the verdict in lower case.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Origin is where a frame came from.
type Origin struct {
	Slot    uint32 // the port, as [Binding] numbers it; the gateway's for the host's own port
	Trusted bool   // what the port announces about its own addresses is believed
}

// Responder answers requests on behalf of all hosts in a table (proxy ARP). It
// may be used by many workers at once.
type Responder struct {
	table *Table
}

// NewResponder returns a responder that answers from t, and follows its changes.
func NewResponder(t *Table) *Responder { return &Responder{table: t} }

// Respond reads the ARP packet that begins at offset in eth, behind any tags, and
// decides what becomes of the frame. Where the verdict is Answered, the frame was
// turned in place into the reply (RFC 826): it keeps its length and its tags, and
// its padding becomes zero. Respond takes no lock and does not allocate.
//
// These rules are tried in order:
//   - A packet that is not ARP for IPv4 over Ethernet, or whose sender MAC is zero
//     or a group's, is Malformed.
//   - A sender address that is bound to another slot, the gateway's included, is
//     Spoofed, whatever the operation.
//   - A sender address that is bound to the origin's slot, with another MAC, is
//     Spoofed, unless the origin is trusted. Then the MAC is claimed
//     ([Table.Claim]) from a request or reply, and the frame passes even where it
//     asks for a bound address: neighbours must receive it, as over a bridge, or
//     their caches keep the old MAC.
//   - Other operations than a request pass, and so does an announcement, sender
//     and target address the same (RFC 5227 §3): a reply would tell the announcer
//     that its address is in conflict.
//   - A probe (sender address 0.0.0.0, RFC 5227 §1.1) for an address bound to
//     another slot is Answered, which defends the address (§2.4). Any other is a
//     Probe: whether the address is taken, only a port that may use it can know.
//   - A request for an address bound to another slot is Answered where the
//     sender's address is bound, so that other hosts learn nothing new from it,
//     or where the target is the gateway, for which nobody else answers.
//   - Other requests pass: for an address that is not bound, or bound to the
//     origin's slot, or from an unbound sender (a host behind the port, a
//     secondary address), which the neighbours must learn of.
//
// The Ethernet destination is not read: Linux revalidates a neighbour with
// unicast requests (net/ipv4/arp.c, arp_solicit), which follow the same rules.
func (r *Responder) Respond(eth frame.Ethernet, offset int, from Origin) Verdict {
	packet, ok := parse(eth, offset)
	if !ok {
		return Malformed
	}
	op, senderIP, targetIP := packet.Operation(), packet.SenderIP(), packet.TargetIP()
	sender := r.table.find(senderIP.As16()) // nil for 0.0.0.0, which cannot be bound
	switch {
	case sender == nil:
	case sender.Slot != from.Slot:
		return Spoofed
	case sender.answer() == packet.SenderMAC():
	case !from.Trusted:
		return Spoofed
	default:
		// Linux learns from these two alone (net/ipv4/arp.c, arp_process).
		if op == frame.ARPRequest || op == frame.ARPReply {
			sender.claim(packet.SenderMAC())
		}
		return Pass
	}
	if op != frame.ARPRequest || senderIP == targetIP {
		return Pass
	}
	probe := senderIP.IsUnspecified()
	switch target := r.table.find(targetIP.As16()); {
	case target == nil || target.Slot == from.Slot:
		if probe {
			return Probe
		}
	case probe || sender != nil || target.Kind == Gateway:
		reply(eth, offset, packet, target.answer())
		return Answered
	}
	return Pass
}

// parse returns the ARP packet at offset in eth, if it is one that a host can
// have sent.
func parse(eth frame.Ethernet, offset int) (frame.ARP, bool) {
	if offset < frame.EthernetHeaderLen || offset > len(eth) {
		return nil, false
	}
	packet, ok := frame.ParseARP(eth[offset:])
	return packet, ok && packet.SenderMAC().IsUnicast()
}

// reply turns the request packet at offset in eth into the reply that its target
// address is at mac.
func reply(eth frame.Ethernet, offset int, packet frame.ARP, mac frame.MAC) {
	asker, askerIP, targetIP := packet.SenderMAC(), packet.SenderIP(), packet.TargetIP()
	eth.SetDst(asker)
	eth.SetSrc(mac)
	packet.SetOperation(frame.ARPReply)
	packet.SetSender(mac, targetIP)
	packet.SetTarget(asker, askerIP)
	clear(eth[offset+frame.ARPLen:]) // the asker's padding must not leak back as if it were ours
}
