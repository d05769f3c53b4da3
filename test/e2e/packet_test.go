package e2e

import (
	"encoding/binary"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
)

// experimental is the EtherType for local experiments (IEEE 802 §9.2.4): no
// kernel answers frames of it.
const experimental = 0x88b5

// packetSocket sends and receives whole Ethernet frames on an interface
// (packet(7)).
type packetSocket struct {
	testing.TB
	fd      int
	ifindex int
}

// openPacket opens one inside the container that hears etherType on eth0. The
// switch lets pass whatever it sends.
func openPacket(c *container, etherType uint16) *packetSocket {
	c.Helper()
	c.trust()
	return packetSocketFor(c, etherType)
}

// rawSocket opens one that only sends, at a port that stays as it is.
func rawSocket(c *container) *packetSocket {
	c.Helper()
	return packetSocketFor(c, 0)
}

func packetSocketFor(c *container, etherType uint16) *packetSocket {
	c.Helper()
	s := &packetSocket{TB: c.TB}
	protocol := htons(etherType)
	s.fd = inside(c, func() (int, error) {
		link, err := net.InterfaceByName(c.port.IfName)
		if err != nil {
			return -1, err
		}
		s.ifindex = link.Index
		return unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
	})
	c.Cleanup(func() { unix.Close(s.fd) })
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: s.ifindex}); err != nil {
		c.Fatal(err)
	}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		c.Fatal(err)
	}
	return s
}

// trust has the switch let pass whatever the container sends: frames of any
// protocol and from any station.
func (c *container) trust() {
	c.Helper()
	h, ok := c.TB.(*host)
	if !ok {
		c.Fatalf("container %s has no host whose switch it could ask", c.Name())
	}
	if _, err := h.client.UpdatePort(c.Context(), c.port.ID, api.PortUpdate{Security: new(api.SecurityOff)}); err != nil {
		c.Fatal(err)
	}
}

// htons is for AF_PACKET, which wants the protocol in network order.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// offer sends a frame, which the sender's own kernel may refuse.
func (s *packetSocket) offer(frame []byte) error {
	return unix.Sendto(s.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.ifindex})
}

func (s *packetSocket) send(frame []byte) {
	s.Helper()
	if err := s.offer(frame); err != nil {
		s.Fatalf("send %d bytes: %v", len(frame), err)
	}
}

// receive waits for the next frame.
func (s *packetSocket) receive() []byte {
	s.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(s.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			s.Fatalf("no frame came within %s: %v", patience, err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		return buf[:n]
	}
}

// ethernet builds a frame.
func ethernet(dst, src net.HardwareAddr, etherType uint16, payload ...byte) []byte {
	b := append(append([]byte{}, dst...), src...)
	return append(binary.BigEndian.AppendUint16(b, etherType), payload...)
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
