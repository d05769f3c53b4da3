package tap

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/test/lab"
)

// Places in what sendUDP sends.
const (
	udpStart    = frame.EthernetHeaderLen + frame.IPv4HeaderLen
	udpSegments = 3
	udpSegment  = 1000 // bytes of payload
)

// sendUDP has the calling thread's namespace send datagrams to a neighbour behind the
// device, as one super-frame if the device takes those.
func sendUDP(t *testing.T, ns *lab.Namespace, d *Device) {
	t.Helper()
	ns.Run("ip", "address", "replace", "10.9.0.1/24", "dev", d.Name())
	ns.Run("ip", "neigh", "replace", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", d.Name())
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	if err := unix.SetsockoptInt(s, unix.SOL_UDP, unix.UDP_SEGMENT, udpSegment); err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{10, 9, 0, 2}}
	if err := unix.Sendto(s, make([]byte, udpSegments*udpSegment), 0, to); err != nil {
		t.Fatal(err)
	}
}

// receiveUDP returns the next frame of IPv4 and UDP that the device delivers.
func receiveUDP(t *testing.T, d *Device) []byte {
	t.Helper()
	buf := make([]byte, BufferLen)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, s := read(d, buf)
		if s == frame.Again {
			waitReadable(t, d, time.Until(deadline))
			continue
		}
		if s != frame.OK {
			t.Fatalf("reading says %d", s)
		}
		if b := buf[frame.VNetHeaderLen:n]; frame.Ethernet(b).EtherType() == frame.EtherTypeIPv4 &&
			b[frame.EthernetHeaderLen+9] == frame.ProtoUDP {
			return buf[:n]
		}
	}
	t.Fatal("no datagram arrived")
	return nil
}

// checkUDP wants datagrams as the device is to deliver them: complete, or one super-frame.
func checkUDP(t *testing.T, ns *lab.Namespace, d *Device) {
	t.Helper()
	sendUDP(t, ns, d)
	if d.HeaderLen() != 0 {
		b := receiveUDP(t, d)
		h, eth, _ := frame.ParseVNet(b)
		if h.GSOType() != frame.VNetGSOUDPL4 || len(eth) < udpSegments*udpSegment {
			t.Errorf("%d bytes of type %d were read, want one super-frame", len(eth), h.GSOType())
		}
		return
	}
	for range udpSegments {
		b := receiveUDP(t, d)[frame.VNetHeaderLen:]
		if want := udpStart + 8 + udpSegment; len(b) != want {
			t.Fatalf("a frame of %d bytes was read, want %d", len(b), want)
		}
		pseudo := append([]byte{0, frame.ProtoUDP}, b[frame.EthernetHeaderLen+12:udpStart]...)
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(b)-udpStart))
		if frame.Sum(b[udpStart:], frame.Sum(pseudo, 0)) != 0xffff {
			t.Error("the kernel has left the checksum to us")
		}
	}
}

// checkHeader wants the longest header where the kernel has tunnels, and what the device says of
// its header to be so.
func checkHeader(t *testing.T, d *Device, plain bool) {
	t.Helper()
	want := frame.VNetShortHeaderLen
	switch {
	case plain:
		if d.HeaderLen() != 0 {
			t.Errorf("without header, it has %d bytes", d.HeaderLen())
		}
		return
	case d.Offloads().Has(Tunnels):
		want = frame.VNetHeaderLen
	}
	size, err := unix.IoctlGetInt(d.Fd(), unix.TUNGETVNETHDRSZ)
	if err != nil {
		t.Fatal(err)
	}
	if d.HeaderLen() != want || size != want {
		t.Errorf("with %s, the header has %d bytes and the kernel's %d, want %d",
			d.Offloads(), d.HeaderLen(), size, want)
	}
}

// TestHeaderWithoutTunnels is the short one of a kernel before 6.17, also if the device had another.
func TestHeaderWithoutTunnels(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		var err error
		if d.header, d.offloads, err = setShortHeader(d.fd); err != nil {
			t.Fatal(err)
		}
		if d.offloads != plainOffloads || d.header != frame.VNetShortHeaderLen {
			t.Errorf("%s with a header of %d bytes", d.offloads, d.header)
		}
		checkHeader(t, d, false)
		checkUDP(t, ns, d)
	})
}

// TestHeaderIsThatOfTheLastToOpen the device: what it had before does not count.
func TestHeaderIsThatOfTheLastToOpen(t *testing.T) {
	alone(t)
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{Persist: true})
		name := d.Name()
		for _, plain := range []bool{false, true, false, true} {
			d.Close()
			var err error
			if d, err = Attach(name, Options{Persist: true, NoHeader: plain}); err != nil {
				t.Fatal(err)
			}
			checkHeader(t, d, plain)
			if got := d.Offloads(); plain != (got == 0) {
				t.Errorf("without header %t: the offloads are %s", plain, got)
			}
			if s := write(d, testFrame("")); s != frame.OK {
				t.Errorf("without header %t: writing says %d, want OK", plain, s)
			}
			checkUDP(t, ns, d)
		}
		d.Close()
		last, err := Attach(name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		last.Close()
	})
}

func TestAdoptKeepsTheHeader(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		ns := lab.NewNamespace(t)
		ns.Do(func() {
			d := mustCreate(t, ns, Options{NoHeader: plain})
			fd, err := unix.FcntlInt(uintptr(d.Fd()), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			adopted, err := Adopt(fd)
			if err != nil {
				t.Fatal(err)
			}
			defer adopted.Close()
			if adopted.HeaderLen() != d.HeaderLen() || adopted.Offloads() != d.Offloads() {
				t.Errorf("adopted with a header of %d bytes and %s, want %d and %s",
					adopted.HeaderLen(), adopted.Offloads(), d.HeaderLen(), d.Offloads())
			}
			checkUDP(t, ns, adopted)
		})
	}
}
