package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

// experimental is the EtherType for local experiments (IEEE 802 §9.2.4): no
// kernel answers frames of it.
const experimental = 0x88b5

// ethernet builds a frame.
func ethernet(dst, src net.HardwareAddr, etherType uint16, payload ...byte) []byte {
	b := append(append([]byte{}, dst...), src...)
	return append(binary.BigEndian.AppendUint16(b, etherType), payload...)
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// with is the frames that hold these bytes.
func with(seen []lab.Frame, part []byte) []lab.Frame {
	var found []lab.Frame
	for _, s := range seen {
		if bytes.Contains(s.Bytes, part) {
			found = append(found, s)
		}
	}
	return found
}

// marks tells the marks of this process apart.
var marks atomic.Uint64

// discard is a port that nobody listens on (RFC 863).
const discard = "9"

// sendMark sends the default segment a broadcast that no other frame resembles. It is as
// harmless as can be: the container's own kernel sends it from its own addresses.
func sendMark(c *lab.Container) []byte {
	c.Helper()
	mark := fmt.Appendf(nil, "mark %d of the test ", marks.Add(1))
	conn := lab.Inside(
		c,
		func() (net.Conn, error) { return net.Dial("udp4", net.JoinHostPort("172.17.255.255", discard)) },
	)
	defer conn.Close()
	if _, err := conn.Write(mark); err != nil {
		c.Fatal(err)
	}
	return mark
}

// tag is a VLAN tag: its EtherType and its control information.
type tag struct{ etherType, control uint16 }

// tagged puts tags into a frame, the first one outermost.
func tagged(b []byte, tags ...tag) []byte {
	out := bytes.Clone(b[:12])
	for _, t := range tags {
		out = binary.BigEndian.AppendUint16(out, t.etherType)
		out = binary.BigEndian.AppendUint16(out, t.control)
	}
	return append(out, b[12:]...)
}

// arpPacket is RFC 826's for IPv4 over Ethernet.
func arpPacket(
	operation uint16,
	sender net.HardwareAddr,
	senderIP netip.Addr,
	target net.HardwareAddr,
	targetIP netip.Addr,
) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, 1, 8, 0, 6, 4}, operation)
	b = append(append(b, sender...), senderIP.AsSlice()...)
	return append(append(b, target...), targetIP.AsSlice()...)
}

// Operations of ARP (RFC 826).
const (
	arpAsks    = 1
	arpAnswers = 2
)

// asksFor says whether a frame is an ARP request for an address, or a probe.
func asksFor(b []byte, addr netip.Addr) bool {
	return len(b) >= 42 && binary.BigEndian.Uint16(b[12:]) == unix.ETH_P_ARP &&
		binary.BigEndian.Uint16(b[20:]) == arpAsks &&
		bytes.Equal(b[38:42], addr.AsSlice())
}

// askedFor is the ARP requests for an address.
func askedFor(seen []lab.Frame, addr netip.Addr) []lab.Frame {
	var found []lab.Frame
	for _, s := range seen {
		if asksFor(s.Bytes, addr) {
			found = append(found, s)
		}
	}
	return found
}
