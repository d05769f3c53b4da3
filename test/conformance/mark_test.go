package conformance

import (
	"bytes"
	"net/netip"
	"testing"

	"vswitch/internal/frame"
)

func TestMarksAreFoundInAllKinds(t *testing.T) {
	t.Parallel()
	from, to := exampleAttachment(1), exampleAttachment(2)
	for i, k := range kinds() {
		b, err := k.build(from, to, mark(i+1))
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		if got, ok := findMark(b); !ok || got != mark(i+1) {
			t.Errorf("%s: mark %d, want %d, in % x", k.name, got, i+1, b)
		}
		if len(b) < minFrame {
			t.Errorf("%s: %d bytes, want %d at least", k.name, len(b), minFrame)
		}
	}
}

func exampleAttachment(n byte) Attachment {
	gateway := netip.AddrFrom4([4]byte{10, 0, n, 1})
	return Attachment{
		IfName: "eth0", MAC: frame.MAC{2, 0x42, 10, 0, n, 2}, IP: netip.PrefixFrom(gateway.Next(), 24), Gateway: gateway,
	}
}

func FuzzFindMark(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(magic))
	f.Add(mark(7).bytes())
	f.Add(append([]byte(magic[:4]), mark(7).bytes()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := findMark(b)
		if ok != bytes.Contains(b[:max(0, len(b)-4)], []byte(magic)) {
			t.Errorf("found %t in % x", ok, b)
		}
		if ok && !bytes.Contains(b, m.bytes()) {
			t.Errorf("found %d, which is not in % x", m, b)
		}
	})
}
