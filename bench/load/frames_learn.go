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

// learn has each receiver send frames to its sender until the first has come, so that the switch
// knows where the receiver is (learning frames, RFC 2889).
func (t FramesTask) learn() error {
	for _, f := range t.Flows {
		if err := learnOne(f, t.Packets); err != nil {
			return err
		}
	}
	return nil
}

func learnOne(f Flow, packets bool) error {
	var sender receiveCounters
	defer sender.close()
	if err := sender.add(f.From); err != nil {
		return err
	}
	b, err := newBatch(Flow{From: f.To, To: f.From}, minFrame, 1)
	if err != nil {
		return fmt.Errorf("open packet socket in %s: %w", f.To.Namespace, err)
	}
	defer unix.Close(b.socket)
	if packets { // a port that is strict lets nothing else pass
		if err := b.fillPackets(f.To.Addr.Addr()); err != nil {
			return err
		}
	}
	before, err := sender.sum()
	for begin := time.Now(); err == nil && time.Since(begin) < learnMost; {
		if _, err = b.send(1); err != nil {
			break
		}
		sleep(learnStep)
		var now uint64
		if now, err = sender.sum(); err != nil || now > before {
			return err
		}
	}
	if err == nil {
		err = fmt.Errorf("no frame from %s came to %s within %v",
			f.To.Namespace, f.From.Namespace, learnMost)
	}
	return err
}
