package frame_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

const (
	needs = frame.VNetNeedsChecksum
	valid = frame.VNetDataValid
	none  = frame.VNetGSONone
	tcp4  = frame.VNetGSOTCPv4
	tcp6  = frame.VNetGSOTCPv6
	udpL4 = frame.VNetGSOUDPL4
	ecn   = frame.VNetGSOECN
)

func TestVNetFields(t *testing.T) {
	t.Parallel()
	b := make([]byte, frame.VNetHeaderLen+2)
	h, eth, ok := frame.ParseVNet(b)
	if !ok || len(h) != frame.VNetHeaderLen || len(eth) != 2 || !h.Plain() {
		t.Fatalf("ParseVNet: %x %x %v", h, eth, ok)
	}
	h.Set(needs|valid, tcp4|ecn, 1, 2, 3, 0x0405)
	if h.Flags() != 3 || h.GSOType() != tcp4 || h.HdrLen() != 1 || h.GSOSize() != 2 || h.CsumStart() != 3 || h.CsumOffset() != 0x0405 || h.Plain() {
		t.Errorf("set fields read back as %x", h)
	}
	// struct virtio_net_hdr: the last field is at 8, in the machine's order.
	if binary.NativeEndian.Uint16(b[8:]) != 0x0405 || b[1] != 0x81 {
		t.Errorf("the header is %x", b)
	}
	if h.Clear(); !h.Plain() || h.GSOSize() != 0 {
		t.Errorf("cleared to %x", h)
	}
	if h.Set(valid, none, 0, 0, 0, 0); !h.Plain() {
		t.Error("a verified checksum asks something of the receiver")
	}
}

// What Linux senders write on a TAP with checksum and segmentation offload.
func TestVNetValidAcceptsSenders(t *testing.T) {
	t.Parallel()
	for _, p := range packetKinds() {
		p.payload = pattern(3000)
		h, eth := p.partial(t, 0)
		if !h.Valid(eth) {
			t.Errorf("%s: partial checksum refused", kind(p))
		}
		h, eth = p.partial(t, 1000)
		// The kernel writes the linear length, between no header and all.
		for _, linear := range []int{0, 14, p.transport() + 8, 1500, len(eth)} {
			h.Set(needs, p.gsoType(), uint16(linear), 1000, h.CsumStart(), h.CsumOffset())
			if !h.Valid(eth) {
				t.Errorf("%s: segmentation with hdr_len %d refused", kind(p), linear)
			}
		}
		if !p.udp {
			h.Set(needs, p.gsoType()|ecn, 0, 1000, h.CsumStart(), h.CsumOffset())
			if !h.Valid(eth) {
				t.Errorf("%s: ECN refused", kind(p))
			}
		}
	}
}

