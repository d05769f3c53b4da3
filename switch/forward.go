package vswitch

import (
	"encoding/binary"

	"vswitch/frame"
	"vswitch/switch/fdb"
)

// The way of a frame through a worker, in the order of the functions below:
//
//	burst     read from the port's device until it is empty or its turn is over
//	check     length, virtio-net header, source address
//	same      as the frame before it: transmit the same way, after the checks that
//	          the port's policy wants of each frame
//	admit     by the port's policy (policy.go, guard*.go, bucket.go)
//	learn     source address → port (fdb), unless it comes and goes (loop.go)
//	intercept ARP, DHCP, and whatever is sent to the gateway's address, to the
//	          responder, which may pass it on to the host (host.go)
//	look up   destination address → port, or flood (flood.go)
//	allow     by isolation and the segment's rules (rule.go)
//	transmit  to the device, completed and segmented in software where it must be
//
// Each frame ends in exactly one count at the port that it came from: forwarded,
// flooded, local, or a drop with its reason.

const (
	burstFrames = BatchFrames // read from one port before the next has its turn: what a neighbour may have to wait for

	// batchBytes is about what is read before it is written: no more than stays
	// in a core's own cache.
	batchBytes = 1 << 18

	// bufferSize holds the largest super-frame: 64 KiB of IP packet behind an
	// Ethernet header with two VLAN tags and the virtio-net header, and some more
	// so that a longer one is seen as such.
	bufferSize = 1<<16 + 256
)

// burst carries up to burstFrames frames from p and says whether more may wait.
//
// It asks for as many frames at a time as it has got already in this turn, or in
// the one before: a lone frame costs one read, and a queue soon one call for the
// whole burst.
func (w *worker) burst(p *Port) bool {
	want, got := p.batch, 0
	for got < burstFrames {
		bufs := w.frames[:min(want, burstFrames-got)]
		n, status := w.poller.Receive(p.device, bufs)
		size := w.carry(p, bufs[:n])
		got += n
		if status != frame.OK {
			p.batch = max(1, got)
			w.flush(p)
			if status == frame.Gone {
				w.lost(p)
			}
			return false
		}
		want = max(want, got)
		if size > batchBytes {
			want = max(1, n*batchBytes/size)
		}
	}
	p.batch = min(want, burstFrames)
	w.flush(p)
	return true
}

// carry decides on frames that were read from p, sends them on their way, and
// returns their size in bytes.
func (w *worker) carry(p *Port, frames [][]byte) (size int) {
	for _, b := range frames {
		size += len(b)
		w.tally.rxBytes += uint64(max(len(b)-frame.VNetHeaderLen, 0))
		w.ingress(p, b)
	}
	w.tally.rxFrames += uint64(len(frames))
	w.send()
	return size
}

// ingress decides on one frame from p: b is virtio-net header and frame.
func (w *worker) ingress(p *Port, b []byte) {
	if len(b) < frame.VNetHeaderLen+frame.EthernetHeaderLen {
		w.discard(p, Runt)
		return
	}
	// The first eight bytes zero: nothing is asked of the receiver.
	if binary.NativeEndian.Uint64(b) != 0 || len(b) > p.maxFrame+frame.VNetHeaderLen {
		if reason := checkOffload(b, p.maxFrame); reason != none {
			w.discard(p, reason)
			return
		}
	}
	if state := p.state.Load(); state&(stateDown|stateHeld) != 0 {
		w.discard(p, stopped(state))
		return
	}
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	r := route{
		head:    binary.NativeEndian.Uint64(eth[0:8]),
		tail:    binary.NativeEndian.Uint64(eth[6:14]),
		version: w.table.Version(),
	}
	if l := &p.last; r.head == l.head && r.tail == l.tail && r.version == l.version {
		if l.checks != 0 {
			if l.checks >= checkFilter {
				w.sameOfHost(p, l, b)
				return
			}
			if reason := w.recheck(p, l, b); reason != none {
				w.refuse(p, reason, eth)
				return
			}
		}
		w.tally.forwarded++
		w.transmit(l.out, b)
		return
	}
	w.first(p, b, r)
}

