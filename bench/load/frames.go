package load

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

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
	maxFrame   = 9014 // a sender whose MTU is raised sends frames that are too long for others
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
	Flows []Flow        `json:"flows"` // several of a pair are its share of the frames
	Bytes int           `json:"bytes"` // of a frame, Ethernet header included, without FCS
	For   time.Duration `json:"for"`   // how long to send
	Count uint64        `json:"count"` // how many frames to send instead; 0: as long as For
	Rate  float64       `json:"rate"`  // frames/s over all flows; 0 is as fast as it goes
	Batch int           `json:"batch"` // frames of a flow at a time; 0 is chosen by the rate
	// Sources and Targets are how many source and destination addresses each flow uses in turn,
	// from the address with the number First on; up to 1: those of its endpoints.
	Sources   int    `json:"sources"`
	Targets   int    `json:"targets"`
	First     uint32 `json:"first"`
	Broadcast bool   `json:"broadcast"` // the frames go to all
	Packets   bool   `json:"packets"`   // the frames hold IPv4 packets from the sender's own address
	Learned   bool   `json:"learned"`   // the switch knows the receivers already
	// Watch are endpoints beside the receivers at which frames are counted too.
	Watch []Endpoint `json:"watch"`
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
	Copies    uint64        `json:"copies"`    // receivers of each frame, of Broadcast; 0: one
	Delivered uint64        `json:"delivered"` // received by the receivers (rx_packets)
	InTime    uint64        `json:"in_time"`   // of these, those received within Window
	Window    time.Duration `json:"window"`    // from the first frame until the counters were read
	Drained   time.Duration `json:"drained"`   // from the first frame until the last arrived; of Broadcast
	Receivers []uint64      `json:"receivers"` // Delivered by receiver, in the order of the flows
	Watched   uint64        `json:"watched"`   // received by the endpoints of Watch
	Strayed   uint64        `json:"strayed"`   // received by those that only send: flooded
	Took      time.Duration `json:"took"`      // how long sending took
}

// DeliveredRate returns the rate at which receivers got frames, in frames/s. What was still in
// a queue when the last frame was sent does not count: with many ports that is more than what
// was carried until then.
func (f FramesFound) DeliveredRate() float64 { return float64(f.InTime) / f.Window.Seconds() }

// OfferedRate returns the rate at which frames were sent, in frames/s.
func (f FramesFound) OfferedRate() float64 { return float64(f.Offered) / f.Took.Seconds() }

// Flooded reports whether the switch sent frames to more ports than the receiver's. Other
// receivers count these as delivered too, so that Delivered is wrong then.
func (f FramesFound) Flooded() bool { return f.Strayed > 100 && f.Strayed > f.Delivered/100 }

// Lost returns the number of frames, or of copies, that were offered and did not arrive.
func (f FramesFound) Lost() uint64 {
	offered := f.Offered * max(f.Copies, 1)
	if f.Delivered >= offered {
		return 0 // a frame of somebody else may have been counted
	}
	return offered - f.Delivered
}

// arrivals counts what arrives where.
type arrivals struct{ receivers, senders, watched receiveCounters }

func (a *arrivals) add(t FramesTask) error {
	receives := make(map[Endpoint]bool)
	for _, f := range t.Flows {
		receives[f.To] = true
	}
	for _, f := range t.Flows {
		if _, err := a.receivers.add(f.To); err != nil {
			return err
		}
		if receives[f.From] {
			continue
		}
		if _, err := a.senders.add(f.From); err != nil {
			return err
		}
	}
	for _, e := range t.Watch {
		if _, err := a.watched.add(e); err != nil {
			return err
		}
	}
	return nil
}

// Parameters of waiting for the last frame.
const (
	drainStep  = time.Millisecond
	drainQuiet = time.Second // without a frame, after which none is to come
)

// drained returns when the last frame arrived, of as many as all counters are to rise to.
func (a *arrivals) drained(total uint64) (last time.Time, err error) {
	last = time.Now()
	before := uint64(0)
	for before < total && time.Since(last) < drainQuiet {
		received, errReceivers := a.receivers.sum()
		watched, errWatched := a.watched.sum()
		if err := errors.Join(errReceivers, errWatched); err != nil {
			return last, err
		}
		if received+watched != before {
			before, last = received+watched, time.Now()
		}
		sleep(drainStep)
	}
	return last, nil
}

func (a *arrivals) close() {
	a.receivers.close()
	a.senders.close()
	a.watched.close()
}

