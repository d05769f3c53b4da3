package switchtest

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// The functions of this file return parts of frames that a test puts together as it likes,
// such as no honest host would send. Each that precedes something takes that as its payload.
// Lengths and the checksum of IPv4 are filled in; checksums of what is above IP are zero.

// ARPPacket returns an ARP packet for IPv4 over Ethernet (RFC 826).
func ARPPacket(
	operation uint16, sender frame.MAC, senderIP netip.Addr, target frame.MAC, targetIP netip.Addr,
) []byte {
	return Layers(&layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
		HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
		SourceHwAddress: sender[:], SourceProtAddress: senderIP.AsSlice(),
		DstHwAddress: target[:], DstProtAddress: targetIP.AsSlice(),
	})
}

// IPv4 returns an IPv4 packet.
func IPv4(to, from netip.Addr, protocol uint8, payload ...byte) []byte {
	return Layers(ipv4Layer(to, from, protocol), gopacket.Payload(payload))
}

// IPv6 returns an IPv6 packet. next is the type of what the payload begins with.
func IPv6(to, from netip.Addr, next uint8, payload ...byte) []byte {
	return Layers(ipv6Layer(to, from, next), gopacket.Payload(payload))
}

func ipv4Layer(to, from netip.Addr, protocol uint8) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocol(protocol),
		SrcIP: from.AsSlice(), DstIP: to.AsSlice(),
	}
}

func ipv6Layer(to, from netip.Addr, next uint8) *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, HopLimit: 255, NextHeader: layers.IPProtocol(next),
		SrcIP: from.AsSlice(), DstIP: to.AsSlice(),
	}
}

// Fragment returns a copy of an untagged frame whose IPv4 packet is a fragment at offset, in
// units of 8 bytes, with more to come or not. The packet's checksum stays.
func Fragment(eth []byte, offset uint16, more bool) []byte {
	if more {
		offset |= 0x2000
	}
	b := slices.Clone(eth)
	binary.BigEndian.PutUint16(b[frame.EthernetHeaderLen+6:], offset)
	return b
}

// Ports returns the beginning of a TCP or UDP header, 20 bytes of it.
func Ports(src, dst uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	return append(b, make([]byte, 16)...)
}

// Extension returns an IPv6 extension header of 8 bytes, filled with one option of padding
// (RFC 8200 §4.2).
func Extension(next uint8, payload ...byte) []byte {
	return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, payload...)
}

// Chain returns n destination options headers before the payload, and the type of the first.
func Chain(n int, next uint8, payload ...byte) (first uint8, b []byte) {
	const destinationOptions = 60
	for range n {
		payload, next = Extension(next, payload...), destinationOptions
	}
	return next, payload
}

// Fragment6 returns an IPv6 fragment header (RFC 8200 §4.5); offset is in units of 8 bytes.
func Fragment6(next uint8, offset uint16, more bool, payload ...byte) []byte {
	field := offset << 3
	if more {
		field |= 1
	}
	b := binary.BigEndian.AppendUint16([]byte{next, 0}, field)
	return append(append(b, 0, 0, 0, 1), payload...)
}

// ICMPv6 returns an ICMPv6 message: type, code 0, no checksum, four bytes of zero, body.
func ICMPv6(kind uint8, body ...byte) []byte {
	return append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, body...)
}

// Neighbour returns a neighbour solicitation or advertisement (RFC 4861 §4.3, §4.4).
func Neighbour(kind uint8, target netip.Addr, options ...byte) []byte {
	t := target.As16()
	return ICMPv6(kind, append(t[:], options...)...)
}

// LinkLayer returns an option of neighbour discovery with a link-layer address, the source's
// with kind 1, the target's with kind 2 (RFC 4861 §4.6.1).
func LinkLayer(kind uint8, mac frame.MAC) []byte { return append([]byte{kind, 1}, mac[:]...) }