func TestVNetValid(t *testing.T) {
	t.Parallel()
	var (
		arp    = arpFrame()
		bare   = make([]byte, 14)
		v4     = packet{payload: pattern(3000)}.bytes(t)                        // transport at 34
		v6     = packet{ipv6: true, payload: pattern(3000)}.bytes(t)            // 54
		u4     = packet{udp: true, payload: pattern(3000)}.bytes(t)             // 34
		u6     = packet{udp: true, ipv6: true, payload: pattern(3000)}.bytes(t) // 54
		tagged = packet{tags: []uint16{5}, payload: pattern(3000)}.bytes(t)     // 38
		triple = packet{tags: []uint16{5, 6, 7}, payload: pattern(3000)}.bytes(t)
		chain  = packet{ipv6: true, extensions: 9, payload: pattern(3000)}.bytes(t)
		eight  = packet{ipv6: true, extensions: 8, payload: pattern(3000)}.bytes(t)
		ext    = packet{ipv6: true, extensions: 1, payload: pattern(200)}.bytes(t) // 62
		short  = v4[:34+20]
	)
	for _, tt := range []struct {
		name string
		h    frame.VNet
		eth  []byte
		want bool
	}{
		{"plain", header(0, none, 0, 0, 0, 0), v4, true},
		{"plain, verified", header(valid, none, 0, 0, 0, 0), v4, true},
		{"plain, fields that nobody reads", header(0, none, 0, 9, 0xffff, 0xffff), v4, true},
		{"plain, hdr_len", header(0, none, 14, 0, 0, 0), v4, true},
		{"plain, hdr_len all of the frame", header(0, none, len(v4), 0, 0, 0), v4, true},
		{"plain, hdr_len beyond the frame", header(0, none, len(v4)+1, 0, 0, 0), v4, false},
		{"plain, hdr_len within the Ethernet header", header(0, none, 13, 0, 0, 0), v4, false},
		{"plain, frame of 14 bytes", header(0, none, 0, 0, 0, 0), bare, true},
		{"plain, frame of 13 bytes", header(0, none, 0, 0, 0, 0), bare[:13], false},
		{"plain, empty frame", header(0, none, 0, 0, 0, 0), nil, false},
		{"flag 4", header(4, none, 0, 0, 0, 0), v4, false},
		{"flag 8", header(8|needs, none, 0, 0, 34, 16), v4, false},
		{"flag 0x80", header(0x80, none, 0, 0, 0, 0), v4, false},
		{"ECN without a type", header(needs, ecn, 0, 1000, 34, 16), v4, false},

		{"checksum", header(needs, none, 0, 0, 34, 16), v4, true},
		{"checksum, verified too", header(needs|valid, none, 0, 0, 34, 16), v4, true},
		{"checksum behind the transport header, as in a tunnel", header(needs, none, 0, 0, 84, 6), u4, true},
		{"checksum, hdr_len below the kernel's", header(needs, none, 1, 0, 34, 16), v4, true},
		{"checksum, hdr_len beyond", header(needs, none, len(v4)+1, 0, 34, 16), v4, false},
		{"checksum at the end", header(needs, none, 0, 0, len(v4)-2, 0), v4, true},
		{"checksum half beyond the end", header(needs, none, 0, 0, len(v4)-1, 0), v4, false},
		{"csum_start beyond", header(needs, none, 0, 0, len(v4), 0), v4, false},
		{"csum_start at the limit of 16 bits", header(needs, none, 0, 0, 0xffff, 0), v4, false},
		{"csum_start wraps with csum_offset", header(needs, none, 0, 0, 0xfff0, 0x20), v4, false},
		{"csum_start that the kernel can't add headroom to", header(needs, none, 0, 0, 0xfff0, 0), make([]byte, 70000), false},
		{"csum_offset beyond", header(needs, none, 0, 0, 34, len(v4)), v4, false},
		{"csum_start 0", header(needs, none, 0, 0, 0, 16), v4, false},
		{"checksum in the IPv4 header", header(needs, none, 0, 0, 33, 0), v4, false},
		{"checksum in the IPv6 header", header(needs, none, 0, 0, 53, 0), v6, false},
		{"checksum in the header behind the tag", header(needs, none, 0, 0, 37, 0), tagged, false},
		{"checksum in ARP", header(needs, none, 0, 0, 36, 0), arp, false},
		{"checksum in an unknown protocol", header(needs, none, 0, 0, 34, 0), make([]byte, 60), true},
		{"checksum early in an unknown protocol", header(needs, none, 0, 0, 33, 0), make([]byte, 60), false},
		{"checksum in a frame of 13 bytes", header(needs, none, 0, 0, 4, 4), bare[:13], false},
		{"checksum in broken IPv4", header(needs, none, 0, 0, 40, 0), edit(v4, 14, 0x44), false},
		{"checksum in broken IPv6", header(needs, none, 0, 0, 60, 0), edit(v6, 14, 0x40), false},

		{"TCPv4", header(needs, tcp4, 54, 1000, 34, 16), v4, true},
		{"TCPv6", header(needs, tcp6, 74, 1000, 54, 16), v6, true},
		{"UDP over IPv4", header(needs, udpL4, 42, 1000, 34, 6), u4, true},
		{"UDP over IPv6", header(needs, udpL4, 62, 1000, 54, 6), u6, true},
		{"TCP without payload", header(needs, tcp4, 54, 1000, 34, 16), short, true},
		{"payload below gso_size", header(needs, tcp4, 54, 9000, 34, 16), v4, true},
		{"TCP header cut off", header(needs, tcp4, 0, 1000, 34, 16), short[:53], false},
		{"hdr_len beyond", header(needs, tcp4, len(v4)+1, 1000, 34, 16), v4, false},
		{"gso_size 0", header(needs, tcp4, 54, 0, 34, 16), v4, false},
		{"gso_size GSO_BY_FRAGS", header(needs, tcp4, 54, 0xffff, 34, 16), v4, false},
		{"no partial checksum", header(0, tcp4, 54, 1000, 34, 16), v4, false},
		{"no partial checksum but verified", header(valid, tcp4, 54, 1000, 34, 16), v4, false},
		{"type of IPv6 on IPv4", header(needs, tcp6, 54, 1000, 34, 16), v4, false},
		{"type of IPv4 on IPv6", header(needs, tcp4, 74, 1000, 54, 16), v6, false},
		{"type of TCP on UDP", header(needs, tcp4, 42, 1000, 34, 6), u4, false},
		{"type of UDP on TCP", header(needs, udpL4, 54, 1000, 34, 16), v4, false},
		{"type of TCP on ARP", header(needs, tcp4, 0, 1000, 34, 6), arp, false},
		{"UDP with ECN", header(needs, udpL4|ecn, 42, 1000, 34, 6), u4, false},
		{"UFO", header(needs, 3, 42, 1000, 34, 6), u4, false},
		{"type 2", header(needs, 2, 54, 1000, 34, 16), v4, false},
		{"accurate ECN, not offered", header(needs, tcp4|0x10, 54, 1000, 34, 16), v4, false},
		{"UDP tunnel, not offered", header(needs, tcp4|0x20, 54, 1000, 34, 16), v4, false},
		{"TCP with UDP's checksum place", header(needs, tcp4, 54, 1000, 34, 6), v4, false},
		{"UDP with TCP's checksum place", header(needs, udpL4, 42, 1000, 34, 16), u4, false},
		{"csum_start not at the transport header", header(needs, tcp4, 54, 1000, 38, 16), v4, false},
		{"data offset below 5", header(needs, tcp4, 54, 1000, 34, 16), edit(v4, 34+12, 0x40), false},
		{"data offset beyond the frame", header(needs, tcp4, 54, 1000, 34, 16), edit(short, 34+12, 0x60), false},
		{"IHL below 5", header(needs, tcp4, 54, 1000, 30, 16), edit(v4, 14, 0x44), false},
		{"first fragment", header(needs, tcp4, 54, 1000, 34, 16), edit(v4, 20, 0x20), false},
		{"later fragment", header(needs, tcp4, 54, 1000, 34, 16), edit(v4, 21, 0x01), false},
		{"UDP in 125 segments", header(needs, udpL4, 42, 24, 34, 6), u4, true},
		{"UDP in 129 segments", header(needs, udpL4, 42, 10, 34, 6), u4[:42+128*10+1], false},
		{"UDP in 128 full segments", header(needs, udpL4, 42, 10, 34, 6), u4[:42+128*10], true},
		{"three tags", header(needs, tcp4, 66, 1000, 46, 16), triple, false},
		{"authentication header", header(needs, tcp6, 0, 1000, 62, 16), edit(edit(ext, 20, 51), 55, 0), false},
		{"fragment header", header(needs, tcp6, 0, 1000, 62, 16), edit(edit(edit(ext, 20, 44), 56, 0), 57, 0), false},
		{"eight extension headers", header(needs, tcp6, 0, 1000, 54+64, 16), eight, true},
		{"nine extension headers", header(needs, tcp6, 0, 1000, 54+72, 16), chain, false},
		{"as long as IPv4 can say", header(needs, tcp4, 54, 1000, 34, 16), grown(v4, 14+65535), true},
		{"extension header cut off", header(needs, tcp6, 0, 1000, 62, 0), ext[:61], false},
		{"extension header's length beyond the frame", header(needs, tcp6, 0, 1000, 62, 16), edit(ext, 55, 0xff), false},
		{"longer than IPv4 can say", header(needs, tcp4, 54, 1000, 34, 16), grown(v4, 14+65536), false},
		{"as long as IPv6 can say", header(needs, tcp6, 74, 1000, 54, 16), grown(v6, 54+65535), true},
		{"longer than IPv6 can say", header(needs, tcp6, 74, 1000, 54, 16), grown(v6, 54+65536), false},
	} {
		if got := tt.h.Valid(exact(tt.eth)); got != tt.want {
			t.Errorf("%s: Valid is %v, want %v", tt.name, got, tt.want)
		}
	}
}