func (t FramesTask) run() (FramesFound, error) {
	if err := t.check(); err != nil {
		return FramesFound{}, err
	}
	batches := make([]*batch, len(t.Flows))
	for i, f := range t.Flows {
		var err error
		if batches[i], err = newBatch(f, t.batchConfig()); err == nil && t.Packets {
			err = batches[i].fillPackets(f.From.Addr.Addr())
		}
		if err != nil {
			return FramesFound{}, fmt.Errorf("open packet socket in %s: %w", f.From.Namespace, err)
		}
		defer unix.Close(batches[i].socket)
	}
	var at arrivals
	defer at.close()
	if err := at.add(t); err != nil {
		return FramesFound{}, err
	}
	if !t.Learned {
		if err := t.learn(); err != nil {
			return FramesFound{}, err
		}
	}
	return t.measure(batches, &at)
}

// measure sends, and says what arrived.
func (t FramesTask) measure(batches []*batch, at *arrivals) (FramesFound, error) {
	strayed, errSenders := at.senders.settled()
	before, errReceivers := at.receivers.settled()
	watched, errWatched := at.watched.sum()
	if err := errors.Join(errSenders, errReceivers, errWatched); err != nil {
		return FramesFound{}, err
	}
	each, start := slices.Clone(at.receivers.counts), time.Now()
	found, err := t.send(batches)
	if err != nil {
		return FramesFound{}, err
	}
	sent := time.Since(start)
	inTime, err := at.receivers.sum()
	if err != nil {
		return FramesFound{}, err
	}
	found.InTime, found.Window = inTime-before, (sent+time.Since(start))/2
	if t.Broadcast {
		found.Copies = uint64(len(at.receivers.counts))
		copies := (found.Offered - found.Refused) * (found.Copies + uint64(len(at.watched.counts)))
		last, err := at.drained(before + watched + copies)
		if err != nil {
			return FramesFound{}, err
		}
		found.Drained = last.Sub(start)
	}
	after, errReceivers := at.receivers.settledAfter(before)
	if found.InTime == 0 { // all that arrived came later
		found.InTime, found.Window = after-before, time.Since(start)
	}
	strays, errSenders := at.senders.sum()
	seen, errWatched := at.watched.sum()
	found.Delivered, found.Strayed, found.Watched = after-before, strays-strayed, seen-watched
	for i, n := range at.receivers.counts {
		found.Receivers = append(found.Receivers, n-each[i])
	}
	return found, errors.Join(errReceivers, errSenders, errWatched)
}

// check says what is wrong with a task.
func (t FramesTask) check() error {
	switch {
	case len(t.Flows) == 0 || t.Bytes < frame.EthernetHeaderLen || t.Bytes > maxFrame,
		t.For <= 0 && t.Count == 0:
		return fmt.Errorf("cannot send frames of %d bytes for %v in %d flows",
			t.Bytes, t.For, len(t.Flows))
	case t.Batch < 0 || t.Batch > fullBatch:
		return fmt.Errorf("cannot send %d frames at a time: give 0 to %d", t.Batch, fullBatch)
	}
	return nil
}

func (t FramesTask) batchConfig() batchConfig {
	return batchConfig{
		bytes: t.Bytes, frames: t.batch(), sources: t.Sources, targets: t.Targets, first: t.First,
		broadcast: t.Broadcast,
	}
}

// batch is how many frames of a flow are sent at a time, at most.
func (t FramesTask) batch() int {
	if t.Rate > 0 {
		return cmp.Or(t.Batch, pacedBatch)
	}
	return cmp.Or(t.Batch, fullBatch)
}

// done says whether enough was sent.
func (t FramesTask) done(found FramesFound) bool {
	if t.Count > 0 {
		return found.Offered >= t.Count
	}
	return found.Took >= t.For && found.Offered > 0
}

// send offers frames to the flows in turn.
func (t FramesTask) send(batches []*batch) (found FramesFound, err error) {
	start := time.Now()
	due := start // when the next frame is due, at a set rate
	for next := 0; ; next++ {
		now := time.Now()
		if found.Took = now.Sub(start); t.done(found) {
			return found, nil
		}
		n := t.batch()
		if t.Rate > 0 {
			if lag := t.maxLag(); now.Sub(due) > lag {
				due = now.Add(-lag)
			}
			if n = min(int(now.Sub(due).Seconds()*t.Rate), n); n < t.least() {
				t.rest()
				continue
			}
			due = due.Add(time.Duration(float64(n) / t.Rate * 1e9))
		}
		if t.Count > 0 {
			n = int(min(uint64(n), t.Count-found.Offered))
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
	return t.batch()
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
