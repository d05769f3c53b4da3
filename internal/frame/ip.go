package frame

import (
	"encoding/binary"
	"net/netip"
)

// Header sizes in bytes.
const (
	IPv4HeaderLen = 20
	IPv6HeaderLen = 40
)

// Bits of the IPv4 header's flags and fragment offset (RFC 791 §3.1).
const (
	ipv4LaterMask = 0x1fff                 // the offset: not zero in all fragments but the first
	ipv4PartMask  = 0x2000 | ipv4LaterMask // and the flag that more follow
)

// Protocol numbers (IANA).
const (
	ProtoICMP   = 1
	ProtoIGMP   = 2
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// IPv4 is an IPv4 packet (RFC 791) cut to its total length.
type IPv4 []byte

// ParseIPv4 says whether b begins with a whole IPv4 packet: version 4, header
// length of at least 20 bytes, total length within b. Bytes behind the total
// length (Ethernet padding) are cut off. The header checksum is not verified.
func ParseIPv4(b []byte) (IPv4, bool) {
	if len(b) < IPv4HeaderLen || b[0]>>4 != 4 {
		return nil, false
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:4]))
	if header < IPv4HeaderLen || total < header || total > len(b) {
		return nil, false
	}
	return IPv4(b[:total]), true
}

// HeaderLen is the header's size in bytes, options included.
func (p IPv4) HeaderLen() int { return int(p[0]&15) * 4 }

// ID is the identification field.
func (p IPv4) ID() uint16 { return binary.BigEndian.Uint16(p[4:6]) }

// IsFragment says whether this is a part of a fragmented packet (RFC 791 §3.1).
func (p IPv4) IsFragment() bool { return binary.BigEndian.Uint16(p[6:8])&ipv4PartMask != 0 }

// TTL is the time to live.
func (p IPv4) TTL() uint8 { return p[8] }

// Protocol is the payload's protocol number.
func (p IPv4) Protocol() uint8 { return p[9] }

// Src is the source address.
func (p IPv4) Src() netip.Addr { return netip.AddrFrom4([4]byte(p[12:16])) }

// Dst is the destination address.
func (p IPv4) Dst() netip.Addr { return netip.AddrFrom4([4]byte(p[16:20])) }

// Payload is all behind the header.
func (p IPv4) Payload() []byte { return p[p.HeaderLen():] }

// SetTTL overwrites the time to live; the checksum must be set after it.
func (p IPv4) SetTTL(ttl uint8) { p[8] = ttl }

// SwapAddresses exchanges source and destination; the checksum stays right.
func (p IPv4) SwapAddresses() {
	src := [4]byte(p[12:16])
	copy(p[12:16], p[16:20])
	copy(p[16:20], src[:])
}

// SetChecksum computes the header checksum (RFC 791 §3.1) and writes it.
func (p IPv4) SetChecksum() {
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:12], ^Sum(p[:p.HeaderLen()], 0))
}

// ChecksumOK says whether the header checksum is right.
func (p IPv4) ChecksumOK() bool { return Sum(p[:p.HeaderLen()], 0) == 0xffff }

// IPv6 is an IPv6 packet (RFC 8200) cut to its payload length.
type IPv6 []byte

// ParseIPv6 says whether b begins with a whole IPv6 packet. A payload length
// of zero (jumbograms, RFC 2675) leaves the header alone.
func ParseIPv6(b []byte) (IPv6, bool) {
	if len(b) < IPv6HeaderLen || b[0]>>4 != 6 {
		return nil, false
	}
	total := IPv6HeaderLen + int(binary.BigEndian.Uint16(b[4:6]))
	if total > len(b) {
		return nil, false
	}
	return IPv6(b[:total]), true
}

// NextHeader is the type of the header that follows.
func (p IPv6) NextHeader() uint8 { return p[6] }

// Src is the source address.
func (p IPv6) Src() netip.Addr { return netip.AddrFrom16([16]byte(p[8:24])) }

// Dst is the destination address.
func (p IPv6) Dst() netip.Addr { return netip.AddrFrom16([16]byte(p[24:40])) }

// as4 is netip.Addr.As4 without its panic: zeros for what is not IPv4.
func as4(a netip.Addr) [4]byte {
	if a = a.Unmap(); !a.Is4() {
		return [4]byte{}
	}
	return a.As4()
}

// LimitedBroadcast is the address of all hosts on the link (RFC 919 §7).
var LimitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// IsIPv4Host reports whether a can be the IPv4 address of one host that others reach: not of
// network zero, not loopback, not multicast and not the limited broadcast (RFC 6890). Class E
// counts as unicast, as in Linux (include/linux/in.h, ipv4_is_multicast and ipv4_is_lbcast).
func IsIPv4Host(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	first := a.As4()[0]
	return first != 0 && first != 127 && (first < 224 || first >= 240) && a != LimitedBroadcast
}
