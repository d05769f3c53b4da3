package reactor

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
	"vswitch/tap"
	"vswitch/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	// testBatch is the batch size of the tests' reactors.
	testBatch = 8
	// patience bounds how long a test waits for what must happen.
	patience = 20 * time.Second
)

// line is an endpoint with its far end in the hands of a test.
type line struct {
	Endpoint
	t   testing.TB
	far int // a blocking descriptor on which one call carries one frame without virtio header
	end func()
	// closeEndpoint closes the endpoint's descriptor; the test's end does so otherwise.
	closeEndpoint func() error
	header        int // bytes of virtio-net header that only the near end sees
}

// kinds are the kinds of endpoint; each function makes one.
var kinds = map[string]func(t testing.TB) *line{
	"tap":         newTAP,
	"short tap":   func(t testing.TB) *line { return newHeadedTAP(t, frame.VNetShortHeaderLen) },
	"long tap":    func(t testing.TB) *line { return newHeadedTAP(t, frame.VNetHeaderLen) },
	"plain tap":   newPlainTAP,
	"socket pair": newSocketPair,
}

// engines are the ways in which a reactor carries frames.
var engines = map[string]func(t testing.TB) *Reactor{
	"registered buffers": func(t testing.TB) *Reactor {
		r := newReactor(t, testBatch)
		r.wanted = RingFixed
		r.Buffers(testPlaces, tap.BufferLen)
		if s := r.State(); s.Engine != RingFixed {
			t.Fatalf("the engine is %v: %v", s.Engine, s.Why)
		}
		return r
	},
	"registered files": func(t testing.TB) *Reactor { return newReactor(t, testBatch) },
	"plain descriptors": func(t testing.TB) *Reactor {
		r := newReactor(t, testBatch)
		r.ring.files.full = true
		return r
	},
	"fallen back": func(t testing.TB) *Reactor {
		r := newReactor(t, testBatch)
		r.fallBack(unix.ENOSYS)
		return r
	},
	"asked to be plain": func(t testing.TB) *Reactor {
		return newReactorWith(t, Options{Batch: testBatch, Engine: Plain})
	},
	"batch of one": func(t testing.TB) *Reactor { return newReactor(t, 1) },
}

// overAll runs test with every kind of endpoint and every engine.
func overAll(t *testing.T, test func(t *testing.T, r *Reactor, open func() *line)) {
	t.Helper()
	for kind, open := range kinds {
		for engine, start := range engines {
			t.Run(kind+"/"+engine, func(t *testing.T) {
				t.Parallel()
				r := start(t)
				test(t, r, func() *line { return open(t) })
			})
		}
	}
}

// newReactor makes a reactor, which has a ring unless batch is 1.
func newReactor(t testing.TB, batch int) *Reactor {
	t.Helper()
	r := newReactorWith(t, Options{Batch: batch})
	if err := unbatched(r); batch > 1 && err != nil {
		t.Fatalf("no io_uring: %v", err)
	}
	return r
}

// newReactorWith makes a reactor of the calling goroutine, whose thread it keeps.
func newReactorWith(t testing.TB, o Options) *Reactor {
	t.Helper()
	runtime.LockOSThread()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	return r
}

// unbatched returns why each frame takes a system call of its own, nil if it does not.
func unbatched(r *Reactor) error {
	if s := r.State(); s.Engine == Plain {
		return s.Why
	}
	return nil
}

// newTAP makes a TAP that is up, without IPv6, in a namespace of its own, with a
// packet socket on the kernel's side.
func newTAP(t testing.TB) *line {
	t.Helper()
	return newTAPWith(t, tap.Options{})
}

// newPlainTAP is newTAP without virtio-net header.
func newPlainTAP(t testing.TB) *line {
	t.Helper()
	return newTAPWith(t, tap.Options{NoHeader: true})
}

// headed is a TAP with a virtio-net header of another length than its kernel would get.
type headed struct {
	*tap.Device
	length int
}

// HeaderLen implements [Endpoint].
func (h headed) HeaderLen() int { return h.length }

// newHeadedTAP is newTAP with a virtio-net header of n bytes.
func newHeadedTAP(t testing.TB, n int) *line {
	t.Helper()
	l := newTAP(t)
	l.Endpoint = head(t, l.Endpoint.(*tap.Device), n)
	return l
}

