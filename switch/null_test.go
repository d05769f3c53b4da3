package vswitch

import (
	"net/netip"
	"testing"
	"time"

	"vswitch/internal/frame"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// nullDevice reads the same frames round and round, as many as are left, and
// takes every frame without keeping it.
type nullDevice struct {
	frames [][]byte
	next   int
	left   int
	taken  int
}

func (d *nullDevice) receive(buf []byte) (int, frame.Status) {
	if d.left == 0 {
		return 0, frame.Again
	}
	d.left--
	n := copy(buf, d.frames[d.next])
	if d.next++; d.next == len(d.frames) {
		d.next = 0
	}
	return n, frame.OK
}

func (d *nullDevice) transmit([]byte) frame.Status {
	d.taken++
	return frame.OK
}

// nullPoller reports nothing: the tests drive the worker themselves.
type nullPoller struct {
	wake    chan struct{}
	devices []*nullDevice // by slot
	sends   [BatchFrames]struct {
		slot uint32
		buf  []byte
	}
	queued int
	yields int
	status [BatchFrames]frame.Status
}

func (*nullPoller) Buffers(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	return bufs
}

func (p *nullPoller) Receive(slot uint32, bufs [][]byte) (int, frame.Status) {
	dev := p.devices[slot]
	for i, buf := range bufs {
		n, s := dev.receive(buf[:cap(buf)])
		if s != frame.OK {
			return i, s
		}
		bufs[i] = buf[:n]
	}
	return len(bufs), frame.OK
}

func (p *nullPoller) Send(slot uint32, buf []byte) {
	p.sends[p.queued].slot, p.sends[p.queued].buf = slot, buf
	p.queued++
}

func (p *nullPoller) Flush() []frame.Status {
	n := p.queued
	p.queued = 0
	for i, s := range p.sends[:n] {
		p.status[i] = p.devices[s.slot].transmit(s.buf)
	}
	return p.status[:n]
}

func (p *nullPoller) Add(slot uint32, dev Device, _ bool) error {
	for int(slot) >= len(p.devices) {
		p.devices = append(p.devices, nil)
	}
	p.devices[slot] = dev.(*nullDevice)
	return nil
}

func (p *nullPoller) Yield()             { p.yields++ }
func (*nullPoller) Unwatch(uint32) error { return nil }
func (*nullPoller) Remove(uint32) error  { return nil }
func (*nullPoller) Close() error         { return nil }

func (p *nullPoller) Wait(_ []uint32, timeout time.Duration) int {
	if timeout != 0 {
		<-p.wake
	}
	return 0
}

func (p *nullPoller) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// echoResponder answers ARP by sending it back, without allocating.
type echoResponder struct{}

func (echoResponder) Respond(_ Origin, _ *frame.Parsed, buf []byte) Response {
	eth := frame.Ethernet(buf[frame.VNetHeaderLen:])
	eth.SetDst(eth.Src())
	return Response{Action: Answered, Len: len(buf)}
}

// newNullSwitch is a switch with one worker and one segment of that many ports.
// Port i is known to have the address station(i).
func newNullSwitch(tb testing.TB, ports int) (*Switch, []*Port) {
	tb.Helper()
	return newNullSwitchWith(tb, ports, func(int) policy.Policy { return policy.Policy{FloodLimit: -1} })
}

// newNullSwitchWith is newNullSwitch with the policies of the ports.
func newNullSwitchWith(tb testing.TB, ports int, config func(i int) policy.Policy) (*Switch, []*Port) {
	tb.Helper()
	s := newNullSwitchOf(tb, Options{LoopMoves: -1}) // no probe of the switch's own among the frames
	return s, addNullPorts(tb, s, ports, config)
}

// newNullSwitchOf is a switch with these options and no segment.
func newNullSwitchOf(tb testing.TB, o Options) *Switch {
	tb.Helper()
	o.NewPoller = func() (Poller, error) { return &nullPoller{wake: make(chan struct{}, 1)}, nil }
	o.Poll = PollSleep
	s, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// addNullPorts adds a segment of that many ports. Port i is known to have the address station(i).
func addNullPorts(tb testing.TB, s *Switch, ports int, config func(i int) policy.Policy) []*Port {
	tb.Helper()
	seg, err := s.AddSegment(SegmentConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	list := make([]*Port, ports)
	for i := range list {
		if list[i], err = s.AddPort(seg, &nullDevice{}, PortConfig{Policy: config(i)}); err != nil {
			tb.Fatal(err)
		}
		s.table.Learn(fdb.Key(station(i).Uint64(), seg.id), fdb.Place(list[i].slot), 0, fdb.NoLimit)
	}
	return list
}

func station(i int) frame.MAC { return frame.MACFromUint64(0x020000000000 + uint64(i)) }

// rawFrame is a minimum frame behind an empty virtio-net header.
func rawFrame(dst, src frame.MAC, etherType uint16) []byte {
	b := make([]byte, frame.VNetHeaderLen+60)
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	eth.SetDst(dst)
	eth.SetSrc(src)
	eth.SetEtherType(etherType)
	return b
}

// strict is the policy of the i-th port's station, whose address is 10.0.0.i.
func strict(i int) policy.Policy {
	return policy.Policy{
		Security: policy.SecurityStrict, MAC: station(i), IPv6: true, FloodLimit: -1,
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})},
	}
}

// ipv4Frame is a TCP packet from the i-th station.
func ipv4Frame(dst frame.MAC, i int) []byte {
	b := rawFrame(dst, station(i), frame.EtherTypeIPv4)
	p := b[frame.VNetHeaderLen+frame.EthernetHeaderLen:]
	p[0], p[3], p[9] = 0x45, byte(len(p)), frame.ProtoTCP
	copy(p[12:], []byte{10, 0, 0, byte(i), 10, 0, 0, 1})
	p[23] = 80 // destination port
	return b
}

// ipv6Frame is a TCP packet from the i-th station's link-local address.
func ipv6Frame(dst frame.MAC, i int) []byte {
	b := append(rawFrame(dst, station(i), frame.EtherTypeIPv6), make([]byte, 14)...)
	p := b[frame.VNetHeaderLen+frame.EthernetHeaderLen:]
	src := station(i).LinkLocal().As16()
	p[0], p[5], p[6] = 0x60, byte(len(p)-frame.IPv6HeaderLen), frame.ProtoTCP
	copy(p[8:], src[:])
	return b
}

// load makes p's device hold n frames, these in turn.
func load(p *Port, n int, frames ...[]byte) *nullDevice {
	d := p.device.(*nullDevice)
	d.frames, d.next, d.left = frames, 0, n
	return d
}
