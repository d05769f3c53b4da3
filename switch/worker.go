package vswitch

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"vswitch/internal/frame"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// PollMode says what a worker does when no frame waits.
type PollMode uint8

// The poll modes.
const (
	PollAdaptive PollMode = iota // look again for Options.Spin after traffic, then sleep
	PollBusy                     // always look again: lowest latency, one whole core
	PollSleep                    // sleep at once: least CPU
)

// worker is one locked thread that carries the frames of its ports from reading
// to writing. Everything but the mailbox belongs to that thread.
type worker struct {
	id     int
	poller Poller
	patience
	table    *fdb.Table
	ports    *atomic.Pointer[[]*Port] // the switch's, by slot
	now      *atomic.Uint32           // the switch's tick
	onGone   func(*Port)
	loop     loopGuard
	reporter reporter
	start    time.Time // when the buckets' clock began, for all workers
	ticks    int64     // that clock, where fresh
	fresh    bool      // ticks was read in this burst
	done     chan struct{}
	frames   [][]byte // those being carried: BatchFrames buffers
	queue    []sending
	copies   []byte   // of frames in queue whose devices take no offloads, one behind the other
	tokens   []uint32 // slots that the poller reports
	turns    turns    // ports that may have frames waiting
	resting  []*Port  // ports that are not read for a while (rest.go)
	shaping  shaping  // frames that wait for ports' rates (shaper.go)
	refused  int      // frames of this burst that were dropped at the port they came from
	failing  bool     // frames of this burst were lost when they were read
	tally    tally
	parsed   frame.Parsed // the frame being decided on
	from     *Port        // whose frames are being carried; nil: the switch's own
	observer *observerRef // of this burst

	observerRef *atomic.Pointer[observerRef] // the switch's
	event       Event                        // shown to the observer

	load int // ports that it reads; under the switch's mu

	dormant atomic.Bool // no port is read yet: Options.Held
	mail    atomic.Bool // whether box holds anything
	boxMu   sync.Mutex
	box     []func()
	stopped bool
	_       [cacheLines]byte // before the next worker
}

// clock is the time since the start, in ticks of the buckets. It is read once in a
// burst, and only where something asks for it.
func (w *worker) clock() int64 {
	if !w.fresh {
		w.ticks, w.fresh = int64(time.Since(w.start))*policy.TicksPerNanosecond, true
	}
	return w.ticks
}

func (w *worker) stripe(p *Port) *stripe { return p.stripes[w.id] }

// port returns the port of a slot, or nil.
func (w *worker) port(slot uint32) *Port {
	if ports := *w.ports.Load(); slot < uint32(len(ports)) {
		return ports[slot]
	}
	return nil
}

// portAt returns the port at an entry's place, or nil.
func (w *worker) portAt(v fdb.Value) *Port { return w.port(uint32(v.Place())) }

// begin starts the worker's thread, which makes the poller: only that thread may use it.
func (w *worker) begin(newPoller func() (Poller, error)) error {
	begun := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err := newPoller()
		if err != nil {
			begun <- err
			return
		}
		w.poller, w.frames = p, p.Buffers(BatchFrames, bufferSize)
		begun <- nil
		w.run()
		w.end()
	}()
	return <-begun
}

// end frees the poller. Whoever posts finds that the worker has ended.
func (w *worker) end() {
	w.boxMu.Lock()
	defer w.boxMu.Unlock()
	_ = w.poller.Close() // nothing is lost: no port is read any more
	close(w.done)
}

// run carries frames until it is told to stop.
func (w *worker) run() {
	for !w.stopped {
		if w.mail.Load() {
			w.readMail()
			continue
		}
		timeout, held := time.Duration(0), w.dormant.Load()
		switch {
		case held:
			timeout = -1
		case w.turns.idle():
			timeout = w.wait()
		}
		if len(w.resting) > 0 {
			timeout = w.rouse(timeout)
		}
		if len(w.shaping.queues) > 0 {
			timeout = w.release(timeout)
		}
		n := w.poller.Wait(w.tokens, timeout)
		w.fresh = false // it may have slept
		if n > 0 {
			w.enlist(w.tokens[:n])
		}
		if !held && !w.turns.idle() {
			w.busy()
			w.turn()
		}
	}
}

// lost ends reading a port whose device is gone, and tells the control side.
func (w *worker) lost(p *Port) {
	p.state.Or(stateLost)
	w.unwatch(p)
	go w.onGone(p)
}

// unwatch ends reading p. If it takes turns, it is skipped at its own.
func (w *worker) unwatch(p *Port) {
	if p.detached {
		return
	}
	p.detached = true
	_ = w.poller.Unwatch(p.slot) // a device that is gone may have left already
}

// do runs f in the worker's thread between two bursts, and returns when it has
// run, or at once when the worker has ended. After it, whatever the control side
// published before is what the worker works with. It must not be called by a
// worker.
func (w *worker) do(f func()) {
	ran := make(chan struct{})
	w.post(func() {
		defer close(ran)
		f()
	})
	select {
	case <-ran:
	case <-w.done: // it may have ended without a look into its box
	}
}

// post puts f into the worker's box and wakes it, unless it has ended: its poller
// may not be used any more then.
func (w *worker) post(f func()) {
	w.boxMu.Lock()
	defer w.boxMu.Unlock()
	select {
	case <-w.done:
		return
	default:
	}
	w.box = append(w.box, f)
	w.mail.Store(true)
	w.poller.Wake()
}

func (w *worker) readMail() {
	w.boxMu.Lock()
	box := w.box
	w.box = nil
	w.mail.Store(false)
	w.boxMu.Unlock()
	for _, f := range box {
		f()
	}
}
