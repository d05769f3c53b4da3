package gateway

import (
	"bytes"
	"sync/atomic"
	"time"

	"vswitch/internal/frame"
	"vswitch/internal/gateway/turns"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// UDP ports of the services at a gateway's address.
const (
	DNSPort  = 53 // RFC 1035 §4.2.1
	DHCPPort = 67 // RFC 2131 §4.1
)

// Bounds of what waits for the services of one segment. No station can fill the
// queue alone, nor the host's socket, and what it sends over its share costs no more
// than to look at it.
const (
	maxDatagram = 1472 // bytes of payload: what fits Ethernet's MTU
	queueLen    = 4096 // datagrams, of which one station has half at most
	maxBacklog  = 1024 // of questions that the host's socket has taken, for what all share
	busyEvery   = time.Minute
)

// A station has shareOwn of the services to itself, however many others ask. What it sends beyond
// that, up to shareMost, comes out of what all of the segment share: that bounds the processor time
// that a segment can take of the host.
var (
	shareMost   = bucket{burst: 2048, rate: 12_000}
	shareOwn    = bucket{burst: 64, rate: 100}
	shareCommon = bucket{burst: 2048, rate: 12_000}
)

// bucket is how many datagrams may be sent at once, and a second all the time.
type bucket struct{ burst, rate int64 }

// Inbox takes the datagrams that stations send to the services at the gateway's
// address, copied out of the packet path, which it never holds up. It is one
// segment's.
type Inbox struct {
	queue   *turns.Queue[uint32, Datagram] // by the ports' slots
	busy    chan frame.MAC
	told    atomic.Int64 // when busy was last filled, in busyEvery from before the start
	start   time.Time
	shares  shares
	common  level // of shareCommon
	clients atomic.Pointer[map[frame.MAC]struct{}]
	backlog func() int
}

// NewInbox makes an empty inbox, without clients of DHCP. backlog returns how many questions wait
// that were left to the host's socket.
func NewInbox(backlog func() int) *Inbox {
	return &Inbox{
		queue: turns.New[uint32, Datagram](queueLen), busy: make(chan frame.MAC, 1), start: time.Now(),
		backlog: backlog,
	}
}

// Ready returns a channel from which something can be received while datagrams wait. Who does so
// calls Take.
func (i *Inbox) Ready() <-chan struct{} { return i.queue.Ready() }

// Take takes the next datagram, of the port whose turn it is; false: none waits.
func (i *Inbox) Take() (Datagram, bool) { return i.queue.Take() }

// Busy names a station some of whose datagrams are dropped, once a minute at most.
func (i *Inbox) Busy() <-chan frame.MAC { return i.busy }

// SetClients says which stations are to be answered by DHCP; messages of others
// are left to the servers that the segment may have. The map is not changed any
// more.
func (i *Inbox) SetClients(macs map[frame.MAC]struct{}) { i.clients.Store(&macs) }

func (i *Inbox) client(mac frame.MAC) bool {
	clients := i.clients.Load()
	if clients == nil {
		return false
	}
	_, ok := (*clients)[mac]
	return ok
}

// put copies a datagram from a port into the queue, or says why it is dropped.
func (i *Inbox) put(from vswitch.Origin, h frame.VNet, f *frame.Parsed) vswitch.Response {
	if !i.admit(i.shares.of(from.Slot), 1, true) {
		return i.refuse(f.Eth.Src())
	}
	d, ok := readUDP(h, f)
	if !ok {
		return refuse(drop.MalformedIP)
	}
	d.Payload = bytes.Clone(d.Payload)
	if !i.queue.Put(from.Slot, d) {
		return i.refuse(f.Eth.Src())
	}
	return vswitch.Response{Action: vswitch.Consumed}
}

// pass leaves a datagram to the host's socket, which all stations share, or takes it to drop it:
// it is more than its port's share.
func (i *Inbox) pass(from vswitch.Origin, h frame.VNet, f *frame.Parsed) (vswitch.Response, bool) {
	n := int64(1)
	if h.GSOType() != frame.VNetGSONone {
		n += int64(len(f.Eth)) / int64(max(1, h.GSOSize()))
	}
	// While the socket's reader is behind, what all share would only be lost there.
	if i.admit(i.shares.of(from.Slot), n, i.backlog() < maxBacklog) {
		return vswitch.Response{}, false
	}
	return i.refuse(f.Eth.Src()), true
}

// share is a port's.
type share struct {
	most level // of shareMost
	own  level // of shareOwn
}

// level is how full a bucket is: when nothing will be missing from it, in nanoseconds from the
// start.
type level struct{ whole atomic.Int64 }

// shares are the ports', by their slots. Most pages are nobody's.
type shares [256]atomic.Pointer[[256]share]

func (s *shares) of(slot uint32) *share {
	page := &s[slot/256%256]
	for page.Load() == nil {
		page.CompareAndSwap(nil, new([256]share))
	}
	return &page.Load()[slot%256]
}

// admit takes n datagrams of a port, and says false when they are more than its share. common
// says whether there is anything beyond its own.
func (i *Inbox) admit(s *share, n int64, common bool) bool {
	now := int64(time.Since(i.start))
	return shareMost.take(&s.most, now, n) &&
		(shareOwn.take(&s.own, now, n) || common && shareCommon.take(&i.common, now, n))
}

// take takes n from a bucket, and says false when less is left (the generic cell rate algorithm of
// ITU-T I.371).
func (b bucket) take(l *level, now, n int64) bool {
	each := int64(time.Second) / b.rate
	for {
		old := l.whole.Load()
		whole := max(old, now) + n*each
		if whole-now > b.burst*each {
			return false
		}
		if l.whole.CompareAndSwap(old, whole) {
			return true
		}
	}
}

// refuse drops a station's datagram and says so now and then.
func (i *Inbox) refuse(mac frame.MAC) vswitch.Response {
	now := int64(time.Since(i.start)/busyEvery) + 1
	if told := i.told.Load(); told != now && i.told.CompareAndSwap(told, now) {
		select {
		case i.busy <- mac:
		default: // nobody has read the one of before
		}
	}
	return refuse(drop.GatewayBusy)
}

// Serve has the gateway put what is for its services into inbox. It is called
// before the gateway is used.
func (g *Gateway) Serve(inbox *Inbox) { g.inbox = inbox }

// serve takes an IPv4 frame for one of the services, which buf holds behind its virtio-net header,
// and says false when it is none.
func (g *Gateway) serve(from vswitch.Origin, f *frame.Parsed, buf []byte) (vswitch.Response, bool) {
	h, eth := frame.VNet(buf[:frame.VNetHeaderLen]), f.Eth
	if g.inbox == nil || eth.Dst() != g.mac && eth.Dst() != frame.Broadcast {
		return vswitch.Response{}, false
	}
	if f.Protocol != frame.ProtoUDP || !f.Ports() {
		return vswitch.Response{}, false
	}
	switch f.DstPort {
	case DHCPPort:
		if !g.inbox.client(eth.Src()) {
			return vswitch.Response{}, false
		}
	case DNSPort:
		if eth.Dst() != g.mac || frame.AddrFromUint32(f.Dst4) != g.addr {
			return vswitch.Response{}, false
		}
		if g.host.Load() {
			return g.inbox.pass(from, h, f)
		}
	default:
		return vswitch.Response{}, false
	}
	return g.inbox.put(from, h, f), true
}
