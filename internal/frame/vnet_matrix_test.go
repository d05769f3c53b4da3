package frame_test

import (
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// TestVNetValidAllKinds tries every combination of flags and segmentation type
// over frames of all sorts. What is valid must be no more than what was offered,
// and each function that acts on such a header must be able to.
func TestVNetValidAllKinds(t *testing.T) {
	t.Parallel()
	type shape struct {
		eth []byte
		h   frame.VNet // but for flags and type
	}
	var shapes []shape
	for _, p := range packetKinds() {
		p.payload = pattern(300)
		h := header(0, 0, p.headers(), 100, p.transport(), p.checksumOffset())
		h.SetTunnel(uint16(p.transport()), 0)
		shapes = append(shapes, shape{p.bytes(t), h})
	}
	overAllTunnels(func(_ string, tunnel switchtest.Tunnel, p packet) {
		p.payload = pattern(300)
		h, eth := superIn(t, tunnel, p, 100)
		shapes = append(shapes, shape{eth, h})
	})
	v4 := packet{payload: pattern(300)}.bytes(t)
	shapes = append(
		shapes,
		shape{v4, header(0, 0, 0, 0, 0, 0)}, // asks for nothing
		shape{v4, header(0, 0, len(v4)+1, 100, 34, 16)},            // hdr_len beyond
		shape{v4, header(0, 0, 54, 0xffff, 34, 16)},                // GSO_BY_FRAGS
		shape{v4, header(0, 0, 54, 0, 34, 16)},                     // segments of nothing
		shape{v4, header(0, 0, 54, 100, len(v4), 16)},              // checksum beyond
		shape{arpFrame(), header(0, 0, 0, 100, 36, 0)},             // no IP
		shape{make([]byte, 60), header(0, 0, 0, 100, 34, 16)},      // no protocol
		shape{make([]byte, 14), header(0, 0, 0, 100, 34, 16)},      // no payload
		shape{make([]byte, 13), header(0, 0, 0, 100, 34, 16)},      // no header
		shape{edit(v4, 20, 0x20), header(0, 0, 54, 100, 34, 16)},   // a fragment
		shape{edit(v4, 34+12, 0xf0), header(0, 0, 54, 10, 34, 16)}, // a long TCP header
	)
	const cutLen = 1 << 12
	out := make([]byte, cutLen)
	accepted, inTunnels := 0, 0
	for _, s := range shapes {
		eth, h := exact(s.eth), exact(s.h)
		for kind := range 1 << 16 {
			copy(h, s.h)
			h[0], h[1] = uint8(kind>>8), uint8(kind)
			if !frame.VNet(h).Valid(eth) {
				continue
			}
			if accepted++; frame.VNet(h).Tunnel() {
				inTunnels++
			}
			checkAccepted(t, h, eth, out)
			copy(eth, s.eth) // a checksum may have been completed
		}
	}
	if accepted == 0 || inTunnels == 0 {
		t.Errorf("%d combinations are valid, %d of them of tunnels", accepted, inTunnels)
	}
}

// checkAccepted acts on a header that is valid.
func checkAccepted(t *testing.T, h frame.VNet, eth, out []byte) {
	t.Helper()
	flags, gso, plain := h.Flags(), h.GSOType(), h.Plain()
	offered := uint8(needs | valid)
	if h.Tunnel() {
		offered = needs | tunnelSum
	}
	if flags&^offered != 0 || gso != none && gso != tcp4 && gso != tcp6 && gso != udpL4 {
		t.Errorf("flags %#x with type %#x were not offered", flags, h[1])
	}
	if gso != none && (plain || flags&needs == 0 || h.GSOSize() == 0) {
		t.Errorf("flags %#x with type %#x: segments of %d bytes without a checksum", flags, h[1], h.GSOSize())
	}
	if h[1]&ecn != 0 && gso != tcp4 && gso != tcp6 {
		t.Errorf("type %#x: ECN is TCP's", h[1])
	}
	if h.Tunnel() && (gso == none || h[1]&tunnel4 != 0 && h[1]&tunnel6 != 0) {
		t.Errorf("type %#x: a tunnel of nothing, or over IPv4 and IPv6", h[1])
	}
	if int(h.HdrLen()) > len(eth) || !plain && int(h.CsumStart())+int(h.CsumOffset())+2 > len(eth) {
		t.Errorf("flags %#x with type %#x: fields lie beyond the frame", flags, h[1])
	}
	if gso == none {
		if !frame.CompleteChecksum(h, eth) || !h.Plain() || !h.Valid(eth) {
			t.Errorf("flags %#x: the checksum cannot be completed", flags)
		}
		return
	}
	longest := h.SegmentLen(eth)
	segments, ok := frame.NewSegmenter(h, eth)
	if !ok || longest > len(eth) || segments.Len() != longest {
		t.Errorf("type %#x: a segment of %d bytes from %d cannot be cut", h[1], longest, len(eth))
		return
	}
	for n, more := segments.Next(out); more; n, more = segments.Next(out) {
		if plain := header(0, none, 0, 0, 0, 0); n > longest || !plain.Valid(out[:n]) {
			t.Errorf("type %#x: a segment of %d bytes, the longest was %d", h[1], n, longest)
		}
	}
}
