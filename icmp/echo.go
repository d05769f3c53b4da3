package icmp

import (
	"encoding/binary"

	"vswitch/internal/frame"
)

// Verdict is what became of a packet given to [Echo].
type Verdict uint8

// The verdicts. Only Answered means that the packet was changed.
const (
	Unhandled Verdict = iota // not an echo request, or one with IP options
	Answered                 // the packet is now the reply
	Malformed                // truncated, wrong checksum, or an impossible source
	Fragment                 // part of a fragmented packet; nothing here reassembles
)

// Echo turns the echo request p, a packet addressed to the caller, in place into
// its reply (RFC 792; RFC 1122 §3.2.2.6): same length, identifier, sequence
// number and data. The code of the request is copied and not judged, as Linux
// does (net/ipv4/icmp.c, icmp_echo). Echo does not allocate.
//
// It verifies the header checksum (RFC 1122 §3.2.1.2), which the new one would
// otherwise hide, and the ICMP checksum. A request is Malformed if its source
// cannot be one host's address or is also its destination (RFC 1122 §3.2.1.3);
// whether the source is a subnet's broadcast address only the caller can know. A
// request to a broadcast or multicast address is Unhandled, since a reply must
// not bear such a source.
func Echo(p frame.IPv4) Verdict {
	if p.Protocol() != frame.ProtoICMP || p.HeaderLen() != frame.IPv4HeaderLen {
		return Unhandled
	}
	if !p.ChecksumOK() {
		return Malformed
	}
	if p.IsFragment() {
		return Fragment
	}
	message := p.Payload()
	if len(message) < headerLen {
		return Malformed
	}
	if message[0] != TypeEchoRequest || !frame.IsIPv4Host(p.Dst()) {
		return Unhandled
	}
	if !frame.IsIPv4Host(p.Src()) || p.Src() == p.Dst() || frame.Sum(message, 0) != 0xffff {
		return Malformed
	}
	message[0] = TypeEchoReply
	setChecksum(message)
	p.SwapAddresses()
	p.SetTTL(ttl)
	p.SetChecksum()
	return Answered
}

// setChecksum computes the checksum of a whole message and writes it. A request
// turned into its reply has its checksum computed anew, too: updating it
// (RFC 1624) cannot tell the two zeros of one's complement apart, and receivers
// that compare bytes can.
func setChecksum(message []byte) {
	message[2], message[3] = 0, 0
	binary.BigEndian.PutUint16(message[2:4], ^frame.Sum(message, 0))
}
