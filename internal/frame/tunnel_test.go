package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

const (
	tunnel4   = frame.VNetGSOTunnelIPv4
	tunnel6   = frame.VNetGSOTunnelIPv6
	tunnelSum = frame.VNetTunnelChecksum
)

// tunnels are all that a Linux sender's VXLAN device makes around super-frames.
func tunnels() map[string]switchtest.Tunnel {
	all := make(map[string]switchtest.Tunnel)
	for _, ends := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
		for _, without := range []bool{false, true} {
			all[fmt.Sprintf("from %s, no checksum %t", ends[0], without)] = switchtest.Tunnel{
				To: dstMAC, From: srcMAC, NoChecksum: without,
				Src: netip.MustParseAddr(ends[0]), Dst: netip.MustParseAddr(ends[1]),
			}
		}
	}
	return all
}

// superIn is p as a super-frame inside of a tunnel.
func superIn(t testing.TB, tunnel switchtest.Tunnel, p packet, size int) (frame.VNet, []byte) {
	t.Helper()
	h, eth := p.partial(t, size)
	h, eth, ok := frame.ParseVNet(tunnel.Super(slices.Concat(h, eth), p.id))
	if !ok {
		t.Fatal("no virtio-net header")
	}
	return exact(h), exact(eth)
}

// overAllTunnels runs f with all kinds of packets in all tunnels.
func overAllTunnels(f func(name string, tunnel switchtest.Tunnel, p packet)) {
	for around, tunnel := range tunnels() {
		for _, p := range packetKinds() {
			f(around+", "+kind(p), tunnel, p)
		}
	}
}

// Fields lie where struct virtio_net_hdr_v1_hash_tunnel has them (include/uapi/linux/virtio_net.h).
func TestTunnelFields(t *testing.T) {
	t.Parallel()
	h := make(frame.VNet, frame.VNetHeaderLen)
	h.Set(needs|tunnelSum, tcp6|tunnel4|ecn, 1, 2, 3, 4)
	if h.SetTunnel(0x0506, 0x0708); h[20] != 6 || h[21] != 5 || h[22] != 8 || h[23] != 7 {
		t.Errorf("the header is % x", []byte(h))
	}
	if !h.Tunnel() || h.GSOType() != tcp6 || h.OuterTransport() != 0x0506 || h.InnerNetwork() != 0x0708 {
		t.Errorf("% x: tunnel %v, type %d, offsets %#x and %#x",
			[]byte(h), h.Tunnel(), h.GSOType(), h.OuterTransport(), h.InnerNetwork())
	}
	if h.Plain() || header(needs, tcp6, 0, 0, 0, 0).Tunnel() {
		t.Error("a tunnel's header is plain, or another's is a tunnel's")
	}
}

func TestTunnelValidAcceptsSenders(t *testing.T) {
	t.Parallel()
	overAllTunnels(func(name string, tunnel switchtest.Tunnel, p packet) {
		p.payload = pattern(3000)
		h, eth := superIn(t, tunnel, p, 1000)
		// The kernel writes the linear length, between no header and all.
		for _, linear := range []int{0, 14, int(h.CsumStart()) + 8, len(eth)} {
			h.Set(h.Flags(), h[1], uint16(linear), 1000, h.CsumStart(), h.CsumOffset())
			if !h.Valid(eth) {
				t.Errorf("%s: hdr_len %d is refused", name, linear)
			}
		}
	})
}

// tunnelHeader has the fields of the virtio-net header of a tunnel's super-frame.
type tunnelHeader struct {
	flags, gso                                                uint8
	hdrLen, size, start, offset, outerTransport, innerNetwork int
}

func (f tunnelHeader) header() frame.VNet {
	h := header(f.flags, f.gso, f.hdrLen, f.size, f.start, f.offset)
	h.SetTunnel(uint16(f.outerTransport), uint16(f.innerNetwork))
	return h
}

// Where the headers lie in the tunnel's super-frames of TestTunnelValid: Ethernet, IPv4, UDP and
// VXLAN outside, Ethernet, IPv4 or IPv6, TCP or UDP inside.
const (
	outerUDP   = 14 + 20
	innerIP    = outerUDP + 8 + 8 + 14
	innerTCP   = innerIP + 20
	innerTCP6  = innerIP + 40
	innerBytes = 2500
)

