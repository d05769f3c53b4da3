package reactor

import (
	"bytes"
	"testing"

	"vswitch/internal/frame"
)

// TestHeaderOfAPlainEndpoint is zero in what is read, whatever was in the buffer.
func TestHeaderOfAPlainEndpoint(t *testing.T) {
	t.Parallel()
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l := start(t), newPlainTAP(t)
			if err := r.Add(1, l, true); err != nil {
				t.Fatal(err)
			}
			l.inject("one", "two", "three")
			bufs := make([][]byte, testBatch)
			for i := range bufs {
				bufs[i] = bytes.Repeat([]byte{0xff}, 2048)
			}
			var got []string
			for len(got) < 3 {
				n, status := r.Receive(1, bufs)
				if status != frame.OK && status != frame.Again {
					t.Fatalf("Receive says %d", status)
				}
				for _, b := range bufs[:n] {
					if h := b[:frame.VNetHeaderLen]; !bytes.Equal(h, make([]byte, len(h))) {
						t.Errorf("the header is % x, want zeros", h)
					}
					got = append(got, payload(b))
				}
			}
			if got[0] != "one" || got[1] != "two" || got[2] != "three" {
				t.Errorf("received %q", got)
			}
		})
	}
}
