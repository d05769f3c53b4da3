package icmp

import (
	"encoding/binary"
	"net/netip"

	"vswitch/internal/frame"
)

// maxErrorLen is the size in bytes that an error packet must not exceed, IP
// header included (RFC 1812 §4.3.2.3).
const maxErrorLen = 576

// Parts of the header that frame.IPv4 has no accessors for.
const (
	tosPrecedence      = 0xe0   // RFC 791 §3.1
	tosInternetControl = 0xc0   // precedence 6
	tosECN             = 0x03   // RFC 3168 §5
	flagDontFragment   = 0x4000 // RFC 791 §3.1
	fragmentOffsetMask = 0x1fff
)

// AppendError appends to b the error that src, the caller's own address, sends
// about the packet orig to its source: an IPv4 packet of at most 576 bytes that
// quotes as much of orig as fits (RFC 1812 §4.3.2.3). typ is
// [TypeDestinationUnreachable] or [TypeTimeExceeded]; the other errors have
// fields that cannot be given here. mtu, in bytes, is that of the link on which
// orig would have to be fragmented (RFC 1191 §4); only a message with
// [CodeFragmentationNeeded] carries it. b must not share memory with orig.
//
// The result is false, and b as it was, where no error may be sent
// (RFC 1812 §4.3.2.7, RFC 1122 §3.2.2): about an ICMP message that is an error
// or of a type that is not known, about a fragment other than the first, about a
// packet with a wrong header checksum, and about one whose source or destination
// is no single host's address. Packets that came as a link-layer broadcast or go
// to a subnet's broadcast address the caller must hold back, and limit the rate
// (RFC 1812 §4.3.2.8).
func AppendError(b []byte, typ, code uint8, mtu uint16, orig frame.IPv4, src netip.Addr) ([]byte, bool) {
	src = src.Unmap()
	if typ != TypeDestinationUnreachable && typ != TypeTimeExceeded {
		return b, false
	}
	if !singleHost(src) || !mayCauseError(orig) {
		return b, false
	}
	const overhead = frame.IPv4HeaderLen + headerLen
	quote := orig[:min(len(orig), maxErrorLen-overhead)]
	start := len(b)
	b = append(b, make([]byte, overhead)...)
	b = append(b, quote...)

	message := b[start+frame.IPv4HeaderLen:]
	message[0], message[1] = typ, code
	if typ == TypeDestinationUnreachable && code == CodeFragmentationNeeded {
		binary.BigEndian.PutUint16(message[6:8], mtu)
	}
	setChecksum(message)
	putErrorHeader(b[start:], src, orig)
	return b, true
}

// mayCauseError says whether an error about orig is allowed.
func mayCauseError(orig frame.IPv4) bool {
	if !orig.ChecksumOK() || !singleHost(orig.Src()) || !singleHost(orig.Dst()) {
		return false
	}
	if binary.BigEndian.Uint16(orig[6:8])&fragmentOffsetMask != 0 {
		return false
	}
	if orig.Protocol() != frame.ProtoICMP {
		return true
	}
	message := orig.Payload()
	return len(message) > 0 && isQuery(message[0])
}

// isQuery says whether typ is known and not an error, so that an error about it
// cannot start a volley of errors (net/ipv4/icmp.c, icmp_pointers).
func isQuery(typ uint8) bool {
	switch typ {
	case TypeEchoReply, TypeEchoRequest:
		return true
	}
	return typ >= 13 && typ <= 18 // timestamp, information and address mask
}

// putErrorHeader writes the IPv4 header of packet, an error from src about orig.
// Its precedence is raised to that of control traffic (RFC 1812 §4.3.2.5), and
// since it is never fragmented it needs no identification (RFC 6864 §4.1).
func putErrorHeader(packet []byte, src netip.Addr, orig frame.IPv4) {
	from, to := src.As4(), orig.Src().As4()
	packet[0] = 4<<4 | frame.IPv4HeaderLen/4
	packet[1] = orig[1]&^(tosPrecedence|tosECN) | tosInternetControl
	binary.BigEndian.PutUint16(packet[2:4], uint16(len(packet)))
	binary.BigEndian.PutUint16(packet[6:8], flagDontFragment)
	packet[8], packet[9] = ttl, frame.ProtoICMP
	copy(packet[12:16], from[:])
	copy(packet[16:20], to[:])
	frame.IPv4(packet).SetChecksum()
}
