package conformance

import (
	"bytes"
	"encoding/binary"
	"slices"

	"vswitch/internal/frame"
)

// experimental is the EtherType for local experiments (IEEE 802 §9.2.4): no kernel
// answers frames of it.
const experimental = 0x88b5

// minFrame is the shortest frame on a wire, without FCS, in bytes (IEEE 802.3 §4A.4.2).
const minFrame = 60

// mark tells the frames of one topology apart wherever they turn up.
type mark uint32

const (
	magic   = "\x9dvsconf\x9d"
	markLen = len(magic) + 4
)

func (m mark) bytes() []byte {
	return binary.BigEndian.AppendUint32([]byte(magic), uint32(m))
}

// findMark looks for a mark anywhere in a frame: tags, headers and padding stand
// before and behind it.
func findMark(b []byte) (mark, bool) {
	at := bytes.Index(b, []byte(magic))
	if at < 0 || len(b) < at+markLen {
		return 0, false
	}
	return mark(binary.BigEndian.Uint32(b[at+len(magic):])), true
}

// probe is a frame to be sent, which the topology can tell from all others.
type probe struct {
	mark  mark
	frame []byte
}

// newMark is one that was not used in this topology before.
func (l *topology) newMark() mark {
	l.marks++
	return l.marks
}

// probe makes a frame of the shortest legal size.
func (l *topology) probe(dst, src frame.MAC) probe {
	m := l.newMark()
	return probe{m, padded(ethernet(dst, src, experimental, m.bytes()))}
}

// probeOf makes a frame of n bytes, tags included. Its bytes are no constant, so
// that it shows when some are swapped.
func (l *topology) probeOf(n int, dst, src frame.MAC, tags ...tag) probe {
	m := l.newMark()
	b := tagged(ethernet(dst, src, experimental, m.bytes()), tags...)
	for len(b) < n {
		b = append(b, byte(len(b)))
	}
	return probe{m, b}
}

func ethernet(dst, src frame.MAC, etherType uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(slices.Concat(dst[:], src[:]), etherType), payload...)
}

// padded appends zeros up to the shortest legal size.
func padded(b []byte) []byte {
	return append(b, make([]byte, max(0, minFrame-len(b)))...)
}

// tag is a VLAN tag: its EtherType and its control information, which is priority,
// drop eligibility and VLAN identifier (IEEE 802.1Q-2022 §9.6).
type tag struct{ etherType, control uint16 }

func dot1q(control uint16) tag { return tag{frame.EtherTypeVLAN, control} }

// tagged puts tags into a frame, the first one outermost.
func tagged(b []byte, tags ...tag) []byte {
	var t []byte
	for _, tag := range tags {
		t = binary.BigEndian.AppendUint16(t, tag.etherType)
		t = binary.BigEndian.AppendUint16(t, tag.control)
	}
	return append(append(bytes.Clone(b[:12]), t...), b[12:]...)
}