// edit is a copy of eth with one byte changed.
func edit(eth []byte, at int, v byte) []byte {
	c := exact(eth)
	c[at] = v
	return c
}

// grown is a copy of eth with zeros behind it, n bytes in all.
func grown(eth []byte, n int) []byte { return append(exact(eth), make([]byte, n-len(eth))...) }

func arpFrame() []byte {
	b := make([]byte, 14+frame.ARPLen)
	frame.Ethernet(b).SetEtherType(frame.EtherTypeARP)
	frame.NewARP(b[14:], frame.ARPRequest)
	return b
}

// Whatever a header claims, a frame cut anywhere is refused without a look
// behind its end as soon as the checksum's place is cut off.
func TestVNetValidTruncated(t *testing.T) {
	t.Parallel()
	for _, p := range packetKinds() {
		p.payload = pattern(40)
		for _, size := range []int{0, 10} {
			h, eth := p.partial(t, size)
			for n := range p.transport() + p.checksumOffset() + 2 {
				for _, start := range []int{14, 18, 34, n - 2, n - 18, p.transport()} {
					h.Set(needs, h.GSOType(), 0, uint16(size), uint16(max(start, 0)), uint16(p.checksumOffset()))
					if ok := h.Valid(exact(eth[:n])); ok && (size > 0 || n < start+p.checksumOffset()+2) {
						t.Errorf("%s: %d bytes are valid with csum_start %d", kind(p), n, start)
					}
				}
			}
		}
	}
}

