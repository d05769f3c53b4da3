package frame_test

import (
	"slices"
	"testing"

	"vswitch/frame"
)

// ipv6Packet is an IPv6 packet with that payload.
func ipv6Packet(next uint8, payload ...byte) []byte {
	p := make([]byte, frame.IPv6HeaderLen, frame.IPv6HeaderLen+len(payload))
	p[0], p[4], p[5], p[6] = 0x60, byte(len(payload)>>8), byte(len(payload)), next
	return append(p, payload...)
}

func TestUpper(t *testing.T) {
	t.Parallel()
	const hop, routing, fragment, esp, ah, destination, mobility = 0, 43, 44, 50, 51, 60, 135
	const tcp, icmp, unknown, noNext = frame.ProtoTCP, frame.ProtoICMPv6, 200, 59
	ext := func(next uint8, more ...byte) []byte { return append([]byte{next, 0, 0, 0, 0, 0, 0, 0}, more...) }
	frag := func(next, high, low uint8, more ...byte) []byte {
		return append([]byte{next, 0, high, low, 0, 0, 0, 1}, more...)
	}
	header := make([]byte, 20)
	wide := append([]byte{tcp, 2}, make([]byte, 22+20)...)
	authenticated := append([]byte{tcp, 4}, make([]byte, 22+20)...) // (4+2)*4 bytes
	chain, next := header, uint8(tcp)
	for range 100 {
		chain, next = ext(next, chain...), destination
	}
	for _, tt := range []struct {
		name   string
		packet []byte
		want   frame.Upper
		ok     bool
	}{
		{"none", ipv6Packet(tcp, header...), frame.Upper{Protocol: tcp, Offset: 40}, true},
		{"no payload", ipv6Packet(tcp), frame.Upper{Protocol: tcp, Offset: 40}, true},
		{"no next header", ipv6Packet(noNext), frame.Upper{Protocol: noNext, Offset: 40}, true},
		{"unknown", ipv6Packet(unknown, header...), frame.Upper{Protocol: unknown, Offset: 40}, true},
		{"encrypted", ipv6Packet(esp, header...), frame.Upper{Protocol: esp, Offset: 40}, true},
		{"hop-by-hop and routing", ipv6Packet(hop, ext(routing, ext(icmp, header...)...)...), frame.Upper{Protocol: icmp, Offset: 56}, true},
		{"mobility", ipv6Packet(mobility, ext(tcp, header...)...), frame.Upper{Protocol: tcp, Offset: 48}, true},
		{"24 bytes of options", ipv6Packet(destination, wide...), frame.Upper{Protocol: tcp, Offset: 64}, true},
		{"authentication", ipv6Packet(ah, authenticated...), frame.Upper{Protocol: tcp, Offset: 64}, true},
		{"a hundred", ipv6Packet(next, chain...), frame.Upper{Protocol: tcp, Offset: 840}, true},
		{"first fragment", ipv6Packet(fragment, frag(tcp, 0, 1, header...)...), frame.Upper{Protocol: tcp, Offset: 48, Fragment: true}, true},
		{"reserved bits are no offset", ipv6Packet(fragment, frag(tcp, 0, 6, header...)...), frame.Upper{Protocol: tcp, Offset: 48, Fragment: true}, true},
		{"later fragment", ipv6Packet(fragment, frag(hop, 0, 8, 1, 2, 3)...), frame.Upper{Protocol: hop, Offset: 48, Fragment: true, Later: true}, true},
		{"last fragment", ipv6Packet(hop, ext(fragment, frag(tcp, 0xff, 0xf8)...)...), frame.Upper{Protocol: tcp, Offset: 56, Fragment: true, Later: true}, true},
		{"chain ends with the packet", ipv6Packet(hop, ext(tcp)...), frame.Upper{Protocol: tcp, Offset: 48}, true},
		{"extension header missing", ipv6Packet(hop), frame.Upper{Protocol: hop, Offset: 40}, false},
		{"extension header cut off", ipv6Packet(hop, ext(tcp)[:7]...), frame.Upper{Protocol: hop, Offset: 40}, false},
		{"options behind the end", ipv6Packet(hop, tcp, 1, 0, 0, 0, 0, 0, 0), frame.Upper{Protocol: tcp, Offset: 56}, false},
		{"fragment header cut off", ipv6Packet(fragment, frag(tcp, 0, 1)[:7]...), frame.Upper{Protocol: fragment, Offset: 40, Fragment: true}, false},
		{"options missing in the first fragment", ipv6Packet(fragment, frag(hop, 0, 1)...), frame.Upper{Protocol: hop, Offset: 48, Fragment: true}, false},
	} {
		p, ok := frame.ParseIPv6(exact(tt.packet))
		if !ok {
			t.Fatalf("%s: not a packet", tt.name)
		}
		if got, ok := p.Upper(); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v; want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzUpper: whatever the chain, it ends inside the packet or is refused.
func FuzzUpper(f *testing.F) {
	f.Add(ipv6Packet(0, 44, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 1, 0, 0, 0, 0))
	f.Add(ipv6Packet(51, 6, 255, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := frame.ParseIPv6(exact(b))
		if !ok {
			return
		}
		if u, ok := p.Upper(); ok && (u.Offset < frame.IPv6HeaderLen || u.Offset > len(p) || u.Later && !u.Fragment) {
			t.Errorf("%+v of a packet of %d bytes", u, len(p))
		}
	})
}

func TestNetworkBehindTags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		tags []uint16
		want uint16
		at   int
	}{
		{nil, frame.EtherTypeIPv4, 14},
		{[]uint16{5}, frame.EtherTypeIPv4, 18},
		{[]uint16{5, 6}, frame.EtherTypeIPv4, 22},
		{[]uint16{5, 6, 7}, frame.EtherTypeVLAN, 22},
	} {
		eth := packet{tags: tt.tags, payload: pattern(40)}.bytes(t)
		etherType, b := frame.Ethernet(eth).Network()
		if etherType != tt.want && etherType != frame.EtherTypeQinQ || !slices.Equal(b, eth[tt.at:]) {
			t.Errorf("%d tags: type %#x and %d bytes, want %#x and %d", len(tt.tags), etherType, len(b), tt.want, len(eth)-tt.at)
		}
	}
	bare := ethernetOnly(frame.EtherTypeVLAN)
	if etherType, b := frame.Ethernet(bare).Network(); etherType != frame.EtherTypeVLAN || len(b) != 0 {
		t.Errorf("a tag that is cut off: type %#x and %d bytes", etherType, len(b))
	}
}

func ethernetOnly(etherType uint16) []byte {
	b := make([]byte, frame.EthernetHeaderLen)
	frame.Ethernet(b).SetEtherType(etherType)
	return b
}

func TestIPv4IsLaterFragment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field       uint16
		part, later bool
	}{{0, false, false}, {0x4000, false, false}, {0x2000, true, false}, {0x2001, true, true}, {0x1fff, true, true}} {
		p := frame.IPv4(make([]byte, frame.IPv4HeaderLen))
		p[6], p[7] = byte(tt.field>>8), byte(tt.field)
		if p.IsFragment() != tt.part || p.IsLaterFragment() != tt.later {
			t.Errorf("%#04x: a fragment %v, a later one %v; want %v, %v", tt.field, p.IsFragment(), p.IsLaterFragment(), tt.part, tt.later)
		}
	}
}
