package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// witness hears every frame that comes to a container, also what is for another
// host, while the switch restrains the container as before. That a frame did not
// come is proven by order: its sender sends a mark behind it, and what has not come
// before the mark does not come.
type witness struct {
	testing.TB

	fd       int
	buf, aux []byte
}

// sighting is a frame that a witness heard.
type sighting struct {
	frame []byte    // with all its tags
	at    time.Time // when the kernel took it
}

// witnessBuffer is how many bytes of frames the kernel keeps for a witness.
const witnessBuffer = 64 << 20

// witness opens a witness at the container's interface, from now on.
func (c *container) witness() *witness {
	c.Helper()
	w := &witness{TB: c.TB, buf: make([]byte, 1<<16), aux: make([]byte, 256)}
	protocol := htons(unix.ETH_P_ALL)
	var index int
	w.fd = inside(c, func() (int, error) {
		link, err := net.InterfaceByName(c.port.IfName)
		if err != nil {
			return -1, err
		}
		index = link.Index
		return unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	})
	c.Cleanup(func() { unix.Close(w.fd) })
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, witnessBuffer},
		{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1},
		{unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(w.fd, option.level, option.name, option.value); err != nil {
			c.Fatalf("set option %d of a packet socket: %v", option.name, err)
		}
	}
	promiscuous := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	err := unix.SetsockoptPacketMreq(w.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promiscuous)
	if err != nil {
		c.Fatal(err)
	}
	from := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}
	if err := unix.Bind(w.fd, from); err != nil {
		c.Fatal(err)
	}
	return w
}

// next is the next frame; false says that none has come before the deadline.
func (w *witness) next(deadline time.Time) (sighting, bool) {
	w.Helper()
	for {
		n, auxLen, _, _, err := unix.Recvmsg(w.fd, w.buf, w.aux, unix.MSG_DONTWAIT)
		switch err {
		case nil:
			return w.sighting(w.buf[:n], w.aux[:auxLen]), true
		case unix.EAGAIN:
			left := time.Until(deadline)
			if left <= 0 {
				return sighting{}, false
			}
			wait := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(wait, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
				w.Fatalf("wait for a frame: %v", err)
			}
		case unix.EINTR, unix.ENETDOWN:
		default:
			w.Fatalf("receive a frame: %v", err)
		}
	}
}

// sighting copies a frame and puts back its outer tag, which the kernel has taken
// out (PACKET_AUXDATA, packet(7)).
func (w *witness) sighting(b, control []byte) sighting {
	w.Helper()
	s := sighting{frame: bytes.Clone(b)}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		w.Fatalf("read what came beside a frame: %v", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS:
			s.at = time.Unix(
				int64(binary.NativeEndian.Uint64(m.Data)),
				int64(binary.NativeEndian.Uint64(m.Data[8:])),
			)
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA:
			if binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
				t := tag{binary.NativeEndian.Uint16(m.Data[18:]), binary.NativeEndian.Uint16(m.Data[16:])}
				s.frame = tagged(b, t)
			}
		}
	}
	return s
}

// until returns the frames that come before the mark.
func (w *witness) until(mark []byte) []sighting {
	w.Helper()
	var seen []sighting
	for deadline := time.Now().Add(patience); ; {
		s, ok := w.next(deadline)
		if !ok {
			w.Fatalf("the mark %q has not come within %s", mark, patience)
		}
		if bytes.Contains(s.frame, mark) {
			w.noneLost()
			return seen
		}
		seen = append(seen, s)
	}
}

// noneLost fails the test when the kernel has thrown frames away before they were
// read: that a frame was not heard proves nothing then.
func (w *witness) noneLost() {
	w.Helper()
	stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		w.Fatal(err)
	}
	if stats.Drops > 0 {
		w.Fatalf("a witness lost %d frames before it read them", stats.Drops)
	}
}

// with is the frames that hold these bytes.
func with(seen []sighting, part []byte) []sighting {
	var found []sighting
	for _, s := range seen {
		if bytes.Contains(s.frame, part) {
			found = append(found, s)
		}
	}
	return found
}

// marks tells the marks of this process apart.
var marks atomic.Uint64

// discard is a port that nobody listens on (RFC 863).
const discard = "9"

// mark sends the default segment a broadcast that no other frame resembles. It is as
// harmless as can be: the container's own kernel sends it from its own addresses.
func (c *container) mark() []byte {
	c.Helper()
	mark := fmt.Appendf(nil, "mark %d of the test ", marks.Add(1))
	conn := inside(
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
func askedFor(seen []sighting, addr netip.Addr) []sighting {
	var found []sighting
	for _, s := range seen {
		if asksFor(s.frame, addr) {
			found = append(found, s)
		}
	}
	return found
}

// vsctl runs the real one and returns its exit status and what it prints.
func (h *host) vsctl(args ...string) (status int, output string) {
	h.Helper()
	cmd := exec.CommandContext(h.Context(), filepath.Join(binaries, "vsctl"), args...)
	cmd.Env = append(os.Environ(), "VSWITCH_SOCKET="+h.socket)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		h.Fatalf("run vsctl %q: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// mustVsctl fails the test at once unless vsctl succeeds.
func (h *host) mustVsctl(args ...string) string {
	h.Helper()
	status, out := h.vsctl(args...)
	if status != 0 {
		h.Fatalf("vsctl %q: exit status %d: %s", args, status, out)
	}
	return out
}
