package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// experimental is the Ethertype of the frames sent: "local experimental 1" (IEEE
// 802). The receiving stack drops it early, so that the receiver's rx_packets
// counter says what was delivered at little cost.
const experimental = 0x88b5

// Parameters of the sender.
const (
	fullBatch  = 64 // frames in one sendmmsg(2) at full rate
	pacedBatch = 8  // and at a set rate
	minFrame   = 60
	maxFrame   = 1514
	sendBuffer = 8 << 20
	// maxLag is how far behind its schedule a paced sender may fall. If it was held
	// up for longer it goes on from there: a burst to catch up would overflow queues
	// that the set rate never fills.
	maxLag = 500 * time.Microsecond
	// sleepBelow is the rate, in frames/s, below which a paced sender sleeps between
	// batches rather than take a processor from those it measures.
	sleepBelow = 20_000
)

// FramesTask is the task of the frames helper: to send frames in all flows in turn, and to
// count those that arrive.
type FramesTask struct {
	Flows   []Flow        `json:"flows"`
	Bytes   int           `json:"bytes"`   // of a frame, Ethernet header included, without FCS
	For     time.Duration `json:"for"`     // how long to send
	Rate    float64       `json:"rate"`    // frames/s over all flows; 0 is as fast as it goes
	Sources int           `json:"sources"` // source addresses of each flow; up to 1: the sender's own
	Packets bool          `json:"packets"` // the frames hold IPv4 packets from the sender's own address
}

// Flow is a pair of endpoints: frames go from one to the other.
type Flow struct {
	From Endpoint `json:"from"`
	To   Endpoint `json:"to"`
}

// FramesFound is the result of the frames helper, over all flows. All but Took are numbers
// of frames.
type FramesFound struct {
	Offered   uint64        `json:"offered"`   // given to the sending devices
	Refused   uint64        `json:"refused"`   // of these, those that a device had no room for
	Delivered uint64        `json:"delivered"` // received by the receivers (rx_packets)
	Strayed   uint64        `json:"strayed"`   // received by the senders: flooded from other flows
	Took      time.Duration `json:"took"`      // how long sending took
}

// DeliveredRate returns the rate at which receivers got frames, in frames/s.
func (f FramesFound) DeliveredRate() float64 { return float64(f.Delivered) / f.Took.Seconds() }

// OfferedRate returns the rate at which frames were sent, in frames/s.
func (f FramesFound) OfferedRate() float64 { return float64(f.Offered) / f.Took.Seconds() }

// Flooded reports whether the switch sent frames to more ports than the receiver's. Other
// receivers count these as delivered too, so that Delivered is wrong then.
func (f FramesFound) Flooded() bool { return f.Strayed > 100 && f.Strayed > f.Delivered/100 }

// Lost returns the number of frames that were offered and did not arrive.
func (f FramesFound) Lost() uint64 {
	if f.Delivered >= f.Offered {
		return 0 // a frame of somebody else may have been counted
	}
	return f.Offered - f.Delivered
}

func (t FramesTask) run() (FramesFound, error) {
	if len(t.Flows) == 0 || t.Bytes < frame.EthernetHeaderLen || t.Bytes > maxFrame || t.For <= 0 {
		return FramesFound{}, fmt.Errorf("cannot send frames of %d bytes for %v in %d flows",
			t.Bytes, t.For, len(t.Flows))
	}
	batches := make([]*batch, len(t.Flows))
	for i, f := range t.Flows {
		var err error
		if batches[i], err = newBatch(f, t.Bytes, t.Sources); err == nil && t.Packets {
			err = batches[i].fillPackets(f.From.Addr.Addr())
		}
		if err != nil {
			return FramesFound{}, fmt.Errorf("open packet socket in %s: %w", f.From.Namespace, err)
		}
		defer unix.Close(batches[i].socket)
	}
	var receivers, senders receiveCounters
	defer receivers.close()
	defer senders.close()
	for _, f := range t.Flows {
		if err := errors.Join(receivers.add(f.To), senders.add(f.From)); err != nil {
			return FramesFound{}, err
		}
	}
	if err := t.learn(); err != nil {
		return FramesFound{}, err
	}
	strayedBefore, err := senders.settled()
	if err != nil {
		return FramesFound{}, err
	}
	before, err := receivers.settled()
	if err != nil {
		return FramesFound{}, err
	}
	found, err := t.send(batches)
	if err != nil {
		return FramesFound{}, err
	}
	after, err := receivers.settledAfter(before)
	if err != nil {
		return FramesFound{}, err
	}
	strayed, err := senders.sum()
	found.Delivered, found.Strayed = after-before, strayed-strayedBefore
	return found, err
}

