package control

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
	"vswitch/internal/reactor"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
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
	attackerIP  = net.IP{10, 0, 0, 1}
	targetIP    = net.IP{10, 0, 0, 2}
)

func newFiringRange(t *testing.T) *firingRange {
	t.Helper()
	r := &firingRange{T: t, ns: lab.NewNamespace(t), link: lab.UniqueName(), in: new(injector)}
	device := newTAP(t, r.ns, r.link)
	r.ns.Run("ip", "link", "set", r.link, "address", targetMAC.String())
	r.ns.Run("ip", "address", "add", targetIP.String()+"/24", "dev", r.link)
	// What the receiver answers goes to a link where it ends.
	r.ns.Run("ip", "neigh", "add", attackerIP.String(), "lladdr", sinkMAC.String(), "dev", r.link)
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

// packets are whole and right as they stand: a TCP segment and a datagram, each
// once as one frame and once larger than the MTU.
func packets(tb testing.TB) [][]byte {
	tb.Helper()
	var all [][]byte
	for _, size := range []int{100, 3000} {
		for _, protocol := range []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolUDP} {
			ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: attackerIP, DstIP: targetIP}
			var transport gopacket.SerializableLayer
			if protocol == layers.IPProtocolTCP {
				segment := &layers.TCP{SrcPort: 1000, DstPort: 2000, ACK: true, Window: 500}
				_ = segment.SetNetworkLayerForChecksum(ip)
				transport = segment
			} else {
				datagram := &layers.UDP{SrcPort: 1000, DstPort: 2000}
				_ = datagram.SetNetworkLayerForChecksum(ip)
				transport = datagram
			}
			buf := gopacket.NewSerializeBuffer()
			err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
				&layers.Ethernet{SrcMAC: attackerMAC[:], DstMAC: targetMAC[:], EthernetType: layers.EthernetTypeIPv4},
				ip, transport, gopacket.Payload(make([]byte, size)))
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, append(make([]byte, frame.VNetHeaderLen), buf.Bytes()...))
		}
	}
	return all
}

const transportStart = frame.EthernetHeaderLen + frame.IPv4HeaderLen

// TestEachFlagAndTypeOfVirtioHeaders: of all 65 536 combinations the switch lets
// none pass that the receiver's kernel objects to.
func TestEachFlagAndTypeOfVirtioHeaders(t *testing.T) {
	t.Parallel()
	r := newFiringRange(t)
	for _, packet := range packets(t) {
		checksum := uint16(16)
		if packet[frame.VNetHeaderLen+23] == frame.ProtoUDP {
			checksum = 6
		}
		for flags := range 256 {
			frames := make([][]byte, 256)
			for gso := range frames {
				frames[gso] = append([]byte(nil), packet...)
				h, _, _ := frame.ParseVNet(frames[gso])
				h.Set(uint8(flags), uint8(gso), transportStart+20, 1400, transportStart, checksum)
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
	r, good := newFiringRange(t), packets(t)
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

// randomHeader sets each field to something likely or to anything.
func randomHeader(rnd *rand.Rand, b []byte) {
	pick := func(likely ...int) uint16 {
		if n := rnd.IntN(len(likely) + 1); n < len(likely) {
			return uint16(likely[n])
		}
		return uint16(rnd.Uint32())
	}
	size := len(b) - frame.VNetHeaderLen
	h, _, _ := frame.ParseVNet(b)
	h.Set(uint8(pick(0, 1, 1, 2, 3)), uint8(pick(0, 0, 1, 3, 4, 5, 0x81)), pick(0, transportStart, transportStart+8, transportStart+20, size),
		pick(0, 1, 536, 1400, 1448, 1472, size), pick(0, frame.EthernetHeaderLen, transportStart, transportStart, size), pick(0, 6, 16, size))
}