// FuzzVNetValid holds that a valid header keeps what Valid promises and that
// the functions that act on one do.
func FuzzVNetValid(f *testing.F) {
	for _, p := range packetKinds() {
		p.payload = pattern(300)
		for _, size := range []int{0, 100} {
			h, eth := p.partial(f, size)
			f.Add(slices.Concat([]byte(h), eth))
		}
	}
	overAllTunnels(func(_ string, tunnel switchtest.Tunnel, p packet) {
		p.payload = pattern(300)
		h, eth := superIn(f, tunnel, p, 100)
		f.Add(slices.Concat([]byte(h), eth))
	})
	f.Add(slices.Concat([]byte(header(needs, none, 0, 0, 36, 0)), arpFrame()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, eth, ok := frame.ParseVNet(exact(b))
		if !ok {
			return
		}
		eth = exact(eth)
		isValid, plain, gso := h.Valid(eth), h.Plain(), h.GSOType() != none
		if isValid && int(h.HdrLen()) > len(eth) {
			t.Errorf("hdr_len %d of %d bytes is valid", h.HdrLen(), len(eth))
		}
		if isValid && !plain && int(h.CsumStart())+int(h.CsumOffset())+2 > len(eth) {
			t.Errorf("checksum at %d+%d of %d bytes is valid", h.CsumStart(), h.CsumOffset(), len(eth))
		}
		if _, ok := frame.NewSegmenter(h, eth); ok != (isValid && gso) {
			t.Errorf("NewSegmenter is %v; valid %v, gso %v", ok, isValid, gso)
		}
		if ok := frame.CompleteChecksum(h, eth); ok != (isValid && !gso) {
			t.Errorf("CompleteChecksum is %v; valid %v, gso %v", ok, isValid, gso)
		} else if ok && (!h.Plain() || !h.Valid(eth)) {
			t.Errorf("completed header %x is not plain and valid", h)
		}
	})
}

func BenchmarkVNetValid(b *testing.B) {
	eth := packet{payload: pattern(1460)}.bytes(b)
	for name, h := range map[string]frame.VNet{
		"plain":    header(0, none, 0, 0, 0, 0),
		"checksum": header(needs, none, 0, 0, 34, 16),
		"tso":      header(needs, tcp4, 54, 100, 34, 16),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !h.Valid(eth) {
					b.Fatal("refused")
				}
			}
		})
	}
}