// Learning frames are sent again until one gets through: the port of a bridge passes frames some
// time after its link came up (net/core/link_watch.c).
const (
	learnStep = 2 * time.Millisecond
	learnMost = 5 * time.Second
)

// learn has each receiver send frames to its sender until the first has come, so that the switch
// knows where the receiver is (learning frames, RFC 2889).
func (t FramesTask) learn() error {
	for _, f := range t.Flows {
		if err := learnOne(f, t.Packets); err != nil {
			return err
		}
	}
	return nil
}

func learnOne(f Flow, packets bool) error {
	var sender receiveCounters
	defer sender.close()
	if err := sender.add(f.From); err != nil {
		return err
	}
	b, err := newBatch(Flow{From: f.To, To: f.From}, minFrame, 1)
	if err != nil {
		return fmt.Errorf("open packet socket in %s: %w", f.To.Namespace, err)
	}
	defer unix.Close(b.socket)
	if packets { // a port that is strict lets nothing else pass
		if err := b.fillPackets(f.To.Addr.Addr()); err != nil {
			return err
		}
	}
	before, err := sender.sum()
	for begin := time.Now(); err == nil && time.Since(begin) < learnMost; {
		if _, err = b.send(1); err != nil {
			break
		}
		sleep(learnStep)
		var now uint64
		if now, err = sender.sum(); err != nil || now > before {
			return err
		}
	}
	if err == nil {
		err = fmt.Errorf("no frame from %s came to %s within %v",
			f.To.Namespace, f.From.Namespace, learnMost)
	}
	return err
}

// send offers frames to the flows in turn.
func (t FramesTask) send(batches []*batch) (found FramesFound, err error) {
	start := time.Now()
	due := start // when the next frame is due, at a set rate
	for next := 0; ; next++ {
		now := time.Now()
		if found.Took = now.Sub(start); found.Took >= t.For && found.Offered > 0 {
			return found, nil
		}
		n := fullBatch
		if t.Rate > 0 {
			if lag := t.maxLag(); now.Sub(due) > lag {
				due = now.Add(-lag)
			}
			if n = min(int(now.Sub(due).Seconds()*t.Rate), pacedBatch); n < t.least() {
				t.rest()
				continue
			}
			due = due.Add(time.Duration(float64(n) / t.Rate * 1e9))
		}
		refused, err := batches[next%len(batches)].send(n)
		if err != nil {
			return found, err
		}
		found.Offered += uint64(n)
		found.Refused += uint64(refused)
	}
}

// least is how many frames must be due to be sent: one call for each would cost a
// fast sender too much.
func (t FramesTask) least() int {
	if t.Rate < sleepBelow {
		return 1
	}
	return pacedBatch
}

// maxLag is how far behind its schedule the sender may fall: by what it sends in
// one call at least, or it would never send.
func (t FramesTask) maxLag() time.Duration {
	return max(maxLag, time.Duration(2*float64(t.least())/t.Rate*1e9))
}

// rest lets a slow sender sleep for part of the time until the next frame is due.
func (t FramesTask) rest() {
	if t.Rate < sleepBelow {
		sleep(time.Duration(1e9 / t.Rate / 4))
	}
}

// sleep is nanosleep(2), which is not rounded as the runtime's timers are.
func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // a signal that ends it early does no harm
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// batch is frames of one flow, ready to be sent again and again.
type batch struct {
	socket  int
	frames  [fullBatch][]byte
	iovecs  [fullBatch]unix.Iovec
	headers [fullBatch]mmsghdr
	sources int
	next    uint32 // number of the next source address
}

