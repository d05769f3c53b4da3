package policy_test

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"vswitch/internal/frame"
	"vswitch/switch/policy"
)

// Packets built byte by byte, because what the tests want of them no library
// would build.

// host1 is the host behind the port, and who else is there.
var host1 = struct {
	mac                      frame.MAC
	ip, second, ip6          netip.Addr
	routed, routed6          netip.Prefix
	inRouted, inRouted6      netip.Addr
	gateway, other, other6   netip.Addr
	otherLinkLocal, noSource netip.Addr
}{
	mac: testMAC(1),
	ip:  addr("172.17.0.2"), second: addr("172.17.0.9"), ip6: addr("fd00::2"),
	routed: netip.MustParsePrefix("10.9.0.0/16"), routed6: netip.MustParsePrefix("fd00:9::/64"),
	inRouted: addr("10.9.1.1"), inRouted6: addr("fd00:9::1"),
	gateway: addr("172.17.0.1"), other: addr("172.17.0.3"), other6: addr("fd00::3"),
	otherLinkLocal: testMAC(2).LinkLocal(), noSource: netip.IPv6Unspecified(),
}

var (
	gatewayMAC  = testMAC(0xff)
	testGateway = policy.Gateway{MAC: gatewayMAC.Uint64(), IP4: frame.Uint32(host1.gateway)}
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func testMAC(n uint64) frame.MAC { return frame.MACFromUint64(0x020000000000 | n) }

// policy1 is that of host1's port.
func policy1(level policy.Security) policy.Policy {
	s := host1
	return policy.Policy{
		Security: level, MAC: s.mac, IPv6: true,
		Addrs:    []netip.Addr{s.ip, s.second, s.ip6},
		Prefixes: []netip.Prefix{s.routed, s.routed6},
	}
}

// parsed is a new view on a frame; nothing can be read behind its end unnoticed.
func parsed(eth []byte) *frame.Parsed {
	p := new(frame.Parsed)
	p.Reset(slices.Clip(slices.Clone(eth)))
	return p
}

// ethernet puts a payload behind a header.
func ethernet(dst, src frame.MAC, etherType uint16, payload ...byte) []byte {
	b := make([]byte, frame.EthernetHeaderLen, frame.EthernetHeaderLen+len(payload))
	eth := frame.Ethernet(b)
	eth.SetDst(dst)
	eth.SetSrc(src)
	eth.SetEtherType(etherType)
	return append(b, payload...)
}

// Tags for tagged, with identifier 0.
const (
	dot1q  = 0x8100_0000
	dot1ad = 0x88a8_0000
	qinq   = 0x9100_0000
)

// tagged is the frame with VLAN tags, outermost first.
func tagged(eth []byte, tags ...uint32) []byte {
	b := slices.Clone(eth[:12])
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return append(b, eth[12:]...)
}

// arpFrom is an ARP frame from host1 that says what the arguments do.
func arpFrom(operation uint16, sender frame.MAC, ip, target netip.Addr) []byte {
	b := ethernet(frame.Broadcast, host1.mac, frame.EtherTypeARP, make([]byte, frame.ARPLen)...)
	a := frame.NewARP(b[frame.EthernetHeaderLen:], operation)
	a.SetSender(sender, ip)
	a.SetTarget(frame.MAC{}, target)
	return b
}

// ipv4 is an IPv4 packet from host1 in a broadcast frame.
func ipv4(src netip.Addr, protocol uint8, payload ...byte) []byte {
	p := make([]byte, frame.IPv4HeaderLen, frame.IPv4HeaderLen+len(payload))
	from := src.As4()
	p[0], p[8], p[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)+len(payload)))
	copy(p[12:], from[:])
	copy(p[16:], []byte{255, 255, 255, 255})
	return ethernet(frame.Broadcast, host1.mac, frame.EtherTypeIPv4, append(p, payload...)...)
}

// edit sets a byte of the packet in an untagged frame.
func edit(eth []byte, at int, v byte) []byte {
	c := slices.Clone(eth)
	c[frame.EthernetHeaderLen+at] = v
	return c
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

// ipv6 is an IPv6 packet from host1 to a group.
func ipv6(src netip.Addr, next uint8, payload ...byte) []byte {
	p := make([]byte, frame.IPv6HeaderLen, frame.IPv6HeaderLen+len(payload))
	from := src.As16()
	p[0], p[6], p[7] = 0x60, next, 255
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	copy(p[8:], from[:])
	copy(p[24:], []byte{0xff, 2, 15: 1})
	return ethernet(
		frame.MAC{0x33, 0x33, 0, 0, 0, 1}, host1.mac, frame.EtherTypeIPv6, append(p, payload...)...,
	)
}

// extension is an extension header of 8 bytes before the payload.
func extension(next uint8, payload ...byte) []byte {
	return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, payload...)
}

// chain is that many destination options headers before the payload, and the type
// of the first.
func chain(n int, next uint8, payload ...byte) (first uint8, b []byte) {
	for range n {
		payload, next = extension(next, payload...), 60
	}
	return next, payload
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