// mustCreateHeaded is mustCreate with a virtio-net header of n bytes.
func mustCreateHeaded(t testing.TB, ns *lab.Namespace, n int) headed {
	t.Helper()
	return head(t, mustCreate(t, ns, tap.Options{}), n)
}

// head gives a device a virtio-net header of n bytes, and no offloads that need a longer one.
func head(t testing.TB, d *tap.Device, n int) headed {
	t.Helper()
	if err := unix.IoctlSetInt(d.Fd(), unix.TUNSETOFFLOAD, int(d.Offloads()&^tap.Tunnels)); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(d.Fd(), unix.TUNSETVNETHDRSZ, n); err != nil {
		t.Fatal(err)
	}
	return headed{d, n}
}

func newTAPWith(t testing.TB, o tap.Options) *line {
	t.Helper()
	ns := lab.NewNamespace(t)
	ns.Run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1") // it would send by itself
	l := &line{t: t}
	ns.Do(func() {
		d := mustCreate(t, ns, o)
		l.Endpoint, l.closeEndpoint, l.far = d, d.Close, packetSocket(t, d.Name())
		l.end = func() { ns.Run("ip", "link", "delete", d.Name()) }
	})
	l.header = frame.VNetHeaderLen
	return l
}

// mustCreate makes a TAP that is up in the namespace of the calling thread.
func mustCreate(t testing.TB, ns *lab.Namespace, o tap.Options) *tap.Device {
	t.Helper()
	d, err := tap.Create(lab.UniqueName(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	ns.Run("ip", "link", "set", d.Name(), "up")
	return d
}

// packetSocket receives and sends test frames on a link of the calling thread's
// namespace, from the kernel's side.
func packetSocket(t testing.TB, link string) int {
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
	address := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: l.Index}
	if err := unix.Bind(s, address); err != nil {
		t.Fatal(err)
	}
	setPatience(t, s)
	return s
}

// setPatience makes a read of s fail after a while.
func setPatience(t testing.TB, s int) {
	t.Helper()
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
}

// socket is the near end of a socket pair: an Endpoint. An empty packet is the end
// of one of sequenced packets, and a lost frame of one of datagrams.
type socket struct {
	fd    int
	empty frame.Status
}

// Fd implements [Endpoint].
func (s *socket) Fd() int { return s.fd }

// HeaderLen implements [Endpoint].
func (*socket) HeaderLen() int { return frame.VNetHeaderLen }

// ReadStatus implements [Endpoint].
func (s *socket) ReadStatus(errno syscall.Errno) frame.Status {
	switch errno {
	case 0:
		return s.empty
	case unix.EAGAIN:
		return frame.Again
	}
	return frame.Gone
}

// WriteStatus implements [Endpoint].
func (s *socket) WriteStatus(errno syscall.Errno) frame.Status {
	switch errno {
	case unix.EAGAIN:
		return frame.Again
	case unix.EMSGSIZE:
		return frame.Rejected
	}
	return frame.Gone
}

// newSocketPair makes a pair of sockets of sequenced packets.
func newSocketPair(t testing.TB) *line {
	t.Helper()
	return newPair(t, unix.SOCK_SEQPACKET, frame.Gone)
}

func newPair(t testing.TB, kind int, empty frame.Status) *line {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	setPatience(t, fds[1])
	near := &socket{fds[0], empty}
	l := &line{Endpoint: near, t: t, far: fds[1]}
	l.closeEndpoint = func() error {
		fd := near.fd
		near.fd = -1
		return unix.Close(fd)
	}
	l.end = func() { unix.Close(l.far); l.far = -1 }
	t.Cleanup(func() {
		if near.fd >= 0 {
			unix.Close(near.fd)
		}
		if l.far >= 0 {
			unix.Close(l.far)
		}
	})
	return l
}

// testFrame is a plain virtio-net header and a broadcast frame with this payload.
func testFrame(payload string) []byte {
	return switchtest.Raw(switchtest.Frame(frame.Broadcast, switchtest.MAC(1), payload))
}

// payload is what testFrame has put into a frame buffer.
func payload(b []byte) string { return switchtest.Text(b[frame.VNetHeaderLen:]) }

// inject makes the endpoint readable with these frames.
func (l *line) inject(payloads ...string) {
	l.t.Helper()
	for _, p := range payloads {
		if _, err := unix.Write(l.far, testFrame(p)[l.header:]); err != nil {
			l.t.Fatal(err)
		}
	}
}

// arrived wants these frames, in this order, at the far end, and none after them.
func (l *line) arrived(want ...string) {
	l.t.Helper()
	b := make([]byte, 2048)
	for _, w := range want {
		n, err := unix.Read(l.far, b[l.header:])
		if err != nil {
			l.t.Fatalf("%q did not arrive: %v", w, err)
		}
		if got := payload(b[:l.header+n]); got != w {
			l.t.Errorf("%q arrived, want %q", got, w)
		}
	}
	n, _, err := unix.Recvfrom(l.far, b[l.header:], unix.MSG_DONTWAIT)
	if err == nil {
		l.t.Errorf("%q arrived, want nothing more", payload(b[:l.header+n]))
	}
}

// buffers makes n buffers of the size that a TAP needs.
func buffers(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, tap.BufferLen)
	}
	return bufs
}

