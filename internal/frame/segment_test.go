package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// segments is what gopacket makes of p when the payload is cut by hand.
func segments(t testing.TB, p packet, size int) [][]byte {
	t.Helper()
	var frames [][]byte
	rest := p.payload
	for i := 0; i == 0 || len(rest) > 0; i++ {
		s := p
		s.payload = rest[:min(size, len(rest))]
		rest = rest[len(s.payload):]
		s.id += uint16(i)
		s.seq += uint32(i * size)
		last := len(rest) == 0
		s.fin, s.psh, s.cwr = p.fin && last, p.psh && last, p.cwr && i == 0
		frames = append(frames, s.bytes(t))
	}
	return frames
}

func TestSegments(t *testing.T) {
	t.Parallel()
	out := make([]byte, 70000)
	for _, p := range packetKinds() {
		// Identification and sequence number wrap on the way.
		p.id, p.seq, p.fin, p.psh, p.cwr = 0xfffe, 0xfffffff0, true, true, true
		for _, c := range []struct{ payload, size int }{
			{0, 1000}, {1, 1000}, {999, 1000}, {1000, 1000}, {1001, 1000}, {2000, 1000}, {10001, 1448}, {64000, 1399}, {100, 1}, {777, 7},
		} {
			p.payload = pattern(c.payload)
			h, eth := p.partial(t, c.size)
			before := bytes.Clone(eth)
			s, ok := frame.NewSegmenter(h, eth)
			if !ok {
				t.Fatalf("%s %+v: refused", kind(p), c)
			}
			for i, want := range segments(t, p, c.size) {
				if s.Len() != len(want) {
					t.Errorf("%s %+v segment %d: Len is %d, want %d", kind(p), c, i, s.Len(), len(want))
				}
				n, ok := s.Next(out)
				if !ok || !bytes.Equal(out[:n], want) {
					t.Fatalf("%s %+v segment %d:\n got %x, %v\nwant %x", kind(p), c, i, out[:min(n, 100)], ok, want[:min(len(want), 100)])
				}
			}
			if n, ok := s.Next(out); ok || n != 0 || s.Len() != 0 {
				t.Errorf("%s %+v: %d bytes after the last segment", kind(p), c, n)
			}
			if !bytes.Equal(eth, before) {
				t.Errorf("%s %+v: the super-frame was changed", kind(p), c)
			}
		}
	}
}

// The ECN bit changes nothing: CWR is on the first segment with and without it.
func TestSegmentECN(t *testing.T) {
	t.Parallel()
	p := packet{cwr: true, payload: pattern(25)}
	h, eth := p.partial(t, 10)
	h.Set(needs, tcp4|ecn, 0, 10, h.CsumStart(), h.CsumOffset())
	s, ok := frame.NewSegmenter(h, eth)
	if !ok {
		t.Fatal("refused")
	}
	out := make([]byte, 100)
	for i, want := range segments(t, p, 10) {
		if n, ok := s.Next(out); !ok || !bytes.Equal(out[:n], want) {
			t.Errorf("segment %d is %x, want %x", i, out[:n], want)
		}
	}
}

// Behind a routing header the checksum is for the final destination, which the
// IPv6 header does not name yet (RFC 8200 §8.1).
func TestSegmentRoutingHeader(t *testing.T) {
	t.Parallel()
	p := packet{ipv6: true, extensions: 1, payload: pattern(2500)}
	h, eth := p.partial(t, 1000)
	eth[14+6] = 43
	copy(eth[14+24:], bytes.Repeat([]byte{0xab}, 16))
	s, ok := frame.NewSegmenter(h, eth)
	if !ok {
		t.Fatal("refused")
	}
	out, count := make([]byte, 2000), 0
	for n, more := s.Next(out); more; n, more = s.Next(out) {
		if sum := naiveSum(out[p.transport():n], p.pseudoSum(n-p.transport())); sum != 0xffff {
			t.Errorf("segment %d sums to %#x for the final destination", count, sum)
		}
		count++
	}
	if count != 3 {
		t.Errorf("%d segments, want 3", count)
	}
}

func TestSegmentZeroChecksum(t *testing.T) {
	t.Parallel()
	p := zeroSum(t, packet{udp: true, payload: pattern(98)})
	p.payload = slices.Concat(p.payload, p.payload)
	h, eth := p.partial(t, 100)
	s, ok := frame.NewSegmenter(h, eth)
	if !ok {
		t.Fatal("refused")
	}
	out := make([]byte, 200)
	for i := range 2 {
		if _, ok := s.Next(out); !ok {
			t.Fatalf("segment %d is missing", i)
		}
		if got := binary.BigEndian.Uint16(out[p.transport()+6:]); got != 0xffff {
			t.Errorf("segment %d has UDP checksum %#x, want 0xffff: 0 means none", i, got)
		}
	}
}

func TestSegmentOutTooSmall(t *testing.T) {
	t.Parallel()
	p := packet{payload: pattern(2500)}
	h, eth := p.partial(t, 1000)
	s, ok := frame.NewSegmenter(h, eth)
	if !ok {
		t.Fatal("refused")
	}
	for i, want := range segments(t, p, 1000) {
		for _, room := range []int{0, 1, 54, len(want) - 1} {
			small := make([]byte, room)
			if n, ok := s.Next(small); ok || n != 0 || !bytes.Equal(small, make([]byte, room)) {
				t.Errorf("segment %d: wrote %d bytes of %d into %d", i, n, len(want), room)
			}
		}
		out := make([]byte, len(want))
		if n, ok := s.Next(out); !ok || !bytes.Equal(out[:n], want) {
			t.Errorf("segment %d is lost after a buffer that was too small", i)
		}
	}
}

