package vswitch

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// A container that bridges two of its ports sends what is flooded to the one into the
// other, and so round and round. By its frames alone that cannot be told from an honest
// sender: at a port with security even the source address is the port's own. So when a
// port's floods pass a rate, the switch sends a frame of its own through the segment's
// ports. No host sends that back; one that does is a loop, and the port through which it
// comes is err-disabled.
const (
	probeFloods   = 100 // flooded frames per second, and at once, that are no reason to probe
	probePause    = policy.TicksPerSecond / 100
	maxProbePause = policy.TicksPerSecond
	probeCalm     = 5 * policy.TicksPerSecond   // without a probe, after which the pause is short again
	probeJump     = 4 * probeFloods             // floods since a probe that are as many as usual
	proofPause    = policy.TicksPerSecond / 200 // after which another port may be err-disabled
	floodTicks    = policy.TicksPerSecond / probeFloods
)

// floodMeter decides when floods from a port are a reason to probe for a loop.
type floodMeter struct {
	full  int64 // the time, in ticks, when the port may flood its burst again
	next  int64 // no probe before that
	pause int64 // after the next probe; doubles while floods go on

	since, before int // frames flooded since the last probe, and between it and the one before
}

// exceeded counts a flooded frame at time now and reports whether to probe: after the pause,
// or as soon as there have been twice as many as in the time before, for a loop may begin at a
// port that floods much anyway.
func (m *floodMeter) exceeded(now int64) bool {
	m.full = max(m.full, now) + floodTicks
	m.since++
	jump := m.since > max(probeJump, 2*m.before)
	if m.full-now <= probeFloods*floodTicks || now < m.next && !jump {
		return false
	}
	m.before, m.since = m.since, 0
	if now > m.next+probeCalm || m.pause == 0 {
		m.pause = probePause
	}
	m.next = now + m.pause
	m.pause = min(2*m.pause, maxProbePause)
	return true
}

// loopProbe is a segment's probe: a virtio-net header that asks for nothing, and a frame of
// the Ethernet Configuration Testing Protocol (EtherType 0x9000, Ethernet 2.0 §8), by which
// switches find loops (as Cisco's keepalives do), with a nonce that makes it the segment's
// own. Who gets it and sends it back ends its own port, so that it need not be kept secret.
type loopProbe struct {
	frame []byte
	// proven is when a port was last err-disabled, in ticks. A probe comes back through
	// both ends of a loop, and one is enough.
	proven atomic.Int64
}

const (
	probeReply    = 1 // of the protocol: for the receiver, not to be passed on by it
	probeNonceLen = 16
	probeNonce    = frame.VNetHeaderLen + frame.EthernetHeaderLen + 6
)

func newLoopProbe() []byte {
	b := make([]byte, frame.VNetHeaderLen+60)
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	var random [6 + probeNonceLen]byte
	rand.Read(random[:]) // never fails
	src := frame.MAC(random[:6])
	src[0] = src[0]&^1 | 2 // locally administered
	eth.SetDst(frame.Broadcast)
	eth.SetSrc(src)
	eth.SetEtherType(frame.EtherTypeLoopback)
	// skip count 0, function, receipt number
	binary.LittleEndian.PutUint16(eth.Payload()[2:], probeReply)
	copy(b[probeNonce:], random[6:])
	return b
}

// meterFlood counts a frame from p that goes to more than one port, and looks for a loop
// where there are too many.
func (w *worker) meterFlood(p *Port) {
	if w.loop.moves != 0 && p.filter == nil && p.floods.exceeded(w.clock()) {
		w.sendLoopProbe(p)
	}
}

// sendLoopProbe sends the probe of p's segment to all of its ports, p included.
func (w *worker) sendLoopProbe(p *Port) {
	for _, out := range *p.segment.ports.Load() {
		w.transmit(out, p.segment.probe.frame)
	}
}

// loopProven reports whether b, from p, is the segment's own probe. Then the port is
// err-disabled. The host's port is trusted, and is not.
func (w *worker) loopProven(p *Port, b []byte) bool {
	nonce := p.segment.probe.frame[probeNonce:][:probeNonceLen]
	if len(b) < probeNonce+probeNonceLen || !bytes.Equal(b[probeNonce:][:probeNonceLen], nonce) {
		return false
	}
	now := w.clock()
	proven := p.segment.probe.proven.Load()
	if p.filter == nil && now-proven >= proofPause && p.segment.probe.proven.CompareAndSwap(proven, now) {
		w.errDisable(p)
	}
	w.discard(p, drop.Loop, b)
	return true
}
