package frame_test

import (
	"testing"

	"vswitch/internal/frame"
)

// TestWireLen is the length of all segments that a Segmenter makes.
func TestWireLen(t *testing.T) {
	t.Parallel()
	out := make([]byte, 70000)
	for _, p := range packetKinds() {
		for _, c := range []struct{ payload, size int }{
			{0, 1000}, {1, 1000}, {1000, 1000}, {1001, 1000}, {2000, 1000}, {64000, 1448}, {100, 1},
		} {
			p.payload = pattern(c.payload)
			h, eth := p.partial(t, c.size)
			s, ok := frame.NewSegmenter(h, eth)
			if !ok {
				t.Fatalf("%s %+v: refused", kind(p), c)
			}
			want := 0
			for n, ok := s.Next(out); ok; n, ok = s.Next(out) {
				want += n
			}
			if got := h.WireLen(eth); got != want {
				t.Errorf("%s %+v: %d bytes, want %d", kind(p), c, got, want)
			}
		}
		h, eth := p.partial(t, 1000)
		h.Set(frame.VNetNeedsChecksum, frame.VNetGSOTCPv4, 0, 0, 0xffff, 0xffff)
		if got := h.WireLen(eth); got != len(eth) {
			t.Errorf("%s with a bad header: %d bytes, want %d", kind(p), got, len(eth))
		}
		if h.Clear(); h.WireLen(eth) != len(eth) {
			t.Errorf("%s without segmentation: not its own length", kind(p))
		}
	}
}
