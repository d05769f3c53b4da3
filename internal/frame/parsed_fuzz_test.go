package frame_test

import (
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// FuzzParsed: whatever the bytes, and in whatever order the levels are asked for,
// the view is that of an oracle, and nothing is read beyond the frame. The same
// view has read another frame before.
func FuzzParsed(f *testing.F) {
	ext := switchtest.Extension(60)
	for i, seed := range [][]byte{
		packet{udp: true}.bytes(f),
		packet{tags: []uint16{0, 5}, ipOptions: true}.bytes(f),
		packet{ipv6: true, extensions: 2}.bytes(f),
		packet{ipv6: true, udp: true, extensions: 8}.bytes(f),
		packet{ipv6: true, udp: true, extensions: 9}.bytes(f),
		arpBytes(1, "10.0.0.1", "10.0.0.2"),
		tagged(
			arpBytes(2, "10.0.0.1", "10.0.0.2"),
			switchtest.Dot1Q, switchtest.Dot1AD, switchtest.Dot1Q,
		),
		ipv6Bytes(44, 17, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8),
		ipv6Bytes(44, 17, 0, 0, 9, 0, 0, 0, 0, 1, 2, 3, 4),
		ipv6Bytes(51, slices.Concat([]byte{60, 1, 0, 0}, make([]byte, 8), ext, ext)...),
		ethernetOnly(0x8100), ethernetOnly(0x9100), ethernetOnly(0x86dd), ethernetOnly(46),
	} {
		f.Add(seed, uint64(i)*0x9e3779b97f4a7c15)
	}
	p := new(frame.Parsed)
	f.Fuzz(func(t *testing.T, b []byte, order uint64) {
		eth, ok := frame.ParseEthernet(exact(b))
		if !ok {
			return
		}
		want := naive(eth)
		p.Reset(eth)
		for ; order != 0; order /= uint64(len(levels)) {
			levels[order%uint64(len(levels))](p)
		}
		if got := observe(p); got != want {
			t.Errorf("%x:\n got %+v\nwant %+v", b, got, want)
		}
		checkPlain(t, p)
		if got := observe(p); got != want {
			t.Errorf("%x: asked again:\n got %+v\nwant %+v", b, got, want)
		}
		if a, ok := p.IPv4(); ok && want.network != frame.NetworkIPv4 {
			t.Errorf("IPv4 of %d bytes in %+v", len(a), want)
		}
		isIPv6, isARP := want.network == frame.NetworkIPv6, want.network == frame.NetworkARP
		if a, ok := p.IPv6(); ok != isIPv6 || len(a) > len(eth)-want.offset {
			t.Errorf("IPv6 of %d bytes in %+v", len(a), want)
		}
		if a, ok := p.ARP(); ok != isARP || ok && len(a) != frame.ARPLen {
			t.Errorf("ARP of %d bytes in %+v", len(a), want)
		}
	})
}

// BenchmarkParsed reads one frame after the other as far as Network or Ports.
func BenchmarkParsed(b *testing.B) {
	for _, test := range []struct {
		name string
		eth  []byte
	}{
		{"IPv4 UDP", packet{udp: true, payload: pattern(18)}.bytes(b)},
		{"IPv4 options", packet{udp: true, ipOptions: true, payload: pattern(18)}.bytes(b)},
		{"IPv6 UDP", packet{udp: true, ipv6: true, payload: pattern(18)}.bytes(b)},
		{
			"IPv6 two extensions",
			packet{udp: true, ipv6: true, extensions: 2, payload: pattern(18)}.bytes(b),
		},
		{"priority tag", packet{udp: true, tags: []uint16{0}, payload: pattern(18)}.bytes(b)},
		{"ARP", arpBytes(1, "10.0.0.1", "10.0.0.2")},
	} {
		b.Run("Network/"+test.name, func(b *testing.B) {
			p, n := new(frame.Parsed), 0
			for b.Loop() {
				if p.Reset(test.eth); p.Network() != frame.NetworkOther {
					n++
				}
			}
			if n != b.N {
				b.Errorf("%d of %d frames were read", n, b.N)
			}
		})
		b.Run("Ports/"+test.name, func(b *testing.B) {
			p := new(frame.Parsed)
			for b.Loop() {
				p.Reset(test.eth)
				p.Ports()
			}
		})
	}
}
