package control

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/internal/frame"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
	"vswitch/tap"
	"vswitch/test/lab"
	"vswitch/test/lab/seed"
)

func TestMain(m *testing.M) { lab.Main(m) }

// injector is a port's device whose frames are a test's: no kernel has looked at
// their virtio-net headers.
type injector struct {
	mu      sync.Mutex
	waiting [][]byte
	empty   chan struct{} // nil, or closed when all have been taken
}

// send has the switch read frames, and returns when it has.
func (in *injector) send(wake func(), frames [][]byte) {
	empty := make(chan struct{})
	in.mu.Lock()
	in.waiting, in.empty = frames, empty
	in.mu.Unlock()
	wake()
	<-empty
}

// receive reads one frame.
func (in *injector) receive(buf []byte) (int, frame.Status) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.waiting) == 0 {
		if in.empty != nil {
			close(in.empty)
			in.empty = nil
		}
		return 0, frame.Again
	}
	n := copy(buf, in.waiting[0])
	in.waiting = in.waiting[1:]
	return n, frame.OK
}

// mixedPoller is the daemon's reactor, with one injector beside its TAPs. Nothing is sent to
// that.
type mixedPoller struct {
	vswitch.Poller
	in   *injector
	slot uint32 // the injector's; 0: not added yet
}

func (p *mixedPoller) Add(slot uint32, dev vswitch.Device, watch bool) error {
	if dev == p.in {
		p.slot = slot
		return nil
	}
	return p.Poller.Add(slot, dev, watch)
}

// Wait reports the injector each time: to find it empty is allowed.
func (p *mixedPoller) Wait(ready []uint32, timeout time.Duration) int {
	n := p.Poller.Wait(ready[:len(ready)-1], timeout)
	if p.slot != 0 {
		ready[n] = p.slot
		n++
	}
	return n
}

func (p *mixedPoller) Receive(slot uint32, bufs [][]byte) (int, frame.Status) {
	if slot != p.slot {
		return p.Poller.Receive(slot, bufs)
	}
	for i, buf := range bufs {
		n, status := p.in.receive(buf[:cap(buf)])
		if status != frame.OK {
			return i, status
		}
		bufs[i] = buf[:n]
	}
	return len(bufs), frame.OK
}

func (p *mixedPoller) Remove(slot uint32) error {
	if slot == p.slot {
		return nil
	}
	return p.Poller.Remove(slot)
}

// firingRange is a switch with an injector and a real receiver: a TAP in a namespace,
// whose kernel says what it thinks of the frames.
type firingRange struct {
	*testing.T
	ns       *lab.Namespace
	link     string
	in       *injector
	poller   *mixedPoller
	attacker *vswitch.Port
	target   *vswitch.Port
}

var (
	attackerMAC = frame.MAC{2, 0, 0, 0, 0, 1}
	targetMAC   = frame.MAC{2, 0, 0, 0, 0, 2}
	sinkMAC     = frame.MAC{2, 0, 0, 0, 0, 3}
	attackerIP  = netip.MustParseAddr("10.0.0.1")
	targetIP    = netip.MustParseAddr("10.0.0.2")

	// In the tunnel.
	innerMAC        = frame.MAC{2, 0, 0, 0, 1, 2}
	innerAttackerIP = netip.MustParseAddr("10.1.0.1")
	innerIP         = netip.MustParseAddr("10.1.0.2")
)

