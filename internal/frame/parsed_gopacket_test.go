package frame_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
	"vswitch/test/lab/seed"
)

// TestParsedAgainstGopacket on frames as hosts send them.
func TestParsedAgainstGopacket(t *testing.T) {
	t.Parallel()
	r := seed.New(t)
	var p frame.Parsed
	for range 1000 {
		k := packet{
			udp: r.IntN(2) == 0, ipv6: r.IntN(2) == 0, ipOptions: r.IntN(2) == 0,
			extensions: r.IntN(2),
			payload:    pattern(r.IntN(100)),
		}
		for range r.IntN(3) {
			k.tags = append(k.tags, uint16(r.IntN(2)*r.IntN(4096)))
		}
		eth := k.bytes(t)
		want := gopacketView(t, eth)
		p.Reset(eth)
		if got := observe(&p); got != want {
			t.Fatalf("%+v:\n got %+v\nwant %+v", k, got, want)
		}
	}
}

// gopacketView is what gopacket says of a frame of TCP or UDP.
func gopacketView(t *testing.T, eth []byte) view {
	t.Helper()
	var v view
	for _, l := range gopacket.NewPacket(eth, layers.LayerTypeEthernet, gopacket.Default).Layers() {
		switch l := l.(type) {
		case *layers.Ethernet:
			v.etherType, v.offset = uint16(l.EthernetType), len(l.Contents)
		case *layers.Dot1Q:
			v.tags++
			v.vlan = v.vlan || l.VLANIdentifier != 0
			v.etherType, v.offset = uint16(l.Type), v.offset+len(l.Contents)
		case *layers.IPv4:
			v.network, v.protocol = frame.NetworkIPv4, uint8(l.Protocol)
			v.src, _ = netip.AddrFromSlice(l.SrcIP.To4())
			v.dst, _ = netip.AddrFromSlice(l.DstIP.To4())
			v.transport = v.offset + len(l.Contents)
		case *layers.IPv6:
			v.network, v.protocol = frame.NetworkIPv6, uint8(l.NextHeader)
			v.src, _ = netip.AddrFromSlice(l.SrcIP)
			v.dst, _ = netip.AddrFromSlice(l.DstIP)
			v.transport = v.offset + len(l.Contents)
		case *layers.IPv6Destination:
			v.protocol, v.transport = uint8(l.NextHeader), v.transport+len(l.Contents)
		case *layers.TCP:
			v.upper, v.ports, v.srcPort, v.dstPort = true, true, uint16(l.SrcPort), uint16(
				l.DstPort,
			)
		case *layers.UDP:
			v.upper, v.ports, v.srcPort, v.dstPort = true, true, uint16(l.SrcPort), uint16(
				l.DstPort,
			)
		}
	}
	if !v.ports {
		t.Fatalf("gopacket finds no ports in %x", eth)
	}
	v.body = len(eth) - v.transport
	return v
}

func TestParsedAllocs(t *testing.T) {
	var frames []frame.Ethernet
	for _, k := range []packet{
		{},
		{udp: true, ipOptions: true},
		{ipv6: true, extensions: 3},
		{udp: true, tags: []uint16{0, 5}},
	} {
		frames = append(frames, k.bytes(t))
	}
	frames = append(
		frames, arpBytes(1, "10.0.0.1", "10.0.0.2"), ethernetOnly(0x8100), ethernetOnly(0x800),
	)
	p, ports := new(frame.Parsed), 0
	if n := testing.AllocsPerRun(100, func() {
		for _, eth := range frames {
			for _, ask := range levels {
				p.Reset(eth)
				ask(p)
			}
			if p.Reset(eth); p.Ports() {
				ports++
			}
		}
	}); n != 0 || ports == 0 {
		t.Errorf("%v allocations per run, %d frames with ports", n, ports)
	}
}
