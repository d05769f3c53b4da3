package gateway

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
)

// UDP ports of the services at a gateway's address.
const (
	DNSPort  = 53 // RFC 1035 §4.2.1
	DHCPPort = 67 // RFC 2131 §4.1
)

// Bounds of what waits for the services of one segment. No station can fill the
// queue alone, and what it sends over its share costs no more than to look at it.
const (
	maxDatagram  = 1472 // bytes of payload: what fits Ethernet's MTU
	queueLen     = 512  // datagrams
	window       = 100 * time.Millisecond
	maxPerWindow = 64  // datagrams of one station
	numWindows   = 256 // stations share one where their addresses' hashes agree
)

// Inbox takes the datagrams that stations send to the services at the gateway's
// address, copied out of the packet path, which it never holds up. It is one
// segment's.
type Inbox struct {
	queue   chan Datagram
	start   time.Time
	seed    maphash.Seed
	windows [numWindows]atomic.Uint64 // its number, and how many have come in it
	clients atomic.Pointer[map[frame.MAC]struct{}]
}

// NewInbox makes an empty inbox, without clients of DHCP.
func NewInbox() *Inbox {
	return &Inbox{queue: make(chan Datagram, queueLen), start: time.Now(), seed: maphash.MakeSeed()}
}

// Queue is where the datagrams come out.
func (i *Inbox) Queue() <-chan Datagram { return i.queue }

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

// put copies a datagram into the queue, or says why it is dropped.
func (i *Inbox) put(h frame.VNet, f *frame.Parsed) vswitch.Response {
	if !i.admit(f.Eth.Src()) {
		return refuse(drop.GatewayBusy)
	}
	d, ok := readUDP(h, f)
	if !ok {
		return refuse(drop.MalformedIP)
	}
	d.Payload = bytes.Clone(d.Payload)
	select {
	case i.queue <- d:
		return vswitch.Response{Action: vswitch.Consumed}
	default:
		return refuse(drop.GatewayBusy)
	}
}

// admit says whether a station has sent less than its share in this window.
func (i *Inbox) admit(mac frame.MAC) bool {
	const countBits = 16
	now := uint64(time.Since(i.start)/window) + 1
	w := &i.windows[maphash.Bytes(i.seed, mac[:])%numWindows]
	for {
		old := w.Load()
		n := old & (1<<countBits - 1)
		if old>>countBits != now {
			n = 0
		}
		if n >= maxPerWindow {
			return false
		}
		if w.CompareAndSwap(old, now<<countBits|(n+1)) {
			return true
		}
	}
}

// Serve has the gateway put what is for its services into inbox. It is called
// before the gateway is used.
func (g *Gateway) Serve(inbox *Inbox) { g.inbox = inbox }

// serve takes an IPv4 frame for one of the services, behind the virtio-net header h, and
// says false when it is none.
func (g *Gateway) serve(f *frame.Parsed, h frame.VNet) (vswitch.Response, bool) {
	eth := f.Eth
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
		if g.host.Load() || eth.Dst() != g.mac || frame.AddrFromUint32(f.Dst4) != g.addr {
			return vswitch.Response{}, false
		}
	default:
		return vswitch.Response{}, false
	}
	return g.inbox.put(h[:frame.VNetHeaderLen], f), true
}
