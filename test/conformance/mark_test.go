package conformance

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

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

// auxdata is what the kernel tells beside a frame that had this tag.
func auxdata(status uint32, t tag) []byte {
	b := make([]byte, unix.CmsgSpace(auxdataLen))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(auxdataLen)))
	binary.NativeEndian.PutUint32(b[8:], unix.SOL_PACKET)
	binary.NativeEndian.PutUint32(b[12:], unix.PACKET_AUXDATA)
	data := b[unix.CmsgLen(0):]
	binary.NativeEndian.PutUint32(data, status)
	binary.NativeEndian.PutUint16(data[16:], t.control)
	binary.NativeEndian.PutUint16(data[18:], t.etherType)
	return b
}

func TestTagsArePutBack(t *testing.T) {
	t.Parallel()
	plain := ethernet(frame.Broadcast, frame.MAC{2}, experimental, []byte("payload"))
	const valid, typed = unix.TP_STATUS_VLAN_VALID, unix.TP_STATUS_VLAN_TPID_VALID
	outer := tag{frame.EtherTypeQinQ, 100}
	for _, test := range []struct {
		name    string
		control []byte
		want    []byte
	}{
		{"none", nil, plain},
		{"no tag", auxdata(0, outer), plain},
		{"a tag", auxdata(valid|typed, outer), tagged(plain, outer)},
		{"a tag of unknown type", auxdata(valid, outer), tagged(plain, dot1q(100))},
		{"cut short", auxdata(valid, outer)[:20], plain},
	} {
		if got := withTag(plain, test.control); !bytes.Equal(got, test.want) {
			t.Errorf("%s: got % x, want % x", test.name, got, test.want)
		}
	}
}
