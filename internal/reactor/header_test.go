package reactor

import (
	"bytes"
	"slices"
	"testing"

	"vswitch/internal/frame"
)

// TestHeaderOfWhatIsRead is zero for plain frames, whatever was in the buffer, and whatever
// header the endpoint has.
func TestHeaderOfWhatIsRead(t *testing.T) {
	t.Parallel()
	for kind, open := range kinds {
		if kind == "socket pair" {
			continue // whose header is its sender's
		}
		for name, start := range engines {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				r, l := start(t), open(t)
				add(t, r, 1, l)
				readPlain(t, r, l)
			})
		}
	}
}

// readPlain expects three frames, behind headers of zeros.
func readPlain(t *testing.T, r *Reactor, l *line) {
	t.Helper()
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
	if !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("received %q", got)
	}
}

// TestHeaderOfWhatIsSent reaches the kernel, which refuses what is wrong in it, also where one
// buffer is for several endpoints.
func TestHeaderOfWhatIsSent(t *testing.T) {
	t.Parallel()
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			short, long := newHeadedTAP(t, frame.VNetShortHeaderLen), newHeadedTAP(t, frame.VNetHeaderLen)
			plain := newPlainTAP(t)
			for i, l := range []*line{short, long, plain} {
				add(t, r, uint32(i), l)
			}
			bad, good := bytes.Clone(frameOf(r, "bad")), frameOf(r, "good")
			h := frame.VNet(bad)
			h.Set(frame.VNetNeedsChecksum, frame.VNetGSONone, 0, 0, 0xf000, 0)
			for _, b := range [][]byte{bad, good} {
				for slot := range uint32(3) {
					r.Send(slot, b)
				}
			}
			flush(t, r, frame.Rejected, frame.Rejected, frame.OK, frame.OK, frame.OK, frame.OK)
			short.arrived("good")
			long.arrived("good")
			plain.arrived("bad", "good")
			if h.Flags() != frame.VNetNeedsChecksum || h.CsumStart() != 0xf000 {
				t.Errorf("the header has become % x", []byte(h))
			}
		})
	}
}