func newFiringRange(t *testing.T) *firingRange {
	t.Helper()
	r := &firingRange{T: t, ns: lab.NewNamespace(t), link: lab.UniqueName(), in: new(injector)}
	device := newTAP(t, r.ns, r.link)
	r.ns.Run("ip", "link", "set", r.link, "address", targetMAC.String())
	r.ns.Run("ip", "address", "add", targetIP.String()+"/24", "dev", r.link)
	// What the receiver answers goes to a link where it ends.
	r.ns.Run("ip", "neigh", "add", attackerIP.String(), "lladdr", sinkMAC.String(), "dev", r.link)
	r.ns.Run("ip", "link", "add", "vx0", "address", innerMAC.String(), "type", "vxlan", "id", "7",
		"dstport", "4789", "local", targetIP.String(), "remote", attackerIP.String())
	r.ns.Run("ip", "link", "set", "vx0", "up")
	r.ns.Run("ip", "address", "add", innerIP.String()+"/24", "dev", "vx0")
	r.ns.Run("ip", "neigh", "add", innerAttackerIP.String(), "lladdr", sinkMAC.String(), "dev", "vx0")
	sink := newTAP(t, lab.NewNamespace(t), lab.UniqueName())

	sw, err := vswitch.New(vswitch.Options{Workers: 1, Poll: vswitch.PollSleep, NewPoller: func() (vswitch.Poller, error) {
		p, err := reactor.New(reactor.Options{Batch: vswitch.BatchFrames})
		r.poller = &mixedPoller{Poller: p, in: r.in}
		return r.poller, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sw.Close)
	segment, err := sw.AddSegment(vswitch.SegmentConfig{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(dev vswitch.Device) *vswitch.Port {
		p, err := sw.AddPort(segment, dev, vswitch.PortConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	r.attacker, r.target = add(r.in), add(device)
	if err := errors.Join(sw.AddEntry(r.target, targetMAC), sw.AddEntry(add(sink), sinkMAC)); err != nil {
		t.Fatal(err)
	}
	return r
}

// newTAP makes a TAP that is up, without IPv6.
func newTAP(t *testing.T, ns *lab.Namespace, name string) (device *tap.Device) {
	t.Helper()
	ns.Do(func() {
		var err error
		if device, err = tap.Create(name, tap.Options{}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { device.Close() })
	ns.Run("sysctl", "-qw", "net.ipv6.conf."+name+".disable_ipv6=1")
	ns.Run("ip", "link", "set", name, "up")
	return device
}

func (r *firingRange) fire(frames [][]byte) { r.in.send(r.poller.Wake, frames) }

// bad are the counters of the receiver's kernel for frames that are not right, and
// good those of the frames that reached a protocol.
var (
	bad = regexp.MustCompile(`(?m)^(Ip(In(Hdr|Addr)Errors|ExtInTruncatedPkts|ExtInCsumErrors|InUnknownProtos)|(Tcp|Udp)In(Csum)?Err(or)?s)\s+([1-9]\d*)`)
	tcp = regexp.MustCompile(`(?m)^TcpInSegs\s+([1-9]\d*)`)
	udp = regexp.MustCompile(`(?m)^UdpNoPorts\s+([1-9]\d*)`)
)

// judge looks at what the receiver's kernel has counted.
func (r *firingRange) judge() {
	r.Helper()
	if n := r.target.Counters().Drops[drop.TxRejected]; n != 0 {
		r.Errorf("the kernel refused %d frames that the switch had let pass", n)
	}
	seen := r.ns.Run("nstat", "-asz")
	if found := bad.FindAllString(seen, -1); found != nil {
		r.Errorf("the receiver's kernel has counted bad frames: %q", found)
	}
	if !tcp.MatchString(seen) || !udp.MatchString(seen) {
		r.Errorf("no frames have reached the receiver's TCP and UDP:\n%s", seen)
	}
	// Received: bytes, packets, errs, drop, fifo, frame (net/core/net-procfs.c).
	_, link, _ := strings.Cut(r.ns.Run("cat", "/proc/net/dev"), r.link+":")
	if received := strings.Fields(link); len(received) < 6 || !slices.Equal(received[2:6], []string{"0", "0", "0", "0"}) {
		r.Errorf("the receiver's link has counted errors: %q", received)
	}
}

// packets are whole and right as they stand: a TCP segment and a datagram, each once as one frame
// and once larger than the MTU, alone and in a tunnel with and without a checksum outside. What is
// larger than the MTU in a tunnel is a super-frame. Each is behind a virtio-net header that has
// the fields of a super-frame.
func packets() [][]byte {
	var all [][]byte
	for _, size := range []int{100, 3000} {
		for _, tcp := range []bool{true, false} {
			alone := transportPacket(targetMAC, attackerMAC, targetIP, attackerIP, tcp, size)
			super := switchtest.Partial(alone, 1400)
			copy(super[frame.VNetHeaderLen:], alone) // with its checksum complete
			all = append(all, super)
			inner := transportPacket(innerMAC, attackerMAC, innerIP, innerAttackerIP, tcp, size)
			for _, silent := range []bool{false, true} {
				tunnel := switchtest.Tunnel{
					To: targetMAC, From: attackerMAC, Dst: targetIP, Src: attackerIP, NoChecksum: silent,
				}
				super := tunnel.Super(switchtest.Partial(inner, 1300), 1)
				if size < 1300 {
					copy(super[frame.VNetHeaderLen:], tunnel.Frame(inner, 1))
				}
				all = append(all, super)
			}
		}
	}
	return all
}

// transportPacket is a frame with a TCP segment or a datagram of size bytes.
func transportPacket(dst, src frame.MAC, to, from netip.Addr, tcp bool, size int) []byte {
	a, b := netip.AddrPortFrom(to, 2000), netip.AddrPortFrom(from, 1000)
	if tcp {
		return switchtest.TCP(dst, src, a, b, 0, make([]byte, size))
	}
	return switchtest.UDP(dst, src, a, b, make([]byte, size))
}

// TestEachFlagAndTypeOfVirtioHeaders: of all 65 536 combinations the switch lets
// none pass that the receiver's kernel objects to.
func TestEachFlagAndTypeOfVirtioHeaders(t *testing.T) {
	t.Parallel()
	r := newFiringRange(t)
	for _, packet := range packets() {
		for flags := range 256 {
			frames := make([][]byte, 256)
			for gso := range frames {
				frames[gso] = append([]byte(nil), packet...)
				frames[gso][0], frames[gso][1] = uint8(flags), uint8(gso)
			}
			r.fire(frames)
		}
	}
	r.judge()
}

// TestRandomVirtioHeaders does the same with any header; VSWITCH_SOAK says how long.
func TestRandomVirtioHeaders(t *testing.T) {
	t.Parallel()
	rounds, until := 400, time.Time{}
	if s := os.Getenv("VSWITCH_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		rounds, until = 0, time.Now().Add(d)
	}
	r, good := newFiringRange(t), packets()
	rnd := seed.New(t)
	sent := 0
	for i := 0; i < rounds || time.Now().Before(until); i++ {
		frames := make([][]byte, 256)
		for j := range frames {
			frames[j] = append([]byte(nil), good[rnd.IntN(len(good))]...)
			randomHeader(rnd, frames[j])
		}
		r.fire(frames)
		sent += len(frames)
	}
	t.Logf("%d frames, %d passed", sent, r.attacker.Counters().Forwarded)
	r.judge()
}

// transportStart is where the transport header of a frame begins, and tunnelLen what is around a
// frame in a tunnel.
const (
	transportStart = frame.EthernetHeaderLen + frame.IPv4HeaderLen
	tunnelLen      = transportStart + 16
	tunnelPort     = 4789
)

// randomHeader sets each field to something likely or to anything, but does not have a tunnel's
// packet cut outside: the receiver would rightly find pieces of packets in it.
func randomHeader(rnd *rand.Rand, b []byte) {
	fillHeader(rnd, b)
	h, eth, _ := frame.ParseVNet(b)
	tunnel := binary.BigEndian.Uint16(eth[transportStart+2:]) == tunnelPort
	if tunnel && !h.Tunnel() && h.GSOType() == frame.VNetGSOUDPL4 {
		h.Clear()
	}
}

func fillHeader(rnd *rand.Rand, b []byte) {
	pick := func(likely ...int) uint16 {
		if n := rnd.IntN(len(likely) + 1); n < len(likely) {
			return uint16(likely[n])
		}
		return uint16(rnd.Uint32())
	}
	size := len(b) - frame.VNetHeaderLen
	h, _, _ := frame.ParseVNet(b)
	if rnd.IntN(2) == 0 { // all but one field, or two, is right
		b[rnd.IntN(frame.VNetHeaderLen)] ^= byte(1 << rnd.IntN(8))
		return
	}
	h.Set(uint8(pick(0, 1, 1, 2, 3, 9, 9)), uint8(pick(0, 0, 1, 3, 4, 5, 0x81, 0x21, 0x21, 0x25, 0x41, 0xa1)),
		pick(0, transportStart, transportStart+8, transportStart+20, size), pick(0, 1, 536, 1400, 1448, 1472, size),
		pick(0, frame.EthernetHeaderLen, transportStart, transportStart, tunnelLen+transportStart, size), pick(0, 6, 16, size))
	h.SetTunnel(pick(0, transportStart, transportStart, transportStart+8, size),
		pick(0, tunnelLen, tunnelLen+frame.EthernetHeaderLen, tunnelLen+frame.EthernetHeaderLen, size))
}
