package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/frame"
	"vswitch/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// testEtherType is the local experimental EtherType (IEEE 802), which no stack
// sends by itself, unlike IPv6 with its router solicitations.
const testEtherType = 0x88b5

// patience bounds how long a test waits for what must happen.
const patience = 20 * time.Second

// mustCreate makes an interface that is up and without IPv6, in the namespace of
// the calling thread.
func mustCreate(t testing.TB, ns *testenv.Namespace, opts Options) *Device {
	t.Helper()
	d, err := Create(testenv.UniqueName(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	ns.Run("ip", "link", "set", d.Name(), "up")
	return d
}

// alone marks a test that must not run beside others: those fork, and a child
// holds copies of all descriptors until its exec, so that a closed device lives on
// for a moment. Setting a variable makes a later t.Parallel panic.
func alone(t *testing.T) { t.Setenv("VSWITCH_TEST_ALONE", "1") }

// links are the names of the links in the calling thread's namespace.
func links(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range all {
		names = append(names, l.Name)
	}
	return names
}

// testFrame is a plain virtio-net header and a broadcast frame with this payload.
func testFrame(payload string) []byte {
	b := make([]byte, frame.VNetHeaderLen+60)
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	eth.SetDst(frame.Broadcast)
	eth.SetSrc(frame.MAC{0x02, 0, 0, 0, 0, 1})
	eth.SetEtherType(testEtherType)
	copy(eth.Payload(), payload)
	return b
}

// packetSocket receives and sends test frames on a link of the calling thread's
// namespace, from the kernel's side.
func packetSocket(t *testing.T, link string) int {
	t.Helper()
	l, err := net.InterfaceByName(link)
	if err != nil {
		t.Fatal(err)
	}
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, testEtherType))
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s) })
	if err := unix.Bind(s, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: l.Index}); err != nil {
		t.Fatal(err)
	}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	return s
}

// receiveTest polls until a test frame arrives, and returns it with its header.
func receiveTest(t *testing.T, d *Device) []byte {
	t.Helper()
	buf := make([]byte, BufferLen)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, s := d.Receive(buf)
		if s == frame.Gone {
			t.Fatal("the device is gone")
		}
		if s == frame.OK && frame.Ethernet(buf[frame.VNetHeaderLen:n]).EtherType() == testEtherType {
			return buf[:n]
		}
	}
	t.Fatal("no test frame arrived")
	return nil
}

func TestTransmitReachesTheNamespace(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		s := packetSocket(t, d.Name())
		sent := testFrame("to the kernel")
		if status := d.Transmit(sent); status != frame.OK {
			t.Fatalf("Transmit says %d, want OK", status)
		}
		got := make([]byte, 2048)
		n, err := unix.Read(s, got)
		if err != nil {
			t.Fatal(err)
		}
		if want := sent[frame.VNetHeaderLen:]; !bytes.Equal(got[:n], want) {
			t.Errorf("the kernel received %x, want %x", got[:n], want)
		}
	})
}

func TestReceiveDeliversWhatTheNamespaceSends(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		want := testFrame("from the kernel")
		if _, err := unix.Write(packetSocket(t, d.Name()), want[frame.VNetHeaderLen:]); err != nil {
			t.Fatal(err)
		}
		if got := receiveTest(t, d); !bytes.Equal(got, want) {
			t.Errorf("received %x, want %x", got, want)
		}
	})
}

func TestReceiveSaysAgainWhenNothingWaits(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d, err := Create(testenv.UniqueName(), Options{}) // down, so it sends nothing
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if n, s := d.Receive(make([]byte, BufferLen)); n != 0 || s != frame.Again {
			t.Errorf("Receive says %d bytes and %d, want 0 and Again", n, s)
		}
	})
}

func TestTransmitToAnInterfaceThatIsDown(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		ns.Run("ip", "link", "set", d.Name(), "down")
		if s := d.Transmit(testFrame("")); s != frame.Down {
			t.Errorf("Transmit says %d while down, want Down", s)
		}
		ns.Run("ip", "link", "set", d.Name(), "up")
		if s := d.Transmit(testFrame("")); s != frame.OK {
			t.Errorf("Transmit says %d after coming up again, want OK", s)
		}
	})
}