// testPlaces is the number of registered buffers that tests read into, and of as many that they
// send from.
const testPlaces = 4 * testBatch

// place is a buffer of the reactor's registered memory at an odd offset.
func place(r *Reactor, i int) []byte {
	const stride = (tap.BufferLen + 4095) / 4096 * 4096
	at := i*stride + i%64
	return r.region.memory[at : at+tap.BufferLen : at+tap.BufferLen]
}

// buffersOf makes n buffers, of the reactor's registered memory if it has any.
func buffersOf(r *Reactor, n int) [][]byte {
	bufs := buffers(n)
	if r.ring != nil && r.ring.fixedSize != 0 {
		for i := range min(n, testPlaces/2) {
			bufs[i] = place(r, i)
		}
	}
	return bufs
}

// frameOf is testFrame, every second time in the reactor's registered memory if it has any. It
// stays until the next Flush.
func frameOf(r *Reactor, payload string) []byte {
	b, i := testFrame(payload), len(r.sends)
	if r.ring == nil || r.ring.fixedSize == 0 || i%2 != 0 || i >= testPlaces/2 {
		return b
	}
	to := place(r, testPlaces/2+i)
	return to[:copy(to, b)]
}

// add adds an endpoint that is watched.
func add(t testing.TB, r *Reactor, slot uint32, endpoint any) {
	t.Helper()
	if err := r.Add(slot, endpoint, true); err != nil {
		t.Fatal(err)
	}
}

// receive reads until nothing waits and returns the payloads.
func receive(t testing.TB, r *Reactor, slot uint32) (got []string) {
	t.Helper()
	bufs := buffersOf(r, testBatch)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, status := r.Receive(slot, bufs)
		for _, b := range bufs[:n] {
			got = append(got, payload(b))
		}
		if status == frame.Again {
			return got
		}
		if status != frame.OK {
			t.Fatalf("Receive says %d after %q", status, got)
		}
	}
	t.Fatal("Receive does not come to an end")
	return nil
}

// expect reads until nothing waits and wants these frames in this order.
func expect(t testing.TB, r *Reactor, slot uint32, want ...string) {
	t.Helper()
	if got := receive(t, r, slot); !slices.Equal(got, want) {
		t.Errorf("slot %d: received %q, want %q", slot, got, want)
	}
}

// flush wants what becomes of the queued frames.
func flush(t testing.TB, r *Reactor, want ...frame.Status) {
	t.Helper()
	if got := r.Flush(); !slices.Equal(got, want) {
		t.Errorf("Flush says %v, want %v", got, want)
	}
}

// waitFor waits until the reactor reports slot.
func waitFor(t testing.TB, r *Reactor, slot uint32) {
	t.Helper()
	ready := make([]uint32, testBatch)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if n := r.Wait(ready, time.Until(deadline)); slices.Contains(ready[:n], slot) {
			return
		}
	}
	t.Fatalf("slot %d was not reported", slot)
}

// silent wants that no slot is reported now.
func silent(t testing.TB, r *Reactor) {
	t.Helper()
	ready := make([]uint32, testBatch)
	if n := r.Wait(ready, 0); n != 0 {
		t.Errorf("Wait reports %v, want none", ready[:n])
	}
}

// numbered are n different payloads.
func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("frame %d", i)
	}
	return all
}
