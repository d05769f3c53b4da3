package switchtest_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

var (
	dst, src = switchtest.MAC(2), switchtest.MAC(1)
	to4      = netip.MustParseAddrPort("10.0.0.2:53")
	from4    = netip.MustParseAddrPort("10.0.0.1:4000")
	to6      = netip.MustParseAddrPort("[fd00::2]:53")
	from6    = netip.MustParseAddrPort("[fd00::1]:4000")
)

// decode returns the names of a frame's layers, as gopacket finds them.
func decode(t *testing.T, eth []byte) (gopacket.Packet, string) {
	t.Helper()
	p := gopacket.NewPacket(eth, layers.LayerTypeEthernet, gopacket.Default)
	if fail := p.ErrorLayer(); fail != nil {
		t.Fatalf("% x does not decode: %v", eth, fail.Error())
	}
	var names []string
	for _, l := range p.Layers() {
		names = append(names, l.LayerType().String())
	}
	return p, strings.Join(names, " ")
}

// sum is the one's complement sum of RFC 1071, 0xffff over what has its checksum in it.
func sum(b ...byte) (s uint32) {
	if len(b)%2 == 1 {
		b = append(slices.Clone(b), 0)
	}
	for ; len(b) > 0; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return s
}

// sums returns the sums over the IPv4 header, if there is one, and over the payload of IP.
func sums(p gopacket.Packet) (header, payload uint32) {
	network := p.NetworkLayer()
	b := network.LayerPayload()
	src, dst := network.NetworkFlow().Endpoints()
	pseudo := slices.Concat(src.Raw(), dst.Raw(), []byte{byte(len(b) >> 8), byte(len(b))})
	switch l := network.(type) {
	case *layers.IPv4:
		if header = sum(l.Contents...); l.Protocol == layers.IPProtocolICMPv4 {
			return header, sum(b...)
		}
		return header, sum(append(append(pseudo, 0, byte(l.Protocol)), b...)...)
	case *layers.IPv6:
		return 0xffff, sum(append(append(pseudo, 0, byte(l.NextHeader)), b...)...)
	}
	return 0, 0
}

func TestWholeFrames(t *testing.T) {
	t.Parallel()
	text := []byte("odd")
	solicitation := switchtest.Neighbour(135, to6.Addr(), switchtest.LinkLayer(1, src)...)
	for name, test := range map[string]struct {
		eth    []byte
		layers string
		size   int
	}{
		"echo": {
			switchtest.Echo(dst, src, to4.Addr(), from4.Addr(), text),
			"Ethernet IPv4 ICMPv4 Payload", 14 + 20 + 8 + 3,
		},
		"echo of IPv6": {
			switchtest.Echo(dst, src, to6.Addr(), from6.Addr(), text),
			"Ethernet IPv6 ICMPv6 ICMPv6Echo", 14 + 40 + 8 + 3,
		},
		"UDP": {switchtest.UDP(dst, src, to4, from4, nil), "Ethernet IPv4 UDP", 14 + 20 + 8},
		"UDP over IPv6": {
			switchtest.UDP(dst, src, to6, from6, nil), "Ethernet IPv6 UDP", 14 + 40 + 8,
		},
		"TCP": {
			switchtest.TCP(dst, src, to4, from4, 5, text), "Ethernet IPv4 TCP Payload", 14 + 20 + 20 + 3,
		},
		"ND": {
			switchtest.ND(dst, src, to6.Addr(), from6.Addr(), solicitation...),
			"Ethernet IPv6 ICMPv6 ICMPv6NeighborSolicitation", 14 + 40 + 24 + 8,
		},
	} {
		p, got := decode(t, test.eth)
		if got != test.layers || len(test.eth) != test.size {
			t.Errorf("%s: %q of %d bytes, want %q of %d", name, got, len(test.eth), test.layers, test.size)
			continue
		}
		if header, payload := sums(p); header != 0xffff || payload != 0xffff {
			t.Errorf("%s: sums %#x and %#x, want 0xffff", name, header, payload)
		}
		from, to := from4, to4
		if strings.Contains(got, "IPv6") {
			from, to = from6, to6
		}
		if flow := p.NetworkLayer().NetworkFlow(); flow.Src().String() != from.Addr().String() ||
			flow.Dst().String() != to.Addr().String() {
			t.Errorf("%s: %s, want from %s to %s", name, flow, from.Addr(), to.Addr())
		}
		if e := frame.Ethernet(test.eth); e.Dst() != dst || e.Src() != src {
			t.Errorf("%s: from %s to %s", name, e.Src(), e.Dst())
		}
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	h := switchtest.Host1
	first, chain := switchtest.Chain(2, 59)
	later := switchtest.Fragment6(frame.ProtoUDP, 1, false, 1, 2, 3)
	udp := h.IPv4(h.IP, frame.ProtoUDP, switchtest.Ports(1, 2)...)
	fragment := switchtest.Fragment(udp, 3, true)
	arp := switchtest.ARP(h.MAC, h.IP, h.Other)
	tagged := switchtest.Tagged(arp, switchtest.Dot1AD|7, switchtest.Dot1Q)
	const option = " IPv6Destination"
	for name, test := range map[string]struct {
		eth    []byte
		layers string // the first
	}{
		"ARP":           {arp, "Ethernet ARP"},
		"tagged":        {tagged, "Ethernet Dot1Q Dot1Q ARP"},
		"fragment":      {fragment, "Ethernet IPv4 Fragment"},
		"chain":         {h.IPv6(h.IP6, first, chain...), "Ethernet IPv6" + option + option},
		"IPv6 fragment": {h.IPv6(h.IP6, 44, later...), "Ethernet IPv6 IPv6Fragment Fragment"},
	} {
		if _, got := decode(t, test.eth); !strings.HasPrefix(got, test.layers) {
			t.Errorf("%s: %q, want %q", name, got, test.layers)
		}
	}
	p, _ := decode(t, switchtest.To(dst, switchtest.Tagged(fragment, switchtest.Dot1Q|0xe005)))
	tag, ip := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q), p.NetworkLayer().(*layers.IPv4)
	if tag.Priority != 7 || tag.VLANIdentifier != 5 || ip.FragOffset != 3 ||
		ip.Flags != layers.IPv4MoreFragments || frame.Ethernet(p.Data()).Dst() != dst {
		t.Errorf("tag %+v, packet %+v", tag, ip)
	}
	raw := switchtest.Raw(switchtest.Frame(dst, src, "text"))
	header, eth, ok := frame.ParseVNet(raw)
	if !ok || !header.Plain() || len(eth) != 60 || switchtest.Text(eth) != "text" {
		t.Errorf("the frame with a text is % x", raw)
	}
}