func TestTransmitRejects(t *testing.T) {
	t.Parallel()
	header := func(change func(h frame.VNet)) []byte {
		b := testFrame("")
		change(frame.VNet(b[:frame.VNetHeaderLen]))
		return b
	}
	tests := []struct {
		name string
		buf  []byte
	}{
		{"nothing", nil},
		{"half a virtio-net header", make([]byte, 5)},
		{"no Ethernet header", make([]byte, frame.VNetHeaderLen+13)},
		{"an unknown segmentation type", header(func(h frame.VNet) { h.Set(0, 0x7f, 0, 100, 0, 0) })},
		{"TCP segmentation without a size", header(func(h frame.VNet) { h.Set(1, frame.VNetGSOTCPv4, 54, 0, 34, 16) })},
		{"a header longer than the frame", header(func(h frame.VNet) { h.Set(0, 0, 1000, 0, 0, 0) })},
		{"a checksum behind the frame", header(func(h frame.VNet) { h.Set(1, 0, 0, 0, 5000, 16) })},
	}
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		for _, test := range tests {
			if s := d.Transmit(test.buf); s != frame.Rejected {
				t.Errorf("%s: Transmit says %d, want Rejected", test.name, s)
			}
		}
		if s := d.Transmit(testFrame("")); s != frame.OK {
			t.Errorf("a good frame after bad ones: Transmit says %d, want OK", s)
		}
	})
}

// TestTCPTravelsAsSuperFrames lets a TCP stream run between two namespaces over
// two devices and a relay, and looks at what it is cut into.
func TestTCPTravelsAsSuperFrames(t *testing.T) {
	t.Parallel()
	const mtu, size = 1500, 4 << 20
	a, b := testenv.NewNamespace(t), testenv.NewNamespace(t)
	var da, db *Device
	var listener net.Listener
	a.Do(func() {
		da = mustCreate(t, a, Options{})
		a.Run("ip", "addr", "add", "10.9.0.1/24", "dev", da.Name())
	})
	b.Do(func() {
		db = mustCreate(t, b, Options{})
		b.Run("ip", "addr", "add", "10.9.0.2/24", "dev", db.Name())
		var err error
		if listener, err = net.Listen("tcp", "10.9.0.2:0"); err != nil {
			t.Fatal(err)
		}
	})
	defer listener.Close()
	relay := startRelay(t, da, db)
	received := make(chan int64, 1)
	go func() { received <- countBytes(listener) }()
	a.Do(func() {
		c, err := net.DialTimeout("tcp", listener.Addr().String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	})
	if n := <-received; n != size {
		t.Errorf("%d bytes came through, want %d", n, size)
	}
	largest, header := relay.stop()
	if largest <= mtu+frame.EthernetHeaderLen || header.GSOType() != frame.VNetGSOTCPv4 || header.GSOSize() == 0 {
		t.Errorf("the largest frame has %d bytes, type %d and segment size %d; want a TCP super-frame beyond the MTU of %d",
			largest, header.GSOType(), header.GSOSize(), mtu)
	}
}

func TestCloseDeletesTheLinkUnlessPersistent(t *testing.T) {
	alone(t)
	ns := testenv.NewNamespace(t)
	for _, persist := range []bool{false, true} {
		ns.Do(func() {
			d := mustCreate(t, ns, Options{Persist: persist})
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := net.InterfaceByName(d.Name())
			if there := err == nil; there != persist {
				t.Errorf("persist %t: the link is there after Close: %t", persist, there)
			}
			if err := d.Close(); err != nil {
				t.Errorf("the second Close fails: %v", err)
			}
			if _, s := d.Receive(make([]byte, BufferLen)); s != frame.Gone {
				t.Errorf("Receive after Close says %d, want Gone", s)
			}
			if s := d.Transmit(testFrame("")); s != frame.Gone {
				t.Errorf("Transmit after Close says %d, want Gone", s)
			}
			if d.Fd() != -1 {
				t.Errorf("the descriptor after Close is %d, want -1", d.Fd())
			}
		})
	}
}

func TestPathDoesNotAllocate(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		p := newPoller(t, d)
		out, in, ready := testFrame(""), make([]byte, BufferLen), make([]uint32, 8)
		for name, f := range map[string]func(){
			"Transmit":          func() { d.Transmit(out) },
			"Receive":           func() { d.Receive(in) },
			"Wait without time": func() { p.Wait(ready, 0) },
			"Wake and Wait":     func() { p.Wake(); p.Wait(ready, -1) },
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}

func TestNothingIsLeftOpen(t *testing.T) {
	testenv.LeakCheck(t)
	ns := testenv.NewNamespace(t)
	ns.Do(func() {
		for range 50 {
			d, err := Create("vst-cycle", Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{d.Name(), "", "a/b"} {
				if _, err := Create(bad, Options{}); err == nil {
					t.Fatalf("Create(%q) succeeds", bad)
				}
			}
			for _, bad := range []string{d.Name(), "vst-missing", "lo"} {
				if _, err := Attach(bad, Options{}); err == nil {
					t.Fatalf("Attach(%q) succeeds", bad)
				}
			}
			p := newPoller(t, d)
			if err := errors.Join(p.Close(), d.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if got := links(t); len(got) != 1 {
			t.Errorf("links %q are left, want lo alone", got)
		}
	})
}