// newBatch opens a packet socket in the flow's sending namespace.
func newBatch(f Flow, size, sources int) (*batch, error) {
	b := &batch{sources: sources}
	err := enterNamespace(f.From.Namespace, func() (err error) {
		b.socket, err = packetSocket(f.From.IfName)
		return err
	})
	if err != nil {
		return nil, err
	}
	first := inPage(size)
	copy(first, f.To.MAC[:])
	copy(first[6:], f.From.MAC[:])
	binary.BigEndian.PutUint16(first[12:], experimental)
	for i := range b.frames {
		p := first // one for all stays in the nearest cache
		if sources > 1 {
			p = slices.Clone(first)
		}
		b.frames[i] = p
		b.iovecs[i] = unix.Iovec{Base: &p[0], Len: uint64(size)}
		b.headers[i].header = unix.Msghdr{Iov: &b.iovecs[i], Iovlen: 1}
	}
	return b, nil
}

// nowhere is where the packets go (TEST-NET-1, RFC 5737): a receiver that does not
// forward drops them unanswered.
var nowhere = net.IP{192, 0, 2, 1}

// fillPackets makes the frames IPv4 packets from an address, of the protocol for
// experiments (RFC 3692 §2.1).
func (b *batch) fillPackets(from netip.Addr) error {
	const experiments = 253
	first := b.frames[0]
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.IPv4{Version: 4, TTL: 1, Protocol: experiments, SrcIP: from.AsSlice(), DstIP: nowhere},
		gopacket.Payload(make([]byte, len(first)-frame.EthernetHeaderLen-frame.IPv4HeaderLen)))
	if err != nil {
		return fmt.Errorf("make packets from %s: %w", from, err)
	}
	binary.BigEndian.PutUint16(first[12:], frame.EtherTypeIPv4)
	copy(first[frame.EthernetHeaderLen:], buf.Bytes())
	return nil
}

// inPage is memory for a frame, a quarter of a page away from where the kernel's
// buffers of 2 KiB begin: a copy between places at the same offset in their pages is
// a tenth slower, as each load then seems to wait for a store before it.
func inPage(size int) []byte {
	const page, offset = 4096, 1024
	memory := make([]byte, 2*page+size)
	at := uintptr(unsafe.Pointer(&memory[0])) % page
	from := (page + offset - at) % page
	return memory[from:][:size:size]
}

// packetSocket opens a socket that sends on an interface past its queueing
// discipline (PACKET_QDISC_BYPASS, packet(7)).
func packetSocket(ifName string) (int, error) {
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	ifr, err := unix.NewIfreq(ifName)
	if err == nil {
		err = unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr)
	}
	if err == nil {
		err = unix.Bind(s, &unix.SockaddrLinklayer{Ifindex: int(ifr.Uint32())})
	}
	if err == nil {
		err = unix.SetsockoptInt(s, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err == nil {
		err = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
	}
	if err != nil {
		unix.Close(s)
		return -1, err
	}
	return s, nil
}

// send sends n frames and says how many of them the device had no room for.
func (b *batch) send(n int) (refused int, err error) {
	if b.sources > 1 {
		b.number(n)
	}
	for sent := 0; sent < n; {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.socket), uintptr(unsafe.Pointer(&b.headers[sent])), uintptr(n-sent), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(r)
		case unix.EINTR:
		case unix.ENOBUFS, unix.EAGAIN:
			sent++ // that one frame is lost
			refused++
		default:
			return refused, fmt.Errorf("send frames: %w", errno)
		}
	}
	runtime.KeepAlive(b)
	return refused, nil
}

// number gives each frame the next of the source addresses 06:00:00:00:00:00 on,
// which are locally administered (IEEE 802 §8.2).
func (b *batch) number(n int) {
	for _, p := range b.frames[:n] {
		p[6], p[7] = 0x06, 0
		binary.BigEndian.PutUint32(p[8:], b.next)
		if b.next++; b.next == uint32(b.sources) {
			b.next = 0
		}
	}
}
