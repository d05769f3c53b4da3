package tap

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
	"vswitch/test/lab"
)

// needTunnels skips a test where the kernel has none.
func needTunnels(t *testing.T, d *Device) {
	t.Helper()
	if !d.Offloads().Has(Tunnels) {
		t.Skip("the kernel has no offloads for tunnels: needs Linux 6.17")
	}
}

// tunnelNamespace is a namespace with a device and a VXLAN tunnel over it, of which the far ends
// are nobody's.
type tunnelNamespace struct {
	*lab.Namespace
	d *Device
}

// newTunnelNamespace makes a tunnel over IPv4 or IPv6, given more of what ip-link(8) takes.
func newTunnelNamespace(t *testing.T, ipv6 bool, more ...string) *tunnelNamespace {
	t.Helper()
	ns := &tunnelNamespace{Namespace: lab.NewNamespace(t)}
	ns.Do(func() { ns.d = mustCreate(t, ns.Namespace, Options{}) })
	needTunnels(t, ns.d)
	near, far, bits := "192.0.2.1", "192.0.2.2", "/24"
	if ipv6 {
		near, far, bits = "2001:db8::1", "2001:db8::2", "/64"
	}
	name := ns.d.Name()
	ns.Run("ip", "address", "add", near+bits, "dev", name, "nodad")
	ns.Run("ip", "neigh", "add", far, "lladdr", "02:00:00:00:00:02", "dev", name)
	ns.Run(append([]string{
		"ip", "link", "add", "vx0", "type", "vxlan", "id", "7", "dstport", "4789", "local", near, "remote", far,
	}, more...)...)
	ns.Run("ip", "link", "set", "vx0", "up")
	ns.Run("ip", "address", "add", "10.8.0.1/24", "dev", "vx0")
	ns.Run("ip", "neigh", "add", "10.8.0.2", "lladdr", "02:00:00:00:08:02", "dev", "vx0")
	return ns
}

// send sends datagrams of size bytes through the tunnel, as one super-frame if that is less than
// there is to send.
func (ns *tunnelNamespace) send(t *testing.T, bytes, size int) {
	t.Helper()
	ns.Do(func() {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(s)
		if err := unix.SetsockoptInt(s, unix.SOL_UDP, unix.UDP_SEGMENT, size); err != nil {
			t.Fatal(err)
		}
		to := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{10, 8, 0, 2}}
		if err := unix.Sendto(s, make([]byte, bytes), 0, to); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTunnelSuperFrames come with headers that are valid, over IPv4 and IPv6, with and without a
// checksum outside; a packet that needs no cutting comes as any other's.
func TestTunnelSuperFrames(t *testing.T) {
	t.Parallel()
	const size = 1000
	for name, c := range map[string]struct {
		ipv6  bool
		more  []string
		gso   uint8
		flags uint8
	}{
		"IPv4":                  {false, nil, frame.VNetGSOTunnelIPv4, frame.VNetTunnelChecksum},
		"IPv4 without checksum": {false, []string{"noudpcsum"}, frame.VNetGSOTunnelIPv4, 0},
		"IPv6":                  {true, nil, frame.VNetGSOTunnelIPv6, frame.VNetTunnelChecksum},
		"IPv6 without checksum": {true, []string{"udp6zerocsumtx"}, frame.VNetGSOTunnelIPv6, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newTunnelNamespace(t, c.ipv6, c.more...)
			for _, segments := range []int{1, 3} {
				ns.send(t, segments*size, size)
				h, eth := receiveTunnelled(t, ns.d, segments*size)
				if !h.Valid(eth) {
					t.Errorf("%d datagrams: the header % x of % x is not valid", segments, []byte(h), eth[:150])
				}
				if segments == 1 {
					if h.Tunnel() || h.Flags() != frame.VNetNeedsChecksum {
						t.Errorf("one datagram has the header % x", []byte(h))
					}
					continue
				}
				if h[1] != c.gso|frame.VNetGSOUDPL4 || h.Flags() != c.flags|frame.VNetNeedsChecksum || h.GSOSize() != size {
					t.Errorf("the super-frame's header is % x", []byte(h))
				}
			}
		})
	}
}

// receiveTunnelled returns the next frame that is as long as one with so many bytes of payload.
func receiveTunnelled(t *testing.T, d *Device, payload int) (frame.VNet, []byte) {
	t.Helper()
	buf := make([]byte, BufferLen)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, s := read(d, buf)
		switch {
		case s == frame.Again:
			waitReadable(t, d, time.Until(deadline))
		case s != frame.OK:
			t.Fatalf("reading says %d", s)
		default:
			if h, eth, _ := frame.ParseVNet(buf[:n]); len(eth) > payload {
				return h, eth
			}
		}
	}
	t.Fatal("no frame arrived")
	return nil, nil
}

