package frame_test

import (
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

func TestUpper(t *testing.T) {
	t.Parallel()
	const hop, routing, fragment, esp, ah, destination, mobility = 0, 43, 44, 50, 51, 60, 135
	const tcp, icmp, unknown, noNext = frame.ProtoTCP, frame.ProtoICMPv6, 200, 59
	ext := switchtest.Extension
	frag := func(next, high, low uint8, more ...byte) []byte {
		return append([]byte{next, 0, high, low, 0, 0, 0, 1}, more...)
	}
	header := make([]byte, 20)
	wide := append([]byte{tcp, 2}, make([]byte, 22+20)...)
	authenticated := append([]byte{tcp, 4}, make([]byte, 22+20)...) // (4+2)*4 bytes
	first8, eight := switchtest.Chain(frame.MaxExtensions, tcp, header...)
	first9, nine := switchtest.Chain(frame.MaxExtensions+1, tcp, header...)
	for _, tt := range []struct {
		name   string
		packet []byte
		want   upper
		ok     bool
	}{
		{"none", ipv6Packet(tcp, header...), upper{Protocol: tcp, Offset: 40}, true},
		{"no payload", ipv6Packet(tcp), upper{Protocol: tcp, Offset: 40}, true},
		{"no next header", ipv6Packet(noNext), upper{Protocol: noNext, Offset: 40}, true},
		{"unknown", ipv6Packet(unknown, header...), upper{Protocol: unknown, Offset: 40}, true},
		{"encrypted", ipv6Packet(esp, header...), upper{Protocol: esp, Offset: 40}, true},
		{"hop-by-hop and routing", ipv6Packet(hop, ext(routing, ext(icmp, header...)...)...), upper{Protocol: icmp, Offset: 56}, true},
		{"mobility", ipv6Packet(mobility, ext(tcp, header...)...), upper{Protocol: tcp, Offset: 48}, true},
		{"24 bytes of options", ipv6Packet(destination, wide...), upper{Protocol: tcp, Offset: 64}, true},
		{"authentication", ipv6Packet(ah, authenticated...), upper{Protocol: tcp, Offset: 64}, true},
		{"as many as are read", ipv6Packet(first8, eight...), upper{Protocol: tcp, Offset: 104}, true},
		{"one more", ipv6Packet(first9, nine...), upper{}, false},
		{"first fragment", ipv6Packet(fragment, frag(tcp, 0, 1, header...)...), upper{Protocol: tcp, Offset: 48, Fragment: true}, true},
		{"reserved bits are no offset", ipv6Packet(fragment, frag(tcp, 0, 6, header...)...), upper{Protocol: tcp, Offset: 48, Fragment: true}, true},
		{"later fragment", ipv6Packet(fragment, frag(hop, 0, 8, 1, 2, 3)...), upper{Protocol: hop, Offset: 48, Fragment: true, Later: true}, true},
		{"last fragment", ipv6Packet(hop, ext(fragment, frag(tcp, 0xff, 0xf8)...)...), upper{Protocol: tcp, Offset: 56, Fragment: true, Later: true}, true},
		{"chain ends with the packet", ipv6Packet(hop, ext(tcp)...), upper{Protocol: tcp, Offset: 48}, true},
		{"extension header missing", ipv6Packet(hop), upper{}, false},
		{"extension header cut off", ipv6Packet(hop, ext(tcp)[:7]...), upper{}, false},
		{"options behind the end", ipv6Packet(hop, tcp, 1, 0, 0, 0, 0, 0, 0), upper{}, false},
		{"fragment header cut off", ipv6Packet(fragment, frag(tcp, 0, 1)[:7]...), upper{Fragment: true}, false},
		{"options missing in the first fragment", ipv6Packet(fragment, frag(hop, 0, 1)...), upper{Fragment: true}, false},
	} {
		if got, ok := upperOf(t, tt.packet); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v; want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// upper is what a packet has behind its extension headers; Offset counts from its begin.
type upper struct {
	Protocol        uint8
	Offset          int
	Fragment, Later bool
}

// upperOf reads an IPv6 packet.
func upperOf(t *testing.T, packet []byte) (u upper, ok bool) {
	t.Helper()
	eth := append(ethernetOnly(frame.EtherTypeIPv6), packet...)
	var p frame.Parsed
	p.Reset(exact(eth))
	if p.Network() != frame.NetworkIPv6 {
		t.Fatalf("not a packet: % x", packet)
	}
	ok = p.Upper()
	u = upper{Fragment: p.Fragment}
	if ok {
		u = upper{p.Protocol, int(p.Transport) - frame.EthernetHeaderLen, p.Fragment, p.Later}
	}
	return u, ok
}

func TestIPv4IsFragment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field uint16
		part  bool
	}{{0, false}, {0x4000, false}, {0x2000, true}, {0x2001, true}, {0x1fff, true}} {
		p := frame.IPv4(make([]byte, frame.IPv4HeaderLen))
		p[6], p[7] = byte(tt.field>>8), byte(tt.field)
		if p.IsFragment() != tt.part {
			t.Errorf("%#04x: a fragment %v; want %v", tt.field, p.IsFragment(), tt.part)
		}
	}
}