func TestSegmenterRefuses(t *testing.T) {
	t.Parallel()
	eth := packet{payload: pattern(3000)}.bytes(t)
	for name, h := range map[string]frame.VNet{
		"plain":      header(0, none, 0, 0, 0, 0),
		"checksum":   header(needs, none, 0, 0, 34, 16),
		"gso_size 0": header(needs, tcp4, 54, 0, 34, 16),
		"UFO":        header(needs, 3, 54, 1000, 34, 16),
	} {
		s, ok := frame.NewSegmenter(h, eth)
		if ok {
			t.Errorf("%s: accepted", name)
		}
		if n, ok := s.Next(make([]byte, 4000)); ok || n != 0 {
			t.Errorf("%s: the refused segmenter makes a frame of %d bytes", name, n)
		}
	}
}

// FuzzSegment holds that the payloads of all segments are the super-frame's, in
// order, and that every segment is a plain frame of the length announced.
func FuzzSegment(f *testing.F) {
	for _, p := range packetKinds() {
		p.payload = pattern(300)
		h, eth := p.partial(f, 100)
		f.Add(slices.Concat([]byte(h), eth), uint16(2000))
	}
	overAllTunnels(func(_ string, tunnel switchtest.Tunnel, p packet) {
		p.payload = pattern(300)
		h, eth := superIn(f, tunnel, p, 100)
		f.Add(slices.Concat([]byte(h), eth), uint16(2000))
	})
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, room uint16) {
		h, eth, ok := frame.ParseVNet(b)
		if !ok {
			return
		}
		h, eth = exact(h), exact(eth)
		s, ok := frame.NewSegmenter(h, eth)
		if !ok {
			return
		}
		headers := int(h.CsumStart()) + 8
		if h.GSOType() != udpL4 {
			headers = int(h.CsumStart()) + int(eth[h.CsumStart()+12]>>4)*4
		}
		out, rest := make([]byte, room), eth[headers:]
		for want := s.Len(); want > 0; want = s.Len() {
			n, ok := s.Next(out)
			if !ok && want > len(out) {
				return
			}
			if !ok || n != want || n < headers || n-headers > int(h.GSOSize()) || !header(0, none, 0, 0, 0, 0).Valid(out[:n]) {
				t.Fatalf("segment of %d bytes, %v; Len said %d, headers have %d", n, ok, want, headers)
			}
			if !bytes.HasPrefix(rest, out[headers:n]) {
				t.Fatalf("payload %x is not the next of %x", out[headers:n], rest)
			}
			rest = rest[n-headers:]
			if ip, ok := frame.ParseIPv4(out[14:n]); frame.Ethernet(out).EtherType() == frame.EtherTypeIPv4 && (!ok || len(ip) != n-14 || !ip.ChecksumOK()) {
				t.Fatalf("IPv4 header of segment %x", out[:n])
			}
		}
		if len(rest) > 0 {
			t.Fatalf("%d bytes of payload are in no segment", len(rest))
		}
	})
}

func TestNoAllocation(t *testing.T) {
	p := packet{payload: pattern(5000)}
	h, eth := p.partial(t, 1000)
	csum, ceth := p.partial(t, 0)
	start, offset := csum.CsumStart(), csum.CsumOffset()
	th, teth := superIn(t, tunnels()["from 192.0.2.1, no checksum false"], p, 1000)
	out := make([]byte, 2000)
	cut := func(h frame.VNet, eth []byte) {
		s, _ := frame.NewSegmenter(h, eth)
		for _, more := s.Next(out); more; _, more = s.Next(out) {
		}
	}
	for name, f := range map[string]func(){
		"segment": func() { cut(h, eth) },
		"tunnel": func() {
			th.CountTag(teth)
			cut(th, teth)
		},
		"complete": func() {
			csum.Set(needs, none, 0, 0, start, offset)
			frame.CompleteChecksum(csum, ceth)
		},
		"views": func() {
			v, b, _ := frame.ParseVNet(eth)
			e, _ := frame.ParseEthernet(b)
			ip, _ := frame.ParseIPv4(eth[14:])
			_, _ = e.Dst(), e.Src()
			_, _, _ = ip.Src(), ip.Dst(), v.Valid(b)
		},
		"sum": func() { frame.Sum(eth, 0) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times per run", name, n)
		}
	}
}

func BenchmarkSegment(b *testing.B) {
	for _, p := range []packet{{}, {ipv6: true}, {udp: true}} {
		p.payload = pattern(60000)
		h, eth := p.partial(b, 1448)
		benchmarkSegment(b, fmt.Sprintf("ipv6=%v/udp=%v", p.ipv6, p.udp), h, eth)
	}
	for name, tunnel := range tunnels() {
		h, eth := superIn(b, tunnel, packet{payload: pattern(60000)}, 1398)
		benchmarkSegment(b, "tunnel "+name, h, eth)
	}
}

func benchmarkSegment(b *testing.B, name string, h frame.VNet, eth []byte) {
	out := make([]byte, 2000)
	b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(len(eth)))
		for b.Loop() {
			s, _ := frame.NewSegmenter(h, eth)
			for _, more := s.Next(out); more; _, more = s.Next(out) {
			}
		}
	})
}
