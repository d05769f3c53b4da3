package frame_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

var tagged = switchtest.Tagged

func arpBytes(op uint16, sender, target string) []byte {
	return switchtest.Ethernet(dstMAC, srcMAC, frame.EtherTypeARP, switchtest.ARPPacket(
		op, srcMAC, netip.MustParseAddr(sender), dstMAC, netip.MustParseAddr(target))...)
}

// from6 and to6 are the addresses of ipv6Packet.
var from6, to6 = netip.MustParseAddr("fd00::"), netip.MustParseAddr("fe00::")

func ipv6Packet(next uint8, payload ...byte) []byte {
	return switchtest.IPv6(to6, from6, next, payload...)
}

func ipv6Bytes(next uint8, payload ...byte) []byte {
	return append(ethernetOnly(frame.EtherTypeIPv6), ipv6Packet(next, payload...)...)
}

func ethernetOnly(etherType uint16) []byte {
	return switchtest.Ethernet(dstMAC, srcMAC, etherType)
}

func TestParsed(t *testing.T) {
	t.Parallel()
	const q, ad, old = switchtest.Dot1Q, switchtest.Dot1AD, switchtest.QinQ
	from, to := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	udp := packet{udp: true, payload: pattern(3)}.bytes(t)
	arp := arpBytes(2, "10.0.0.1", "10.0.0.2")
	sctp := edit(udp, 23, 132)
	fragment6 := func(offset uint16, more bool) []byte {
		return ipv6Bytes(44, switchtest.Fragment6(17, offset, more, udp[34:]...)...)
	}
	chain := func(n int) []byte {
		first, b := switchtest.Chain(n, 17, udp[34:]...)
		return ipv6Bytes(first, b...)
	}
	v4 := view{
		etherType: 0x800, offset: 14, network: frame.NetworkIPv4, src: from, dst: to, upper: true,
		protocol: 17, transport: 34, body: 11, ports: true, srcPort: 4000, dstPort: 5000,
	}
	arpView := view{
		etherType: 0x806, offset: 14, network: frame.NetworkARP, src: from, dst: to, op: 2,
	}
	v6 := view{
		etherType: 0x86dd, offset: 14, network: frame.NetworkIPv6, src: from6, dst: to6,
		upper: true, protocol: 17, transport: 54, body: 11,
		ports: true, srcPort: 4000, dstPort: 5000,
	}
	with := func(v view, change func(*view)) view {
		change(&v)
		return v
	}
	behind := func(v view, tags int) view {
		v.tags, v.offset = tags, v.offset+4*tags
		if v.upper {
			v.transport += 4 * tags
		}
		return v
	}
	noPorts := func(v *view) { v.ports, v.srcPort, v.dstPort = false, 0, 0 }
	malformed := func(etherType uint16) view {
		return view{etherType: etherType, offset: 14, network: frame.NetworkMalformed}
	}
	hidden := with(v6, func(v *view) {
		noPorts(v)
		v.upper, v.protocol, v.transport, v.body = false, 0, 0, 0
	})
	for _, tt := range []struct {
		name string
		eth  []byte
		want view
	}{
		{"UDP", udp, v4},
		{
			"UDP with options", packet{udp: true, ipOptions: true, payload: pattern(3)}.bytes(t),
			with(v4, func(v *view) { v.transport = 38 }),
		},
		{"TCP", packet{}.bytes(t), with(v4, func(v *view) { v.protocol, v.body = 6, 20 })},
		{"SCTP", sctp, with(with(v4, noPorts), func(v *view) { v.protocol = 132 })},
		{"half of the ports", udp[:37], with(with(v4, noPorts), func(v *view) { v.body = 3 })},
		{"ports alone", udp[:38], with(v4, func(v *view) { v.body = 4 })},
		{"header alone", udp[:34], with(with(v4, noPorts), func(v *view) { v.body = 0 })},
		{"total length that is wrong", edit(udp, 17, 0), v4},
		{"first fragment", edit(udp, 20, 0x20), with(v4, func(v *view) { v.fragment = true })},
		{
			"later fragment", edit(udp, 21, 1),
			with(with(v4, noPorts), func(v *view) { v.fragment, v.later = true, true }),
		},
		{
			"last fragment", edit(udp, 20, 0x1f),
			with(with(v4, noPorts), func(v *view) { v.fragment, v.later = true, true }),
		},
		{"don't fragment", edit(udp, 20, 0x40), v4},
		{"version 5", edit(udp, 14, 0x55), malformed(0x800)},
		{"header of 16 bytes", edit(udp, 14, 0x44), malformed(0x800)},
		{"header behind the end", edit(udp, 14, 0x4f), malformed(0x800)},
		{"19 bytes of IPv4", udp[:33], malformed(0x800)},
		{"no IPv4", udp[:14], malformed(0x800)},

		{"ARP", arp, arpView},
		{"ARP and padding", append(slices.Clone(arp), make([]byte, 18)...), arpView},
		{"27 bytes of ARP", arp[:len(arp)-1], malformed(0x806)},
		{"ARP of hardware type 6", edit(arp, 15, 6), malformed(0x806)},
		{"ARP of another protocol", edit(arp, 16, 9), malformed(0x806)},
		{"ARP of a hardware length of 8", edit(arp, 18, 8), malformed(0x806)},
		{"ARP of a protocol length of 16", edit(arp, 19, 16), malformed(0x806)},

		{"UDP over IPv6", ipv6Bytes(17, udp[34:]...), v6},
		{"IPv6 and padding", append(ipv6Bytes(17, udp[34:]...), 1, 2, 3), v6},
		{"IPv6 that is cut off", ipv6Bytes(17, udp[34:]...)[:64], malformed(0x86dd)},
		{"IPv6 of version 4", edit(ipv6Bytes(17, udp[34:]...), 14, 0x40), malformed(0x86dd)},
		{"39 bytes of IPv6", ipv6Bytes(17)[:53], malformed(0x86dd)},
		{
			"IPv6 without payload", ipv6Bytes(17),
			with(with(v6, noPorts), func(v *view) { v.body = 0 }),
		},
		{
			"no ports behind the payload", append(ipv6Bytes(17), udp[34:]...),
			with(with(v6, noPorts), func(v *view) { v.body = 0 }),
		},
		{"one extension header", chain(1), with(v6, func(v *view) { v.transport += 8 })},
		{"eight extension headers", chain(8), with(v6, func(v *view) { v.transport += 64 })},
		{"nine extension headers", chain(9), with(hidden, func(v *view) { v.tooMany = true })},
		{"extension header that is cut off", ipv6Bytes(0, switchtest.Extension(17)[:7]...), hidden},
		{"extension header that is too long", ipv6Bytes(0, 17, 1, 1, 4, 0, 0, 0, 0), hidden},
		{"first fragment of IPv6", fragment6(0, true), with(v6, func(v *view) {
			v.fragment, v.transport = true, 62
		})},
		{"later fragment of IPv6", fragment6(1, false), with(with(v6, noPorts), func(v *view) {
			v.fragment, v.later, v.transport = true, true, 62
		})},
		{
			"fragment that hides what follows", ipv6Bytes(44, 60, 0, 0, 1, 0, 0, 0, 0),
			with(hidden, func(v *view) { v.fragment = true }),
		},

		{"a priority tag", tagged(udp, q|0xe000), behind(v4, 1)},
		{"a provider's priority tag", tagged(arp, ad), behind(arpView, 1)},
		{"three priority tags", tagged(arp, ad, q, ad), behind(arpView, 3)},
		{
			"forty priority tags",
			tagged(ipv6Bytes(17, udp[34:]...), slices.Repeat([]uint32{q}, 40)...), behind(v6, 40),
		},
		{"VLAN 1", tagged(udp, q|1), with(behind(v4, 1), func(v *view) { v.vlan = true })},
		{"VLAN 0x800", tagged(udp, q|0x800), with(behind(v4, 1), func(v *view) { v.vlan = true })},
		{
			"VLAN behind a priority tag", tagged(arp, ad, q|5),
			with(behind(arpView, 2), func(v *view) { v.vlan = true }),
		},
		{
			"priority tag behind a VLAN", tagged(arp, ad|5, q),
			with(behind(arpView, 2), func(v *view) { v.vlan = true }),
		},
		{"old provider's tag", tagged(arp, old), view{etherType: 0x9100, offset: 14, vlan: true}},
		{
			"old provider's tag behind a priority tag", tagged(arp, q, old),
			view{etherType: 0x9100, offset: 18, tags: 1, vlan: true},
		},
		{
			"tag that is cut off", tagged(arp, q)[:17],
			view{etherType: 0x8100, offset: 14, vlan: true},
		},
		{
			"second tag that is cut off", tagged(arp, q, ad)[:18],
			view{etherType: 0x88a8, offset: 18, tags: 1, vlan: true},
		},
		{"tag alone", tagged(arp, q)[:18], behind(malformed(0x806), 1)},

		{"LLC", append(ethernetOnly(46), pattern(46)...), view{etherType: 46, offset: 14}},
		{"LLDP", ethernetOnly(0x88cc), view{etherType: 0x88cc, offset: 14}},
	} {
		var p frame.Parsed
		p.Reset(exact(tt.eth))
		if got := observe(&p); got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

// TestParsedPackets holds the views of whole packets against those of the
// functions that parse them.
func TestParsedPackets(t *testing.T) {
	t.Parallel()
	arp := arpBytes(1, "10.0.0.1", "10.0.0.2")
	v4 := append(packet{payload: pattern(30)}.bytes(t), 0, 0)
	v6 := append(packet{ipv6: true, payload: pattern(30)}.bytes(t), 0, 0)
	for _, tt := range []struct {
		name string
		eth  []byte
		want [3]int // bytes of ARP, IPv4 and IPv6; 0: none
	}{
		{"ARP", tagged(arp, switchtest.Dot1Q), [3]int{28, 0, 0}},
		{"IPv4", v4, [3]int{0, len(v4) - 16, 0}},
		{"IPv4 that is longer than the frame", edit(v4, 16, 9), [3]int{}},
		{"IPv6", v6, [3]int{0, 0, len(v6) - 16}},
		{"IPv6 that is longer than the frame", edit(v6, 18, 9), [3]int{}},
		{"ARP that is cut off", arp[:41], [3]int{}},
		{"other", ethernetOnly(0x88cc), [3]int{}},
	} {
		var p frame.Parsed
		p.Reset(exact(tt.eth))
		a, aOK := p.ARP()
		b, bOK := p.IPv4()
		c, cOK := p.IPv6()
		got, ok := [3]int{len(a), len(b), len(c)}, [3]bool{aOK, bOK, cOK}
		if got != tt.want || ok != [3]bool{len(a) > 0, len(b) > 0, len(c) > 0} {
			t.Errorf("%s: %v bytes, %v; want %v", tt.name, got, ok, tt.want)
		}
		all := slices.Concat([]byte(a), []byte(b), []byte(c))
		if !bytes.Equal(all, tt.eth[p.Offset:][:len(all)]) {
			t.Errorf("%s: not the packet", tt.name)
		}
	}
}

func TestARPSender(t *testing.T) {
	t.Parallel()
	arp := arpBytes(2, "10.0.0.1", "10.0.0.2")
	for _, tt := range []struct {
		name string
		eth  []byte
		want uint32
	}{
		{"Ethernet", arp, 0x0a000001},
		{"IEEE 802, which Linux takes too", edit(arp, 15, 6), 0x0a000001},
		{"behind tags", tagged(edit(arp, 15, 6), switchtest.Dot1Q, switchtest.Dot1AD), 0x0a000001},
		{"InfiniBand", edit(arp, 15, 32), 0},
		{"another protocol", edit(edit(arp, 15, 6), 16, 9), 0},
		{"cut off", edit(arp, 15, 6)[:41], 0},
		{"broken IPv4", append(ethernetOnly(0x800), edit(arp, 15, 6)[14:]...), 0},
		{"IPv4", packet{}.bytes(t), 0},
	} {
		var p frame.Parsed
		p.Reset(exact(tt.eth))
		if got, ok := p.ARPSender(); got != tt.want || ok != (tt.want != 0) {
			t.Errorf("%s: %#x, %v; want %#x", tt.name, got, ok, tt.want)
		}
	}
}

// TestPlain: frames at fixed places are told from others, and read alike.
func TestPlain(t *testing.T) {
	t.Parallel()
	udp, udp6 := packet{udp: true}.bytes(t), packet{udp: true, ipv6: true}.bytes(t)
	for _, tt := range []struct {
		name   string
		eth    []byte
		v4, v6 bool
	}{
		{"UDP", udp, true, false},
		{"fragment", edit(udp, 21, 1), true, false},
		{"7 bytes of UDP", udp[:41], false, false},
		{"options", packet{udp: true, ipOptions: true}.bytes(t), false, false},
		{"version 6", edit(udp, 14, 0x65), false, false},
		{"tag", tagged(udp, switchtest.Dot1Q), false, false},
		{"ARP", arpBytes(1, "10.0.0.1", "10.0.0.2"), false, false},
		{"UDP over IPv6", udp6, false, true},
		{"version 4", edit(udp6, 14, 0x40), false, false},
		{"payload of 7 bytes", edit(udp6, 19, 7), false, false},
		{"payload that is cut off", edit(udp6, 19, 9), false, false},
		{"61 bytes", udp6[:61], false, false},
		{"tagged IPv6", tagged(udp6, switchtest.Dot1Q), false, false},
	} {
		var p frame.Parsed
		p.Reset(exact(tt.eth))
		if p.PlainIPv4() != nil != tt.v4 || p.PlainIPv6() != nil != tt.v6 {
			t.Errorf(
				"%s: plain IPv4 %v, IPv6 %v; want %v, %v", tt.name, p.PlainIPv4() != nil,
				p.PlainIPv6() != nil, tt.v4, tt.v6,
			)
		}
		checkPlain(t, &p)
	}
}

// checkPlain compares the views on plain packets with the others.
func checkPlain(t *testing.T, p *frame.Parsed) {
	t.Helper()
	if h := p.PlainIPv4(); h != nil {
		if p.Network() != frame.NetworkIPv4 || p.Tags != 0 || p.VLAN ||
			h.Src() != p.Src4 || h.Protocol() != p.Protocol || h.Later() != p.Later ||
			p.Ports() && h.DstPort() != p.DstPort {
			t.Errorf("plain IPv4 %x is read as %+v", h[:], *p)
		}
	}
	if h := p.PlainIPv6(); h != nil {
		if p.Network() != frame.NetworkIPv6 || p.Tags != 0 || p.VLAN || h.Src() != p.Src6 {
			t.Errorf("plain IPv6 %x is read as %+v", h[:], *p)
		}
		if n := h.NextHeader(); n == frame.ProtoTCP || n == frame.ProtoUDP {
			if !p.Ports() || p.Protocol != n || h.DstPort() != p.DstPort || p.Later {
				t.Errorf("plain IPv6 %x is read as %+v", h[:], *p)
			}
		}
	}
}

func TestAddressesAsNumbers(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0.0.0.0", "172.17.0.2", "255.255.255.255"} {
		a := netip.MustParseAddr(s)
		b := a.As4()
		v := frame.Uint32(a)
		if v != binary.BigEndian.Uint32(b[:]) || frame.AddrFromUint32(v) != a {
			t.Errorf("%s became %#x and %s", a, v, frame.AddrFromUint32(v))
		}
	}
	for _, s := range []string{"::", "fd00:1:2:3:4:5:6:7", "::ffff:1.2.3.4"} {
		a := netip.MustParseAddr(s)
		b := a.As16()
		want := frame.Addr6{Hi: binary.BigEndian.Uint64(b[:]), Lo: binary.BigEndian.Uint64(b[8:])}
		if v := frame.Addr6From(a); v != want || v.Addr() != a {
			t.Errorf("%s became %x and %s", a, v, v.Addr())
		}
	}
	if frame.Uint32(netip.MustParseAddr("fd00::1")) != 0 || frame.Uint32(netip.Addr{}) != 0 ||
		frame.Addr6From(netip.Addr{}) != (frame.Addr6{}) {
		t.Error("what is no address of the kind is not zero")
	}
}
