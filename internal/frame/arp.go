package frame

import (
	"encoding/binary"
	"net/netip"
)

// ARPLen is the size in bytes of an ARP packet for IPv4 over Ethernet.
const ARPLen = 28

// Operations of ARP (RFC 826).
const (
	ARPRequest = 1
	ARPReply   = 2
)

// arpIPv4Ethernet is htype 1, ptype 0x0800, hlen 6, plen 4.
const arpIPv4Ethernet = 0x0001_0800_0604

// arpIPv4IEEE802 is the same with htype 6.
const arpIPv4IEEE802 = 0x0006_0800_0604

// Offsets in an ARP packet (RFC 826).
const (
	arpSenderIP = 14
	arpTargetIP = 24
)

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826), without the Ethernet
// header.
type ARP []byte

// ParseARP says whether b holds an ARP packet for IPv4 over Ethernet; other
// hardware or protocol types and truncated packets do not parse.
func ParseARP(b []byte) (ARP, bool) {
	if len(b) < ARPLen || binary.BigEndian.Uint64(b)>>16 != arpIPv4Ethernet {
		return nil, false
	}
	return ARP(b[:ARPLen]), true
}

// NewARP writes the fixed fields into b, which must have ARPLen bytes.
func NewARP(b []byte, operation uint16) ARP {
	a := ARP(b[:ARPLen])
	binary.BigEndian.PutUint64(a, arpIPv4Ethernet<<16|uint64(operation))
	return a
}

// Operation is [ARPRequest], [ARPReply] or a number this package does not name.
func (a ARP) Operation() uint16 { return binary.BigEndian.Uint16(a[6:8]) }

// SenderMAC is ar$sha.
func (a ARP) SenderMAC() MAC { return MAC(a[8:14]) }

// SenderIP is ar$spa; 0.0.0.0 in a probe (RFC 5227).
func (a ARP) SenderIP() netip.Addr { return netip.AddrFrom4([4]byte(a[14:18])) }

// TargetMAC is ar$tha; without meaning in a request.
func (a ARP) TargetMAC() MAC { return MAC(a[18:24]) }

// TargetIP is ar$tpa.
func (a ARP) TargetIP() netip.Addr { return netip.AddrFrom4([4]byte(a[24:28])) }

// SetOperation overwrites ar$op.
func (a ARP) SetOperation(op uint16) { binary.BigEndian.PutUint16(a[6:8], op) }

// SetSender overwrites ar$sha and ar$spa; an ip that is not IPv4 becomes 0.0.0.0.
func (a ARP) SetSender(m MAC, ip netip.Addr) {
	v4 := as4(ip)
	copy(a[8:14], m[:])
	copy(a[14:18], v4[:])
}

// SetTarget overwrites ar$tha and ar$tpa; an ip that is not IPv4 becomes 0.0.0.0.
func (a ARP) SetTarget(m MAC, ip netip.Addr) {
	v4 := as4(ip)
	copy(a[18:24], m[:])
	copy(a[24:28], v4[:])
}
