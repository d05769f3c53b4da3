package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Learning frames are sent again until one gets through: the port of a bridge passes frames some
// time after its link came up (net/core/link_watch.c).
const (
	learnStep = 2 * time.Millisecond
	learnMost = 5 * time.Second
)

// learner is a receiver that sends frames to its sender until one has come, so that the switch
// knows where the receiver is (learning frames, RFC 2889 §5.1.3).
type learner struct {
	flow   Flow
	batch  *batch
	number int // of the sender's counter
	before uint64
}

// learn has each receiver send frames to its sender, all at the same time. With several it
// sends one more at the end, since a frame that a sender got may have been flooded from
// another receiver.
func (t FramesTask) learn() error {
	var senders receiveCounters
	defer senders.close()
	learners := make([]learner, 0, len(t.Flows))
	defer func() {
		for _, l := range learners {
			unix.Close(l.batch.socket)
		}
	}()
	for _, f := range t.Flows {
		l, err := newLearner(f, t.Packets)
		if err != nil {
			return err
		}
		learners = append(learners, l)
		if learners[len(learners)-1].number, err = senders.add(f.From); err != nil {
			return err
		}
	}
	if err := senders.read(); err != nil {
		return err
	}
	for i := range learners {
		learners[i].before = senders.counts[learners[i].number]
	}
	if err := awaitLearned(learners, &senders); err != nil || len(learners) == 1 {
		return err
	}
	for _, l := range learners {
		if _, err := l.batch.send(1); err != nil {
			return err
		}
	}
	_, err := senders.settled()
	return err
}

// awaitLearned returns when each sender has got a frame.
func awaitLearned(learners []learner, senders *receiveCounters) error {
	waiting := make([]*learner, len(learners))
	for i := range learners {
		waiting[i] = &learners[i]
	}
	for begin := time.Now(); ; {
		for _, l := range waiting {
			if _, err := l.batch.send(1); err != nil {
				return err
			}
		}
		sleep(learnStep)
		if err := senders.read(); err != nil {
			return err
		}
		still := waiting[:0]
		for _, l := range waiting {
			if senders.counts[l.number] == l.before {
				still = append(still, l)
			}
		}
		if waiting = still; len(waiting) == 0 {
			return nil
		}
		if time.Since(begin) > learnMost {
			f := waiting[0].flow
			return fmt.Errorf("no frame from %s in %s came to %s in %s within %v",
				f.To.IfName, f.To.Namespace, f.From.IfName, f.From.Namespace, learnMost)
		}
	}
}

func newLearner(f Flow, packets bool) (learner, error) {
	b, err := newBatch(Flow{From: f.To, To: f.From}, batchConfig{bytes: minFrame, frames: 1})
	if err != nil {
		return learner{}, fmt.Errorf("open packet socket in %s: %w", f.To.Namespace, err)
	}
	if packets { // a port that is strict lets nothing else pass
		if err := b.fillPackets(f.To.Addr.Addr()); err != nil {
			unix.Close(b.socket)
			return learner{}, err
		}
	}
	return learner{flow: f, batch: b}, nil
}
