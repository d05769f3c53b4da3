package vswitch

import (
	"sync/atomic"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// Counters is what a port has seen since it was added, and what its memory held then. Bytes are those of the
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

// CounterWords is the number of words in which one worker counts for a port. No other worker
// writes to them, so their cache lines stay with it; readers sum up the workers'.
const CounterWords = (int(firstDrop) + drop.Count + lineWords - 1) / lineWords * lineWords

// lineWords is the number of words in cacheLines bytes.
const lineWords = cacheLines / 8

// counter is the place of a counter among a worker's words.
type counter int

const (
	rxFrames counter = iota
	rxBytes
	txFrames
	txBytes
	forwarded
	flooded
	local
	firstDrop // of drop.Count, by their reasons
)

// CounterNames returns the names of the counters among a worker's words, in their order; that
// of a drop is its reason's. They tell what words mean that another version has counted in.
func CounterNames() []string {
	names := []string{
		"rx-frames", "rx-bytes", "tx-frames", "tx-bytes", "forwarded", "flooded", "local",
	}
	for _, r := range drop.All() {
		names = append(names, "drop-"+r.String())
	}
	return names
}

// stripe is one worker's share of a port's counters.
type stripe [CounterWords]atomic.Uint64

// stripesOf divides words into the workers' shares.
func stripesOf(words []atomic.Uint64) []*stripe {
	stripes := make([]*stripe, len(words)/CounterWords)
	for i := range stripes {
		stripes[i] = (*stripe)(words[i*CounterWords:])
	}
	return stripes
}

// dropped counts a drop.
func (s *stripe) dropped(r drop.Reason) { s[firstDrop+counter(r)].Add(1) }

func (s *stripe) addTo(c *Counters) {
	c.RxFrames += s[rxFrames].Load()
	c.RxBytes += s[rxBytes].Load()
	c.TxFrames += s[txFrames].Load()
	c.TxBytes += s[txBytes].Load()
	c.Forwarded += s[forwarded].Load()
	c.Flooded += s[flooded].Load()
	c.Local += s[local].Load()
	for r := range c.Drops {
		c.Drops[r] += s[int(firstDrop)+r].Load()
	}
}

// ReadCounters sums up what the words of a port's counters hold, see [PortConfig].
func ReadCounters(words []atomic.Uint64) Counters {
	var c Counters
	for _, s := range stripesOf(words) {
		s.addTo(&c)
	}
	return c
}

// RecoverCounters prepares the words of a port's counters, whose process has ended in whatever
// way, to count on. A process that was killed in a burst has not counted all of it: the frames
// read have one outcome each again after it. The report is false if the words cannot be those of
// a port, since they lack more than a burst.
func RecoverCounters(words []atomic.Uint64) bool {
	stripes := stripesOf(words)
	if len(stripes) == 0 {
		return false
	}
	c := ReadCounters(words)
	missing := c.Forwarded + c.Flooded + c.Local + c.IngressDrops() - c.RxFrames
	switch {
	case missing <= burstFrames: // outcomes are counted at once, frames read after them
		stripes[0][rxFrames].Add(missing)
	case -missing <= burstFrames: // and frames forwarded last
		stripes[0][forwarded].Add(-missing)
	default:
		return false
	}
	return true
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
	s := t.out.stripes[w.id]
	s[txFrames].Add(t.txFrames)
	s[txBytes].Add(t.txBytes)
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
	s := p.stripes[w.id]
	s[rxFrames].Add(t.rxFrames)
	s[rxBytes].Add(t.rxBytes)
	if t.forwarded != 0 {
		s[forwarded].Add(t.forwarded)
	}
	t.rxFrames, t.rxBytes, t.forwarded = 0, 0, 0
}
