package vswitch

import (
	"sync/atomic"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// Counters is what a port has seen since it was added. Bytes are those of the
// Ethernet frame, without FCS and virtio-net header; a super-frame counts as
// one frame, as in the kernel's own counters, but as its segments where it was
// segmented for the receiver.
//
// Once the port is at rest, RxFrames = Forwarded + Flooded + Local + the drops
// whose reason is [drop.Reason.Ingress]; the other drops are frames that were meant
// for this port and are not in TxFrames.
type Counters struct {
	RxFrames, RxBytes uint64 // read from the device
	TxFrames, TxBytes uint64 // taken by the device
	Forwarded         uint64 // of RxFrames: sent to one port
	Flooded           uint64 // of RxFrames: sent to all other ports of the segment
	Local             uint64 // of RxFrames: consumed or answered by the gateway
	Drops             [drop.Count]uint64
}

// IngressDrops is the sum of the drops among the frames read.
func (c *Counters) IngressDrops() uint64 {
	var sum uint64
	for r, n := range c.Drops {
		if drop.Reason(r).Ingress() {
			sum += n
		}
	}
	return sum
}

// Plus returns the sums of c and other.
func (c Counters) Plus(other Counters) Counters {
	c.RxFrames += other.RxFrames
	c.RxBytes += other.RxBytes
	c.TxFrames += other.TxFrames
	c.TxBytes += other.TxBytes
	c.Forwarded += other.Forwarded
	c.Flooded += other.Flooded
	c.Local += other.Local
	for r := range c.Drops {
		c.Drops[r] += other.Drops[r]
	}
	return c
}

// stripe is one worker's share of a port's counters. Only that worker adds to
// it, so its cache lines stay with it; readers sum the stripes.
type stripe struct {
	rxFrames, rxBytes, txFrames, txBytes, forwarded, flooded, local atomic.Uint64
	drops                                                           [drop.Count]atomic.Uint64
	_                                                               [cacheLines - (7+drop.Count)*8%cacheLines]byte
}

func (s *stripe) addTo(c *Counters) {
	c.RxFrames += s.rxFrames.Load()
	c.RxBytes += s.rxBytes.Load()
	c.TxFrames += s.txFrames.Load()
	c.TxBytes += s.txBytes.Load()
	c.Forwarded += s.forwarded.Load()
	c.Flooded += s.flooded.Load()
	c.Local += s.local.Load()
	for r := range c.Drops {
		c.Drops[r] += s.drops[r].Load()
	}
}

// tally gathers a burst's common counts in plain memory: frames of one port
// forwarded to one other port. What is rare goes to the stripes at once.
type tally struct {
	rxFrames, rxBytes, forwarded uint64
	out                          *Port // the port that txFrames and txBytes were sent to
	txFrames, txBytes            uint64
}

// sent counts a frame of n bytes, virtio-net header included, taken by out.
func (w *worker) sent(out *Port, n int) {
	t := &w.tally
	if t.out != out {
		w.flushTx()
		t.out = out
	}
	t.txFrames++
	t.txBytes += uint64(n - frame.VNetHeaderLen)
}

func (w *worker) flushTx() {
	t := &w.tally
	if t.txFrames == 0 {
		return
	}
	s := &t.out.stripes[w.id]
	s.txFrames.Add(t.txFrames)
	s.txBytes.Add(t.txBytes)
	t.txFrames, t.txBytes = 0, 0
}

// flush publishes the tally of a burst from p, whose time ends with it.
func (w *worker) flush(p *Port) {
	w.fresh = false
	w.flushTx()
	t := &w.tally
	t.out = nil
	if t.rxFrames == 0 {
		return
	}
	s := &p.stripes[w.id]
	s.rxFrames.Add(t.rxFrames)
	s.rxBytes.Add(t.rxBytes)
	if t.forwarded != 0 {
		s.forwarded.Add(t.forwarded)
	}
	t.rxFrames, t.rxBytes, t.forwarded = 0, 0, 0
}