// TestHeaderTooShortForTunnels: the kernel grants tunnels to a device with a short header too, and
// loses each frame that is read then. The device goes on.
func TestHeaderTooShortForTunnels(t *testing.T) {
	t.Parallel()
	ns := newTunnelNamespace(t, false)
	setLen := func(n int) {
		if err := setHeaderLen(ns.d.Fd(), n); err != nil {
			t.Fatal(err)
		}
		ns.d.header = n
	}
	setLen(frame.VNetShortHeaderLen)
	ns.send(t, 3000, 1000)
	buf := make([]byte, BufferLen)
	for deadline := time.Now().Add(patience); ; {
		n, s := read(ns.d, buf)
		if s == frame.Rejected {
			break
		}
		if s != frame.Again || time.Now().After(deadline) {
			t.Fatalf("reading says %d, with %d bytes; want Rejected", s, n)
		}
		waitReadable(t, ns.d, time.Until(deadline))
	}
	setLen(frame.VNetHeaderLen)
	ns.send(t, 3000, 1000)
	receiveTunnelled(t, ns.d, 3000)
}

// crossing is a namespace whose kernel passes on from one device to another what the other must
// have cut.
type crossing struct{ in, out *Device }

func newCrossing(t *testing.T) crossing {
	t.Helper()
	ns := lab.NewQuietNamespace(t)
	var c crossing
	ns.Do(func() {
		c.in, c.out = mustCreate(t, ns, Options{}), mustCreate(t, ns, Options{NoHeader: true})
	})
	ns.Run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	ns.Run("ip", "link", "set", "br0", "up")
	for _, d := range []*Device{c.in, c.out} {
		ns.Run("ip", "link", "set", d.Name(), "master", "br0")
	}
	return c
}

// expect compares what the kernel makes of a super-frame with what a Segmenter makes of it.
func (c crossing) expect(t *testing.T, raw []byte) {
	t.Helper()
	h, eth, _ := frame.ParseVNet(raw)
	s, ok := frame.NewSegmenter(h, eth)
	if !ok {
		t.Fatal("the super-frame is not valid")
	}
	if status := write(c.in, raw); status != frame.OK {
		t.Fatalf("writing says %d", status)
	}
	want, got := make([]byte, BufferLen), make([]byte, BufferLen)
	for i := 0; ; i++ {
		n, more := s.Next(want)
		if !more {
			return
		}
		m := c.receive(t, got, frame.Ethernet(eth).Src())
		if !bytes.Equal(got[:m], want[:n]) {
			t.Fatalf("segment %d is\n% x, the kernel's\n% x", i, want[:min(n, 150)], got[:min(m, 150)])
		}
	}
}

// receive reads the next frame from src.
func (c crossing) receive(t *testing.T, buf []byte, src frame.MAC) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, err := unix.Read(c.out.Fd(), buf)
		switch {
		case err == unix.EAGAIN:
			waitReadable(t, c.out, time.Until(deadline))
		case err != nil:
			t.Fatal(err)
		case frame.Ethernet(buf[:n]).Src() == src:
			return n
		}
	}
	t.Fatal("no segment arrived")
	return 0
}

// TestSegmentsAreTheKernels: our segments of TCP and UDP, of both IP versions, alone and in tunnels
// over both, are the kernel's own, byte for byte.
func TestSegmentsAreTheKernels(t *testing.T) {
	t.Parallel()
	c := newCrossing(t)
	dst, src := switchtest.MAC(2), switchtest.MAC(1)
	ends := map[string][2]netip.AddrPort{}
	for version, ip := range map[string][2]string{
		"IPv4": {"192.0.2.2", "192.0.2.1"}, "IPv6": {"2001:db8::2", "2001:db8::1"},
	} {
		ends[version] = [2]netip.AddrPort{
			netip.AddrPortFrom(netip.MustParseAddr(ip[0]), 2000), netip.AddrPortFrom(netip.MustParseAddr(ip[1]), 1000),
		}
	}
	payload := make([]byte, 5000)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	for version, end := range ends {
		for kind, whole := range map[string][]byte{
			"TCP": switchtest.TCP(dst, src, end[0], end[1], 0xfffffff0, payload),
			"UDP": switchtest.UDP(dst, src, end[0], end[1], payload),
		} {
			super := switchtest.Partial(whole, 1398)
			t.Run(kind+" over "+version, func(t *testing.T) { c.expect(t, super) })
			for outer, around := range ends {
				for _, without := range []bool{false, true} {
					tunnel := switchtest.Tunnel{
						To: dst, From: src, Dst: around[0].Addr(), Src: around[1].Addr(), NoChecksum: without,
					}
					name := fmt.Sprintf("%s over %s in %s, no checksum %t", kind, version, outer, without)
					t.Run(name, func(t *testing.T) {
						needTunnels(t, c.in)
						c.expect(t, tunnel.Super(super, 0xfffe))
					})
				}
			}
		}
	}
}