// first decides on a frame whose route is not known yet.
func (w *worker) first(p *Port, b []byte, r route) {
	eth, g := frame.Ethernet(b[frame.VNetHeaderLen:]), p.guard.Load()
	if eth.SrcUint64() == 0 || eth[6]&1 != 0 {
		w.discard(p, BadSource)
		return
	}
	if p.filter != nil {
		w.firstOfHost(p, g, b, r)
		return
	}
	if reason := g.admit(p.segment, eth); reason != none {
		w.refuse(p, reason, eth)
		return
	}
	if g.rateIn != nil && !g.rateIn.take(w.clock(), len(eth)) {
		w.discard(p, RateLimitIn)
		return
	}
	if reason := w.learn(p, g, eth); reason != none {
		w.refuse(p, reason, eth)
		return
	}
	if eth.EtherType() == frame.EtherTypeARP && w.intercept(p, b) {
		return
	}
	if eth[0]&1 != 0 {
		if !dhcpRequest(eth) || !w.intercept(p, b) {
			w.group(p, g, b)
		}
		return
	}
	w.unicast(p, g, b, r)
}

// learn notes where a frame's source address is, or says why the frame is dropped.
func (w *worker) learn(p *Port, g *guard, eth frame.Ethernet) Reason {
	key := fdb.Key(eth.SrcUint64(), p.segment.id)
	from, over := w.table.Learn(key, fdb.Place(p.slot), w.now.Load(), g.macLimit)
	if from.Place() != fdb.Nowhere && w.moved(p, g, key, uint32(from.Place())) {
		return Loop
	}
	if over {
		return MACLimit
	}
	return none
}

// checkOffload looks at a frame that is not plain or longer than the MTU allows.
func checkOffload(b []byte, maxFrame int) Reason {
	h, eth, _ := frame.ParseVNet(b)
	if !h.Valid(eth) {
		return BadVirtioHeader
	}
	size := len(eth)
	if h.GSOType() != frame.VNetGSONone {
		size = h.SegmentLen(eth)
	}
	if size > maxFrame {
		return Giant
	}
	return none
}

// intercept asks the responder about a frame that is not sent to its own address
// and says whether it took it.
func (w *worker) intercept(p *Port, b []byte) bool {
	gw := p.segment.gateway.Load()
	if gw == nil {
		return false
	}
	return w.respond(p, gw, b)
}

// respond hands b to the responder, sends its answer, and says false when the
// frame is none of its business.
func (w *worker) respond(p, gw *Port, b []byte) bool {
	r := gw.responder.Respond(b)
	switch r.Action {
	case Pass:
		return false
	case Refused:
		if !r.Reason.Ingress() { // would be missing from the sum of what p sent
			r.Reason = GatewayUnhandled
		}
		w.refuse(p, r.Reason, b[frame.VNetHeaderLen:])
	case ToHost:
		w.toHost(p, b, NoUplink)
	case Answered:
		w.stripe(p).local.Add(1)
		w.answer(gw, b[:max(0, min(r.Len, cap(b)))])
	default:
		w.stripe(p).local.Add(1)
	}
	return true
}

// answer sends a responder's frame as if read from its port. It is never handed
// to a responder again.
func (w *worker) answer(gw *Port, b []byte) {
	s := w.stripe(gw)
	s.rxFrames.Add(1)
	s.rxBytes.Add(uint64(max(len(b)-frame.VNetHeaderLen, 0)))
	if len(b) < frame.VNetHeaderLen+frame.EthernetHeaderLen {
		w.drop(gw, Runt)
		return
	}
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	out := w.portAt(w.table.Lookup(fdb.Key(eth.DstUint64(), gw.segment.id)))
	switch {
	case eth[0]&1 != 0 || out == nil || out.segment != gw.segment:
		w.floodAll(gw, b)
	case out == gw:
		host := gw.segment.host.Load() // which has the gateway's address
		if host == nil {
			w.drop(gw, Hairpin)
			return
		}
		s.forwarded.Add(1)
		w.transmit(host, b)
	default:
		s.forwarded.Add(1)
		w.transmit(out, b)
	}
}