func TestTunnelValid(t *testing.T) {
	t.Parallel()
	v4 := switchtest.Tunnel{
		To: dstMAC, From: srcMAC, Dst: netip.MustParseAddr("192.0.2.2"), Src: netip.MustParseAddr("192.0.2.1"),
	}
	v6, silent := v4, v4
	v6.Dst, v6.Src = netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::1")
	silent.NoChecksum = true
	super := func(tunnel switchtest.Tunnel, p packet) []byte {
		p.payload = pattern(innerBytes)
		_, eth := superIn(t, tunnel, p, 1000)
		return eth
	}
	tcp, udp, tcpIn6 := super(v4, packet{}), super(v4, packet{udp: true}), super(v4, packet{ipv6: true})
	good := tunnelHeader{needs | tunnelSum, tcp4 | tunnel4, 0, 1000, innerTCP, 16, outerUDP, innerIP}
	change := func(f func(h *tunnelHeader)) frame.VNet {
		h := good
		f(&h)
		return h.header()
	}
	for _, tt := range []struct {
		name string
		h    frame.VNet
		eth  []byte
		want bool
	}{
		{"TCP", good.header(), tcp, true},
		{"TCP with ECN", change(func(h *tunnelHeader) { h.gso |= ecn }), tcp, true},
		{"no outer checksum", change(func(h *tunnelHeader) { h.flags = needs }), super(silent, packet{}), true},
		{"the whole frame linear", change(func(h *tunnelHeader) { h.hdrLen = len(tcp) }), tcp, true},
		{"two segments", change(func(h *tunnelHeader) { h.size = innerBytes - 1 }), tcp, true},

		{"hdr_len beyond the frame", change(func(h *tunnelHeader) { h.hdrLen = len(tcp) + 1 }), tcp, false},
		{"no partial checksum", change(func(h *tunnelHeader) { h.flags = tunnelSum }), tcp, false},
		{"verified", change(func(h *tunnelHeader) { h.flags |= valid }), tcp, false},
		{"an unknown flag", change(func(h *tunnelHeader) { h.flags |= 4 }), tcp, false},
		{"over both", change(func(h *tunnelHeader) { h.gso |= tunnel6 }), tcp, false},
		{"over IPv6 by its type only", change(func(h *tunnelHeader) { h.gso ^= tunnel4 | tunnel6 }), tcp, false},
		{"over IPv4 by its type only", good.header(), super(v6, packet{}), false},
		{"no inner type", change(func(h *tunnelHeader) { h.gso = tunnel4 }), tcp, false},
		{"ECN alone", change(func(h *tunnelHeader) { h.gso = tunnel4 | ecn }), tcp, false},
		{"inner UFO", change(func(h *tunnelHeader) { h.gso = tunnel4 | 3 }), tcp, false},
		{"accurate ECN, not offered", change(func(h *tunnelHeader) { h.gso |= 0x10 }), tcp, false},
		{"gso_size 0", change(func(h *tunnelHeader) { h.size = 0 }), tcp, false},
		{"gso_size GSO_BY_FRAGS", change(func(h *tunnelHeader) { h.size = 0xffff }), tcp, false},
		{"one segment", change(func(h *tunnelHeader) { h.size = innerBytes }), tcp, false},
		{"a segment larger than the frame", change(func(h *tunnelHeader) { h.size = 9000 }), tcp, false},
		{"an outer checksum that is not asked for", change(func(h *tunnelHeader) { h.flags = needs }), tcp, false},

		{"outer UDP before its place", change(func(h *tunnelHeader) { h.outerTransport -= 2 }), tcp, false},
		{"outer UDP behind its place", change(func(h *tunnelHeader) { h.outerTransport += 2 }), tcp, false},
		{"outer UDP at 0", change(func(h *tunnelHeader) { h.outerTransport = 0 }), tcp, false},
		{"outer UDP beyond the frame", change(func(h *tunnelHeader) { h.outerTransport = 0xffff }), tcp, false},
		{"inner IP in the outer UDP header", change(func(h *tunnelHeader) { h.innerNetwork = outerUDP + 7 }), tcp, false},
		{"inner IP before its place", change(func(h *tunnelHeader) { h.innerNetwork-- }), tcp, false},
		{"inner IP behind its place", change(func(h *tunnelHeader) { h.innerNetwork++ }), tcp, false},
		{"inner IP at 0", change(func(h *tunnelHeader) { h.innerNetwork = 0 }), tcp, false},
		{"inner IP at the frame's last byte", change(func(h *tunnelHeader) { h.innerNetwork = len(tcp) - 1 }), tcp, false},
		{"inner IP at the frame's end", change(func(h *tunnelHeader) { h.innerNetwork = len(tcp) }), tcp, false},
		{"inner IP beyond the frame", change(func(h *tunnelHeader) { h.innerNetwork = 0xffff }), tcp, false},
		{"inner TCP before its place", change(func(h *tunnelHeader) { h.start-- }), tcp, false},
		{"inner TCP behind its place", change(func(h *tunnelHeader) { h.start += 4 }), tcp, false},
		{"the outer UDP as the inner transport", change(func(h *tunnelHeader) { h.start = outerUDP }), tcp, false},
		{"csum_start at the limit of 16 bits", change(func(h *tunnelHeader) { h.start = 0xffff }), tcp, false},
		{"TCP with UDP's checksum place", change(func(h *tunnelHeader) { h.offset = 6 }), tcp, false},

		{"outer TCP", good.header(), edit(tcp, 14+9, frame.ProtoTCP), false},
		{"outer fragment", good.header(), edit(tcp, 14+6, 0x20), false},
		{"outer IHL below 5", good.header(), edit(tcp, 14, 0x44), false},
		{"outer IHL above 5", good.header(), edit(tcp, 14, 0x46), false},
		{"outer ARP", good.header(), edit(tcp, 13, 0x06), false},
		{"inner fragment", good.header(), edit(tcp, innerIP+6, 0x20), false},
		{"inner IHL below 5", good.header(), edit(tcp, innerIP, 0x44), false},
		{"inner version 5", good.header(), edit(tcp, innerIP, 0x55), false},
		{"inner UDP", good.header(), edit(tcp, innerIP+9, frame.ProtoUDP), false},
		{"inner data offset below 5", good.header(), edit(tcp, innerTCP+12, 0x40), false},
		{"inner data offset beyond the frame", good.header(), edit(tcp[:innerTCP+30], innerTCP+12, 0xf0), false},
		{"inner TCP header cut off", change(func(h *tunnelHeader) { h.size = 1 }), exact(tcp[:innerTCP+19]), false},
		{"inner TCP without payload", change(func(h *tunnelHeader) { h.size = 1 }), exact(tcp[:innerTCP+20]), false},

		{"inner TCP over IPv6", change(func(h *tunnelHeader) { h.gso, h.start = tcp6|tunnel4, innerTCP6 }), tcpIn6, true},
		{"type of IPv4 on inner IPv6", change(func(h *tunnelHeader) { h.start = innerTCP6 }), tcpIn6, false},
		{"type of IPv6 on inner IPv4", change(func(h *tunnelHeader) { h.gso = tcp6 | tunnel4 }), tcp, false},
		{"inner UDP in segments", change(func(h *tunnelHeader) { h.gso, h.offset = udpL4|tunnel4, 6 }), udp, true},
		{"inner UDP with ECN", change(func(h *tunnelHeader) { h.gso, h.offset = udpL4|tunnel4|ecn, 6 }), udp, false},
		{"inner UDP in 125 segments", change(func(h *tunnelHeader) { h.gso, h.offset, h.size = udpL4|tunnel4, 6, 20 }), udp, true},
		{"inner UDP in 132 segments", change(func(h *tunnelHeader) { h.gso, h.offset, h.size = udpL4|tunnel4, 6, 19 }), udp, false},
		{"as long as IPv4 can say", good.header(), grown(tcp, 14+65535), true},
		{"longer than IPv4 can say", good.header(), grown(tcp, 14+65536), false},
		{"a tunnel's flag without a tunnel", header(needs|tunnelSum, tcp4, 0, 1000, 34, 16), packet{payload: pattern(3000)}.bytes(t), false},
	} {
		if got := tt.h.Valid(exact(tt.eth)); got != tt.want {
			t.Errorf("%s: Valid is %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Whatever a header claims, a frame cut anywhere is checked without a look behind its end.
func TestTunnelValidTruncated(t *testing.T) {
	t.Parallel()
	overAllTunnels(func(name string, tunnel switchtest.Tunnel, p packet) {
		p.payload = pattern(40)
		h, eth := superIn(t, tunnel, p, 10)
		headers := len(eth) - len(p.payload)
		for n := range len(eth) {
			if got, want := h.Valid(exact(eth[:n])), n > headers+10; got != want {
				t.Errorf("%s: cut to %d bytes, behind headers of %d, Valid is %v", name, n, headers, got)
			}
		}
	})
}

// Each segment is what the tunnel would have been given of an inner segment.
func TestTunnelSegments(t *testing.T) {
	t.Parallel()
	out := make([]byte, 70000)
	overAllTunnels(func(name string, tunnel switchtest.Tunnel, p packet) {
		// Identifications and the sequence number wrap on the way.
		p.id, p.seq, p.fin, p.psh, p.cwr = 0xfffe, 0xfffffff0, true, true, true
		for _, c := range []struct{ payload, size int }{
			{1001, 1000}, {2000, 1000}, {10001, 1398}, {60000, 1399}, {100, 1}, {777, 7},
		} {
			p.payload = pattern(c.payload)
			h, eth := superIn(t, tunnel, p, c.size)
			before := bytes.Clone(eth)
			s, ok := frame.NewSegmenter(h, eth)
			if !ok {
				t.Fatalf("%s %+v: refused", name, c)
			}
			if got, want := h.SegmentLen(eth), s.Len(); got != want {
				t.Errorf("%s %+v: SegmentLen is %d, want %d", name, c, got, want)
			}
			sum := 0
			for i, inner := range segments(t, p, c.size) {
				want := tunnel.Frame(inner, p.id+uint16(i))
				n, ok := s.Next(out)
				if !ok || !bytes.Equal(out[:n], want) {
					t.Fatalf("%s %+v segment %d:\n got %x, %v\nwant %x",
						name, c, i, out[:min(n, 140)], ok, want[:min(len(want), 140)])
				}
				sum += n
			}
			if n, ok := s.Next(out); ok || n != 0 {
				t.Errorf("%s %+v: %d bytes after the last segment", name, c, n)
			}
			if got := h.WireLen(eth); got != sum {
				t.Errorf("%s %+v: WireLen is %d, want %d", name, c, got, sum)
			}
			if !bytes.Equal(eth, before) {
				t.Errorf("%s %+v: the super-frame was changed", name, c)
			}
		}
	})
}

// An outer checksum that comes out as 0 is sent as all ones: 0 means none.
func TestTunnelSegmentZeroChecksum(t *testing.T) {
	t.Parallel()
	tunnel := tunnels()["from 2001:db8::1, no checksum false"]
	p := packet{payload: pattern(200)}
	h, eth := superIn(t, tunnel, p, 100)
	out := make([]byte, 500)
	const at = 14 + 40 // of the outer UDP header
	cut := func() uint16 {
		s, ok := frame.NewSegmenter(h, eth)
		if !ok {
			t.Fatal("refused")
		}
		if _, ok := s.Next(out); !ok {
			t.Fatal("no segment")
		}
		return binary.BigEndian.Uint16(out[at+6:])
	}
	// The source port makes up for what is missing to 0.
	sum := cut()
	port := binary.BigEndian.Uint16(eth[at:])
	binary.BigEndian.PutUint16(eth[at:], addOnes(port, sum))
	if got := cut(); got != 0xffff {
		t.Errorf("the outer checksum is %#x, want 0xffff", got)
	}
}

// addOnes adds in one's complement.
func addOnes(a, b uint16) uint16 {
	n := uint32(a) + uint32(b)
	return uint16(n + n>>16)
}

// The kernel counts a tag that it inserts when a frame is read in csum_start alone.
func TestTunnelCountTag(t *testing.T) {
	t.Parallel()
	overAllTunnels(func(name string, tunnel switchtest.Tunnel, p packet) {
		p.payload = pattern(3000)
		h, eth := superIn(t, tunnel, p, 1000)
		before := exact(h)
		if h.CountTag(eth); !bytes.Equal(h, before) {
			t.Errorf("%s: without a tag, the header % x became % x", name, before, []byte(h))
		}
		tagged := switchtest.Tagged(eth, switchtest.Dot1Q|5)
		h.Set(h.Flags(), h[1], 0, h.GSOSize(), h.CsumStart()+4, h.CsumOffset())
		if h.Valid(tagged) {
			t.Errorf("%s: the kernel's header is valid with a tag that it does not count", name)
		}
		for range 2 { // the second time nothing is missing
			h.CountTag(tagged)
			outer, inner := frame.VNet(before).OuterTransport()+4, frame.VNet(before).InnerNetwork()+4
			if h.OuterTransport() != outer || h.InnerNetwork() != inner || !h.Valid(tagged) {
				t.Errorf("%s: offsets %d and %d, want %d and %d; valid %v",
					name, h.OuterTransport(), h.InnerNetwork(), outer, inner, h.Valid(tagged))
			}
		}
	})
	short := (tunnelHeader{flags: needs, gso: tcp4 | tunnel4}).header()
	short.CountTag(make([]byte, 13)) // does not look beyond the end
}
