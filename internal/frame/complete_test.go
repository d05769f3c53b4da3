package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"vswitch/internal/frame"
)

// packetKinds are all that a Linux sender makes of TCP and UDP on a TAP.
func packetKinds() []packet {
	var kinds []packet
	for _, tags := range [][]uint16{nil, {5}, {5, 6}} {
		for _, udp := range []bool{false, true} {
			kinds = append(kinds,
				packet{tags: tags, udp: udp},
				packet{tags: tags, udp: udp, ipOptions: true, tcpOptions: true},
				packet{tags: tags, udp: udp, ipv6: true},
				packet{tags: tags, udp: udp, ipv6: true, extensions: 2, tcpOptions: true})
		}
	}
	return kinds
}

func kind(p packet) string {
	return fmt.Sprintf("tags %v udp %v ipv6 %v extensions %d options %v/%v", p.tags, p.udp, p.ipv6, p.extensions, p.ipOptions, p.tcpOptions)
}

func TestCompleteChecksum(t *testing.T) {
	t.Parallel()
	for _, p := range packetKinds() {
		for _, n := range []int{0, 1, 2, 17, 1400, 9001} {
			p.payload = pattern(n)
			want := p.bytes(t)
			h, eth := p.partial(t, 0)
			h.Set(needs|valid, none, 5, 0, h.CsumStart(), h.CsumOffset())
			if !frame.CompleteChecksum(h, eth) || !bytes.Equal(eth, want) {
				t.Errorf("%s, %d bytes: the checksum is not gopacket's", kind(p), n)
			}
			if !h.Plain() || h.Flags() != valid || !h.Valid(eth) {
				t.Errorf("%s: header became %x, want plain, valid and still verified", kind(p), h)
			}
			if !frame.CompleteChecksum(h, eth) || !bytes.Equal(eth, want) {
				t.Errorf("%s: a plain frame was refused or changed", kind(p))
			}
		}
	}
}

// zeroSum changes the payload so that the checksum comes out as 0.
func zeroSum(t *testing.T, p packet) packet {
	t.Helper()
	p.payload = append([]byte{0, 0}, p.payload...)
	eth := p.bytes(t)
	eth[p.transport()+p.checksumOffset()], eth[p.transport()+p.checksumOffset()+1] = 0, 0
	sum := naiveSum(eth[p.transport():], p.pseudoSum(len(eth)-p.transport()))
	binary.BigEndian.PutUint16(p.payload, ^sum)
	return p
}

func TestCompleteChecksumZero(t *testing.T) {
	t.Parallel()
	for _, v6 := range []bool{false, true} {
		p := zeroSum(t, packet{udp: true, ipv6: v6, payload: pattern(50)})
		h, eth := p.partial(t, 0)
		if !frame.CompleteChecksum(h, eth) {
			t.Fatal("refused")
		}
		if got := binary.BigEndian.Uint16(eth[p.transport()+6:]); got != 0xffff {
			t.Errorf("UDP checksum is %#x, want 0xffff: 0 means none", got)
		}
	}
}

// The sum runs to the end of the frame: zero padding is harmless, and other
// bytes behind the packet count as they do in the kernel.
func TestCompleteChecksumPadding(t *testing.T) {
	t.Parallel()
	p := packet{udp: true, payload: []byte{1, 2, 3}}
	whole := p.bytes(t)
	for _, tt := range []struct {
		padding []byte
		same    bool
	}{{make([]byte, 15), true}, {[]byte{9, 9, 9}, false}} {
		h, eth := p.partial(t, 0)
		eth = append(eth, tt.padding...)
		if !frame.CompleteChecksum(h, eth) {
			t.Fatal("refused")
		}
		if same := bytes.Equal(eth[:len(whole)], whole); same != tt.same {
			t.Errorf("padding %x: same checksum as without is %v, want %v", tt.padding, same, tt.same)
		}
		if got := naiveSum(eth[34:], p.pseudoSum(8+3)); got != 0xffff {
			t.Errorf("padding %x: the frame sums to %#x, want 0xffff", tt.padding, got)
		}
	}
}

func TestCompleteChecksumRefuses(t *testing.T) {
	t.Parallel()
	p := packet{payload: pattern(3000)}
	eth := p.bytes(t)
	for name, h := range map[string]frame.VNet{
		"csum_start beyond":        header(needs, none, 0, 0, len(eth), 0),
		"csum_start in the header": header(needs, none, 0, 0, 20, 6),
		"csum_offset beyond":       header(needs, none, 0, 0, 34, len(eth)-35),
		"super-frame":              header(needs, tcp4, 54, 1000, 34, 16),
		"unknown flag":             header(4, none, 0, 0, 0, 0),
	} {
		before, sent := exact(h), exact(eth)
		if frame.CompleteChecksum(h, sent) {
			t.Errorf("%s: completed", name)
		}
		if !bytes.Equal(h, before) || !bytes.Equal(sent, eth) {
			t.Errorf("%s: refused but changed", name)
		}
	}
}

func BenchmarkCompleteChecksum(b *testing.B) {
	p := packet{payload: pattern(1460)}
	h, eth := p.partial(b, 0)
	for b.Loop() {
		h.Set(needs, none, 0, 0, 34, 16)
		if !frame.CompleteChecksum(h, eth) {
			b.Fatal("refused")
		}
	}
}
