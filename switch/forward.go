package vswitch

import (
	"encoding/binary"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// The stages of a frame's way through a worker, in the order of the functions below:
//
//	burst     read from the port's device until it is empty or its turn is over
//	shape     at once, later or not at all, where the port's rate is bounded (shaper.go)
//	check     length, virtio-net header, source address
//	same      as the frame before it: transmit the same way, after the checks that
//	          the port's policy wants of each frame
//	admit     by the port's policy (package policy)
//	learn     source address → port (package fdb), unless it comes and goes (loop.go)
//	intercept ARP, DHCP, and whatever is sent to the gateway's address, to the
//	          responder, which may pass it on to the host (host.go)
//	look up   destination address → port, or flood (flood.go)
//	allow     by isolation and the segment's rules (rule.go)
//	transmit  within the port's rate, to the device, completed and segmented in software where it must be (egress.go)
//
// Each frame ends in exactly one verdict (verdict.go): forwarded, flooded, local, or a
// drop with its reason. Its headers are parsed once, as far as a stage asks for them.

const (
	burstFrames = BatchFrames // carried from one port before the next has its turn, if not fewer (turn.go)

	// batchBytes is about what is read before it is written: four super-frames, since no
	// more stays in a core's own cache.
	batchBytes = 4 * (1<<16 + 1<<7)

	// bufferSize holds the largest super-frame: 64 KiB of IP packet behind an
	// Ethernet header with two VLAN tags and the virtio-net header, and some more
	// so that a longer one is seen as such.
	bufferSize = 1<<16 + 256
)

// burst carries up to burstFrames frames from p, fewer if they are large, and says whether
// more may wait.
//
// It asks for as many frames at a time as it has got already in this turn, or in
// the one before: a lone frame costs one read, and a queue soon one call for the
// whole burst.
func (w *worker) burst(p *Port) bool {
	w.from, w.observer = p, w.observerRef.Load()
	want, got, carried := p.batch, 0, 0
	for got < burstFrames && carried < quantum {
		bufs := w.frames[:min(want, burstFrames-got)]
		n, status := w.poller.Receive(p.slot, bufs)
		size := w.take(p, bufs[:n])
		got += n
		carried += size
		w.turns.charge(p, n, size)
		if status != frame.OK {
			p.batch = max(1, got)
			w.flush(p)
			if status == frame.Gone {
				w.lost(p)
			}
			return false
		}
		if n == 0 { // the next turn goes on
			w.unread(p, len(bufs))
			break
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

// unread counts n frames of p that its device has lost when they were read. One that does so
// without an end is read as seldom as one whose frames are refused.
func (w *worker) unread(p *Port, n int) {
	w.failing = true
	w.tally.rxFrames += uint64(n)
	for range n {
		w.discard(p, drop.BadVirtioHeader, w.frames[0][:0])
	}
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
		w.discard(p, drop.Runt, b)
		return
	}
	// The first eight bytes zero: nothing is asked of the receiver.
	if binary.NativeEndian.Uint64(b) != 0 || len(b) > p.maxFrame+frame.VNetHeaderLen {
		if reason := checkOffload(b, p.maxFrame); reason != drop.None {
			w.discard(p, reason, b)
			return
		}
	}
	if state := p.state.Load(); state&stateStopped != 0 {
		w.discard(p, stopped(state), b)
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
			w.parsed.Reset(eth)
			if l.checks >= checkFilter {
				w.sameOfHost(p, l, b)
				return
			}
			if reason := w.recheck(p, l); reason != drop.None {
				w.refuse(p, reason, b)
				return
			}
		}
		w.forward(l.out, b)
		return
	}
	w.first(p, b, r)
}

// stopped is why a port in that state takes no frame from its device.
func stopped(state uint32) drop.Reason {
	if state&stateDown != 0 {
		return drop.PortDown
	}
	return drop.Loop
}

// sameOfHost carries a frame that goes the way l, as another before it with the same Ethernet
// header, from the host or to the gateway's address.
func (w *worker) sameOfHost(p *Port, l *route, b []byte) {
	reason := w.recheck(p, l)
	if reason == drop.None && l.checks&checkFilter != 0 {
		reason = p.filterIngress(&w.parsed)
	}
	switch {
	case reason != drop.None:
		w.refuse(p, reason, b)
	case l.checks&checkGateway != 0:
		w.toGateway(p, l.out, b)
	default:
		w.forward(l.out, b)
	}
}

// recheck is what remains of admission and rules for a frame that goes the way l.
func (w *worker) recheck(p *Port, l *route) drop.Reason {
	g := p.guard.Load()
	if l.checks&policy.CheckSource != 0 {
		if r := g.Inspect(&w.parsed); r != drop.None {
			return r
		}
	}
	if l.checks&checkRules != 0 && w.denied(p, l.out) {
		return drop.DeniedByRule
	}
	return drop.None
}

// first decides on a frame whose route is not known yet.
func (w *worker) first(p *Port, b []byte, r route) {
	f, g := &w.parsed, p.guard.Load()
	f.Reset(frame.Ethernet(b[frame.VNetHeaderLen:]))
	src := f.Eth.SrcUint64()
	if src == 0 || f.Eth[6]&1 != 0 {
		w.discard(p, drop.BadSource, b)
		return
	}
	if f.Eth.EtherType() == frame.EtherTypeLoopback && w.loopProven(p, b) {
		return
	}
	if p.filter != nil {
		w.firstOfHost(p, g, b, r)
		return
	}
	if reason := g.Admit(f, p.segment.claims()); reason != drop.None {
		w.refuse(p, reason, b)
		return
	}
	if reason := w.learn(p, g, src); reason != drop.None {
		w.refuse(p, reason, b)
		return
	}
	if f.EtherType == frame.EtherTypeARP && !f.VLAN && w.intercept(p, b) {
		return
	}
	if f.Eth[0]&1 != 0 {
		if !policy.DHCPRequest(f) || !w.intercept(p, b) {
			w.group(p, g, b)
		}
		return
	}
	w.unicast(p, g, b, r)
}

// learn notes where a frame's source address is, or says why the frame is dropped.
func (w *worker) learn(p *Port, g *policy.Guard, src uint64) drop.Reason {
	key := p.key(src)
	elsewhere, over := w.table.Learn(key, p.place(), w.now.Load(), g.MACLimit)
	switch {
	case elsewhere == 0:
	case elsewhere.Locked():
		return drop.SpoofedMAC
	case elsewhere.Kind() != fdb.Static && elsewhere.Place() != fdb.Nowhere && w.moved(p, g, key, elsewhere):
		return drop.Loop
	}
	if over {
		return drop.MACLimit
	}
	return drop.None
}

// offload splits a frame that was read from its virtio-net header, and has that count a VLAN tag
// that the kernel does not.
func offload(b []byte) (h frame.VNet, eth []byte, ok bool) {
	if h, eth, ok = frame.ParseVNet(b); ok {
		h.CountTag(eth)
	}
	return h, eth, ok
}

// checkOffload looks at a frame that is not plain or longer than the MTU allows.
func checkOffload(b []byte, maxFrame int) drop.Reason {
	h, eth, _ := offload(b)
	if !h.Valid(eth) {
		return drop.BadVirtioHeader
	}
	size := len(eth)
	if h.GSOType() != frame.VNetGSONone {
		size = h.SegmentLen(eth)
	}
	if size > maxFrame {
		return drop.Giant
	}
	return drop.None
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

// respond hands b, which the worker has parsed, to the responder, sends its answer, and says
// false when the frame is none of its business.
func (w *worker) respond(p, gw *Port, b []byte) bool {
	from := Origin{Slot: p.slot, Trusted: p.Trusted()}
	if p.filter != nil {
		from.Slot = gw.slot
	}
	r := gw.responder.Respond(from, &w.parsed, b)
	switch r.Action {
	case Pass:
		return false
	case Refused:
		if !r.Reason.Ingress() { // would be missing from the sum of what p sent
			r.Reason = drop.GatewayUnhandled
		}
		w.refuse(p, r.Reason, b)
	case ToHost:
		w.toHost(p, b, drop.NoUplink)
	case Probe:
		w.probe(p, b)
	case Answered:
		w.local(p, b)
		w.answer(gw, b[:max(0, min(r.Len, cap(b)))])
	default:
		w.local(p, b)
	}
	return true
}

// answer sends a responder's frame as if read from its port. It is never handed
// to a responder again.
func (w *worker) answer(gw *Port, b []byte) {
	if len(b) < frame.VNetHeaderLen+frame.EthernetHeaderLen {
		w.answered(gw, nil, drop.Runt, b)
		return
	}
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	v := w.table.Lookup(gw.key(eth.DstUint64()))
	out := w.portAt(v)
	switch {
	case eth[0]&1 != 0 || v == 0:
		w.answered(gw, nil, drop.None, b)
		w.floodAll(gw, b)
		return
	case out == nil || out.segment != gw.segment:
		w.answered(gw, nil, drop.Unreachable, b)
		return
	case out == gw:
		if out = gw.segment.host.Load(); out == nil { // which has the gateway's address
			w.answered(gw, nil, drop.Hairpin, b)
			return
		}
	}
	w.answered(gw, out, drop.None, b)
	w.transmit(out, b)
}

// unicast carries a frame to one host's address, and completes its route r for the next of
// the flow.
func (w *worker) unicast(p *Port, g *policy.Guard, b []byte, r route) {
	f := &w.parsed
	v := w.table.Lookup(p.key(f.Eth.DstUint64()))
	if v == 0 {
		w.flood(p, g, b)
		return
	}
	out := w.portAt(v)
	switch {
	// The key holds the segment, so that out is of p's segment: the isolation. That it is
	// compared once more is the second one.
	case out == nil || out.segment != p.segment:
		w.discard(p, drop.Unreachable, b)
		return
	case out == p:
		w.discard(p, drop.Hairpin, b)
		return
	case out.responder != nil:
		w.unicastToGateway(p, g, out, b, r)
		return
	case g.Isolated && out.isolated():
		w.discard(p, drop.Isolated, b)
		return
	}
	r.out, r.checks = out, g.Checks
	if p.filter == nil && p.segment.rules.Load() != nil {
		r.checks |= checkRules
		if w.denied(p, out) {
			w.discard(p, drop.DeniedByRule, b)
			return
		}
	}
	if policy.Rememberable(f) {
		p.last = r
	}
	w.forward(out, b)
}

// unicastToGateway carries the first frame of a flow to the gateway's address.
func (w *worker) unicastToGateway(p *Port, g *policy.Guard, gw *Port, b []byte, r route) {
	f := &w.parsed
	if f.EtherType == frame.EtherTypeARP && !f.VLAN {
		w.toHost(p, b, drop.GatewayUnhandled) // the responder has seen it, and does not answer
		return
	}
	if policy.Rememberable(f) {
		r.out, r.checks = gw, g.Checks|checkGateway
		p.last = r
	}
	w.toGateway(p, gw, b)
}

// toGateway carries a frame to the gateway's address.
func (w *worker) toGateway(p, gw *Port, b []byte) {
	if !w.respond(p, gw, b) {
		w.discard(p, drop.GatewayUnhandled, b)
	}
}
