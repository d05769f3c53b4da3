package load

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"unsafe"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// batch is frames of one flow, ready to be sent again and again.
type batch struct {
	socket  int
	frames  [][]byte
	iovecs  []unix.Iovec
	headers []mmsghdr
	sources numbers // of source addresses
	targets numbers // of destination addresses
}

// batchConfig says what frames a batch holds.
type batchConfig struct {
	bytes, frames    int
	sources, targets int    // addresses used in turn; up to 1: the endpoint's own
	first            uint32 // number of the first of them
	broadcast        bool
}

// numbers are those of addresses that are used in turn.
type numbers struct{ first, count, next uint32 }

// newBatch opens a packet socket in the flow's sending namespace.
func newBatch(f Flow, c batchConfig) (*batch, error) {
	b := &batch{
		frames: make([][]byte, c.frames), iovecs: make([]unix.Iovec, c.frames),
		headers: make([]mmsghdr, c.frames),
		sources: numbers{first: c.first, count: uint32(c.sources)},
		targets: numbers{first: c.first, count: uint32(c.targets)},
	}
	err := enterNamespace(f.From.Namespace, func() (err error) {
		b.socket, err = packetSocket(f.From.IfName)
		return err
	})
	if err != nil {
		return nil, err
	}
	first := inPage(c.bytes)
	copy(first, f.To.MAC[:])
	if c.broadcast {
		copy(first, frame.Broadcast[:])
	}
	copy(first[6:], f.From.MAC[:])
	binary.BigEndian.PutUint16(first[12:], experimental)
	for i := range b.frames {
		p := first // one for all stays in the nearest cache
		if c.sources > 1 || c.targets > 1 {
			p = slices.Clone(first)
		}
		b.frames[i] = p
		b.iovecs[i] = unix.Iovec{Base: &p[0], Len: uint64(c.bytes)}
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
	b.sources.write(b.frames[:n], len(frame.MAC{}))
	b.targets.write(b.frames[:n], 0)
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

// write gives each frame the next of the addresses from 06:00:00:00:00:00 on, which are locally
// administered (IEEE 802 §8.2), at an offset.
func (n *numbers) write(frames [][]byte, offset int) {
	if n.count <= 1 {
		return
	}
	for _, p := range frames {
		p[offset], p[offset+1] = 0x06, 0
		binary.BigEndian.PutUint32(p[offset+2:], n.first+n.next)
		if n.next++; n.next == n.count {
			n.next = 0
		}
	}
}