// unicast carries a frame to one station's address, and completes its route r
// for the next of the flow.
func (w *worker) unicast(p *Port, g *guard, b []byte, r route) {
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	out := w.portAt(w.table.Lookup(fdb.Key(eth.DstUint64(), p.segment.id)))
	// The key holds the segment, so that out is of p's segment: the wall. That it
	// is compared once more is the second wall.
	if out == nil || out.segment != p.segment {
		w.flood(p, g, b)
		return
	}
	if out == p {
		w.discard(p, Hairpin)
		return
	}
	if out.responder != nil {
		if eth.EtherType() == frame.EtherTypeARP {
			w.toHost(p, b, GatewayUnhandled) // the responder has seen it, and does not answer
			return
		}
		r.out, r.checks = out, g.checks|checkGateway
		p.last = r
		w.toGateway(p, out, b)
		return
	}
	if g.policy.Isolated && out.isolated() {
		w.discard(p, Isolated)
		return
	}
	r.out, r.checks = out, g.checks
	if p.filter == nil && p.segment.rules.Load() != nil {
		r.checks |= checkRules
		if w.denied(p, out, eth) {
			w.discard(p, DeniedByRule)
			return
		}
	}
	if eth.EtherType() != frame.EtherTypeARP { // each ARP is for the responder to see
		p.last = r
	}
	w.tally.forwarded++
	w.transmit(out, b)
}

// toGateway carries a frame to the gateway's address.
func (w *worker) toGateway(p, gw *Port, b []byte) {
	if !w.respond(p, gw, b) {
		w.discard(p, GatewayUnhandled)
	}
}

// sending is a frame queued at the poller.
type sending struct {
	out *Port
	n   int // bytes, virtio-net header included
}

// transmit queues a frame for out's device. It must stay as it is until send.
func (w *worker) transmit(out *Port, b []byte) {
	if state := out.state.Load(); state&stateEgress != 0 {
		if reason := w.blocked(out, state, len(b)); reason != none {
			w.drop(out, reason)
			return
		}
	}
	if out.plain && !frame.VNet(b).Plain() {
		w.transmitPlain(out, b)
		return
	}
	if len(w.queue) == BatchFrames {
		w.send()
	}
	w.queue = append(w.queue, sending{out, len(b)})
	w.poller.Send(out.device, b)
}

// blocked says why a frame of n bytes, virtio-net header included, may not go to
// out, which is in a state that asks for it.
func (w *worker) blocked(out *Port, state uint32, n int) Reason {
	switch {
	case state&stateDown != 0:
		return LinkDown
	case state&stateHeld != 0:
		return HeldDown
	}
	if rate := out.guard.Load().rateOut; rate != nil && !rate.take(w.clock(), n-frame.VNetHeaderLen) {
		return RateLimitOut
	}
	return none
}

// send hands what is queued to the devices.
func (w *worker) send() {
	if len(w.queue) == 0 {
		return
	}
	for i, status := range w.poller.Flush() {
		w.count(w.queue[i].out, status, w.queue[i].n)
	}
	clear(w.queue)
	w.queue = w.queue[:0]
}

// count notes what became of a frame of n bytes that was meant for out.
func (w *worker) count(out *Port, status frame.Status, n int) {
	switch status {
	case frame.OK:
		w.sent(out, n)
	case frame.Again:
		w.drop(out, QueueFull)
	case frame.Down:
		w.drop(out, LinkDown)
	case frame.Gone:
		w.drop(out, DeviceGone)
	default:
		w.drop(out, TxRejected)
	}
}

// transmitPlain sends to a device without offloads: the frame's checksum is
// completed, or it is cut into segments, in a copy, because a flood sends the
// same bytes to others.
func (w *worker) transmitPlain(out *Port, b []byte) {
	w.send() // or it would overtake what is queued
	h, eth, _ := frame.ParseVNet(b)
	if h.GSOType() == frame.VNetGSONone {
		c := w.scratch[:copy(w.scratch, b)]
		h, eth, _ = frame.ParseVNet(c)
		if !frame.CompleteChecksum(h, eth) {
			w.drop(out, TxRejected)
			return
		}
		h.Clear()
		w.count(out, out.device.Transmit(c), len(c))
		return
	}
	segments, ok := frame.NewSegmenter(h, eth)
	if !ok {
		w.drop(out, TxRejected)
		return
	}
	clear(w.scratch[:frame.VNetHeaderLen])
	for {
		n, more := segments.Next(w.scratch[frame.VNetHeaderLen:])
		if !more {
			return
		}
		n += frame.VNetHeaderLen
		w.count(out, out.device.Transmit(w.scratch[:n]), n)
	}
}
