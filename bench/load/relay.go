package load

import (
	"fmt"
	"io"
	"time"

	"vswitch/internal/frame"
	"vswitch/internal/reactor"
	"vswitch/tap"
)

// The relay's parameters, those of the switch.
const (
	relayBurst = 64
	relaySpin  = 50 * time.Microsecond
	relayQueue = 1000 // frames that a device holds until they are read
)

// RelayTask is the task of the relay helper: to make a TAP device for each endpoint and to
// pass frames between them, as little as a switch in user space can do.
type RelayTask struct {
	Host      string      `json:"host"` // the namespace it runs in
	Poll      string      `json:"poll"` // adaptive, busy or sleep
	Endpoints [2]Endpoint `json:"endpoints"`
}

// run makes the devices, says so to out, and passes frames until it is killed.
func (t RelayTask) run(out io.Writer) error {
	engine, err := reactor.New(reactor.Options{Batch: 1}) // a call for each frame
	if err != nil {
		return err
	}
	r := relay{engine: engine, spin: relaySpin, bufs: [][]byte{make([]byte, tap.BufferLen)}}
	switch t.Poll {
	case "adaptive":
	case "busy":
		r.spin = -1
	case "sleep":
		r.spin = 0
	default:
		return fmt.Errorf("poll %q: want adaptive, busy or sleep", t.Poll)
	}
	for i, e := range t.Endpoints {
		name := fmt.Sprintf("relay%d", i)
		// On this thread, which nsenter(1) has put into the namespace.
		device, err := tap.Create(name, tap.Options{})
		if err != nil {
			return err
		}
		if err := e.AdoptLink(name, relayQueue); err != nil {
			return err
		}
		if err := engine.Add(uint32(i), device, true); err != nil {
			return err
		}
	}
	if err := sayReady(out); err != nil {
		return err
	}
	r.run()
	return nil
}

// relay is the least that a user-space switch does. Its devices are in slots 0 and 1.
type relay struct {
	engine *reactor.Reactor
	ready  [2]bool       // may have frames waiting
	spin   time.Duration // how long to look again after traffic; below 0: always
	bufs   [][]byte      // one
}

// run ends when both devices are gone.
func (r *relay) run() {
	slots := make([]uint32, 2)
	gone := [2]bool{}
	var idle time.Time // since when no frame came; zero while frames come
	for !gone[0] || !gone[1] {
		n := r.engine.Wait(slots, r.timeout(&idle))
		for _, slot := range slots[:n] {
			r.ready[slot] = true
		}
		for i := range r.ready {
			if r.ready[i] && !gone[i] {
				idle = time.Time{}
				gone[i] = r.pass(i) == frame.Gone
			}
		}
	}
}

func (r *relay) timeout(idle *time.Time) time.Duration {
	switch {
	case r.ready[0] || r.ready[1] || r.spin < 0:
		return 0
	case r.spin == 0:
		return -1
	case idle.IsZero():
		*idle = time.Now()
		return 0
	case time.Since(*idle) < r.spin:
		return 0
	}
	return -1
}

// pass passes a burst from device i to the other.
func (r *relay) pass(i int) frame.Status {
	for range relayBurst {
		n, s := r.engine.Receive(uint32(i), r.bufs)
		if s != frame.OK {
			r.ready[i] = false
			return s
		}
		if n == 1 { // else the kernel has lost a frame
			r.engine.Send(uint32(1-i), r.bufs[0])
			r.engine.Flush() // what the receiver doesn't take is lost
		}
	}
	return frame.OK
}
