package vswitch_test

import (
	"encoding/binary"
	"net/netip"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// Packets built byte by byte, because what the tests want of them no library
// would build.

// station1 is who the first port's station is.
var station1 = struct {
	mac                      frame.MAC
	ip, second, ip6          netip.Addr
	routed, routed6          netip.Prefix
	inRouted, inRouted6      netip.Addr
	gateway, other, other6   netip.Addr
	otherLinkLocal, noSource netip.Addr
}{
	mac: switchtest.MAC(1),
	ip:  addr("172.17.0.2"), second: addr("172.17.0.9"), ip6: addr("fd00::2"),
	routed: netip.MustParsePrefix("10.9.0.0/16"), routed6: netip.MustParsePrefix("fd00:9::/64"),
	inRouted: addr("10.9.1.1"), inRouted6: addr("fd00:9::1"),
	gateway: addr("172.17.0.1"), other: addr("172.17.0.3"), other6: addr("fd00::3"),
	otherLinkLocal: switchtest.MAC(2).LinkLocal(), noSource: netip.IPv6Unspecified(),
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// ethernet puts a payload behind a header.
func ethernet(dst, src frame.MAC, etherType uint16, payload ...byte) []byte {
	b := make([]byte, frame.EthernetHeaderLen, frame.EthernetHeaderLen+len(payload))
	eth := frame.Ethernet(b)
	eth.SetDst(dst)
	eth.SetSrc(src)
	eth.SetEtherType(etherType)
	return append(b, payload...)
}

// tagged is the frame with a VLAN tag.
func tagged(eth []byte, etherType uint16) []byte {
	b := append(make([]byte, 0, len(eth)+4), eth[:12]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(append(b, 0, 5), eth[12:]...)
}

// Tags by which a frame has a priority and is in no VLAN.
const (
	priorityTag        = 0x8100_0000
	servicePriorityTag = 0x88a8_0000
)

// withTags is the frame behind tags, each its EtherType and what follows it.
func withTags(eth []byte, tags ...uint32) []byte {
	for _, tag := range tags {
		b := append(make([]byte, 0, len(eth)+4), eth[:12]...)
		b = binary.BigEndian.AppendUint32(b, tag)
		eth = append(b, eth[12:]...)
	}
	return eth
}

// arpFrom is an ARP frame from the first station that says what the arguments do.
func arpFrom(operation uint16, sender frame.MAC, ip, target netip.Addr) []byte {
	b := ethernet(frame.Broadcast, station1.mac, frame.EtherTypeARP, make([]byte, frame.ARPLen)...)
	a := frame.NewARP(b[frame.EthernetHeaderLen:], operation)
	a.SetSender(sender, ip)
	a.SetTarget(frame.MAC{}, target)
	return b
}

// ipv4 is an IPv4 packet from the first station in a broadcast frame.
func ipv4(src netip.Addr, protocol uint8, payload ...byte) []byte {
	p := make([]byte, frame.IPv4HeaderLen, frame.IPv4HeaderLen+len(payload))
	from := src.As4()
	p[0], p[8], p[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)+len(payload)))
	copy(p[12:], from[:])
	copy(p[16:], []byte{255, 255, 255, 255})
	return ethernet(frame.Broadcast, station1.mac, frame.EtherTypeIPv4, append(p, payload...)...)
}

// fragment makes an IPv4 packet's frame a fragment at offset, in units of 8 bytes.
func fragment(eth []byte, offset uint16, more bool) []byte {
	if more {
		offset |= 0x2000
	}
	binary.BigEndian.PutUint16(eth[frame.EthernetHeaderLen+6:], offset)
	return eth
}

// transport is the beginning of a TCP or UDP header.
func transport(from, to uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	return append(b, make([]byte, 16)...)
}

// ipv6 is an IPv6 packet from the first station to a group.
func ipv6(src netip.Addr, next uint8, payload ...byte) []byte {
	p := make([]byte, frame.IPv6HeaderLen, frame.IPv6HeaderLen+len(payload))
	from := src.As16()
	p[0], p[6], p[7] = 0x60, next, 255
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	copy(p[8:], from[:])
	copy(p[24:], []byte{0xff, 2, 15: 1})
	return ethernet(frame.MAC{0x33, 0x33, 0, 0, 0, 1}, station1.mac, frame.EtherTypeIPv6, append(p, payload...)...)
}

// extension is an extension header of 8 bytes before the payload.
func extension(next uint8, payload ...byte) []byte {
	return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, payload...)
}

// fragment6 is a fragment header before the payload; offset in units of 8 bytes.
func fragment6(next uint8, offset uint16, more bool, payload ...byte) []byte {
	field := offset << 3
	if more {
		field |= 1
	}
	b := binary.BigEndian.AppendUint16([]byte{next, 0}, field)
	return append(append(b, 0, 0, 0, 1), payload...)
}

// icmp6 is an ICMPv6 message.
func icmp6(kind uint8, body ...byte) []byte {
	return append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, body...)
}

// neighbour is a neighbour solicitation or advertisement with options.
func neighbour(kind uint8, target netip.Addr, options ...byte) []byte {
	t := target.As16()
	return icmp6(kind, append(t[:], options...)...)
}

// linkLayer is an option with a link-layer address: 1 the source's, 2 the target's.
func linkLayer(kind uint8, mac frame.MAC) []byte { return append([]byte{kind, 1}, mac[:]...) }
