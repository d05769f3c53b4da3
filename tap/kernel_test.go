package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
	"vswitch/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// patience bounds how long a test waits for what must happen.
const patience = 20 * time.Second

// mustCreate makes an interface that is up and without IPv6, in the namespace of
// the calling thread.
func mustCreate(t testing.TB, ns *lab.Namespace, opts Options) *Device {
	t.Helper()
	d, err := Create(lab.UniqueName(), opts)
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
	return switchtest.Raw(switchtest.Frame(frame.Broadcast, switchtest.MAC(1), payload))
}

// packetSocket receives and sends test frames on a link of the calling thread's
// namespace, from the kernel's side.
func packetSocket(t *testing.T, link string) int {
	t.Helper()
	l, err := net.InterfaceByName(link)
	if err != nil {
		t.Fatal(err)
	}
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, switchtest.Experimental))
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

// read reads one frame, as whoever uses the device does, behind a header that is as long as the
// longest.
func read(d *Device, buf []byte) (int, frame.Status) {
	own := d.HeaderLen()
	skip := frame.VNetHeaderLen - own
	n, err := unix.Read(d.Fd(), buf[skip:])
	if err != nil {
		return 0, d.ReadStatus(errnoOf(err))
	}
	if skip > 0 {
		copy(buf, buf[skip:skip+own])
		clear(buf[own:frame.VNetHeaderLen])
	}
	return skip + n, frame.OK
}

// write writes one frame, as whoever uses the device does, of which b has a header as long as the
// longest or a part of it.
func write(d *Device, b []byte) frame.Status {
	own := min(d.HeaderLen(), len(b))
	raw := bytes.Clone(b[:own])
	if len(b) > frame.VNetHeaderLen {
		raw = append(raw, b[frame.VNetHeaderLen:]...)
	}
	if _, err := unix.Write(d.Fd(), raw); err != nil {
		return d.WriteStatus(errnoOf(err))
	}
	return frame.OK
}

// errnoOf is the errno in err, which a function of package unix has returned.
func errnoOf(err error) (errno unix.Errno) {
	errors.As(err, &errno)
	return errno
}

// receiveTest waits for the next test frame, and returns it with its header.
func receiveTest(t *testing.T, d *Device) []byte {
	t.Helper()
	buf := make([]byte, BufferLen)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, s := read(d, buf)
		switch {
		case s == frame.Gone:
			t.Fatal("the device is gone")
		case s == frame.Again:
			waitReadable(t, d, time.Until(deadline))
		case s == frame.OK && isTestFrame(buf[frame.VNetHeaderLen:n]):
			return buf[:n]
		}
	}
	t.Fatal("no test frame arrived")
	return nil
}

func isTestFrame(b []byte) bool {
	return frame.Ethernet(b).EtherType() == switchtest.Experimental
}

// waitReadable waits until the device has something to read, or for so long.
func waitReadable(t *testing.T, d *Device, limit time.Duration) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(d.Fd()), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, int(max(0, limit.Milliseconds()))); err != nil && err != unix.EINTR {
		t.Fatal(os.NewSyscallError("poll", err))
	}
}

func TestWriteReachesTheNamespace(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		s := packetSocket(t, d.Name())
		sent := testFrame("to the kernel")
		if status := write(d, sent); status != frame.OK {
			t.Fatalf("writing says %d, want OK", status)
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

func TestReadDeliversWhatTheNamespaceSends(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
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

func TestReadSaysAgainWhenNothingWaits(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d, err := Create(lab.UniqueName(), Options{}) // down, so it sends nothing
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if n, s := read(d, make([]byte, BufferLen)); n != 0 || s != frame.Again {
			t.Errorf("reading says %d bytes and %d, want 0 and Again", n, s)
		}
	})
}

func TestWriteToAnInterfaceThatIsDown(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		ns.Run("ip", "link", "set", d.Name(), "down")
		if s := write(d, testFrame("")); s != frame.Down {
			t.Errorf("writing says %d while down, want Down", s)
		}
		ns.Run("ip", "link", "set", d.Name(), "up")
		if s := write(d, testFrame("")); s != frame.OK {
			t.Errorf("writing says %d after coming up again, want OK", s)
		}
	})
}

func TestWriteIsRejected(t *testing.T) {
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
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d := mustCreate(t, ns, Options{})
		for _, test := range tests {
			if s := write(d, test.buf); s != frame.Rejected {
				t.Errorf("%s: writing says %d, want Rejected", test.name, s)
			}
		}
		if s := write(d, testFrame("")); s != frame.OK {
			t.Errorf("a good frame after bad ones: writing says %d, want OK", s)
		}
	})
}

func TestCloseDeletesTheLinkUnlessPersistent(t *testing.T) {
	alone(t)
	ns := lab.NewNamespace(t)
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
			if _, s := read(d, make([]byte, BufferLen)); s != frame.Gone {
				t.Errorf("reading after Close says %d, want Gone", s)
			}
			if s := write(d, testFrame("")); s != frame.Gone {
				t.Errorf("writing after Close says %d, want Gone", s)
			}
			if d.Fd() != -1 {
				t.Errorf("the descriptor after Close is %d, want -1", d.Fd())
			}
		})
	}
}

func TestNothingIsLeftOpen(t *testing.T) {
	lab.LeakCheck(t)
	ns := lab.NewNamespace(t)
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
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got := links(t); len(got) != 1 {
			t.Errorf("links %q are left, want lo alone", got)
		}
	})
}
