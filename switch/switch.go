package vswitch

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vswitch/switch/fdb"
)

// Errors that callers tell apart.
var (
	ErrClosed   = errors.New("the switch is closed")
	ErrTooMany  = errors.New("the switch has no room for more")
	ErrInUse    = errors.New("still in use")
	ErrNoEntry  = errors.New("no such entry in the forwarding table")
	ErrGroupMAC = errors.New("a group address cannot have an entry: give a host's address")
)

// Switch joins devices into segments. Its methods are safe for concurrent use.
type Switch struct {
	table   *fdb.Table
	workers []*worker
	ageing  atomic.Uint32           // seconds
	now     atomic.Uint32           // seconds since the start: the table's coarse clock
	ports   atomic.Pointer[[]*Port] // by slot; slot 0 and free ones are nil
	stop    chan struct{}
	stopped sync.WaitGroup

	observer atomic.Pointer[observerRef] // sees every verdict; nil: nobody does

	mu       sync.Mutex // the control side: all below and every change of a snapshot
	segments map[uint16]*Segment
	lowest   int // no slot below it is free; at least 1
	closed   bool
}

// errRemoved says that a segment or a port is no longer part of the switch.
var errRemoved = errors.New("already removed from the switch")

// New starts a switch with no segment.
func New(o Options) (*Switch, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Switch{
		stop:     make(chan struct{}),
		segments: make(map[uint16]*Segment),
		lowest:   1,
	}
	s.table = fdb.New(o.Capacity, s.barrier)
	s.SetAgeing(o.Ageing)
	s.ports.Store(&[]*Port{nil})
	if err := s.startWorkers(o); err != nil {
		return nil, err
	}
	s.stopped.Go(s.maintain)
	return s, nil
}

func (s *Switch) startWorkers(o Options) error {
	start, reports := time.Now(), new(atomic.Int32)
	for id := range o.Workers {
		w := &worker{
			id: id, observerRef: &s.observer, patience: patience{mode: o.Poll, spin: o.Spin},
			table: s.table, ports: &s.ports, now: &s.now, onGone: o.OnGone,
			loop:     loopGuard{moves: uint32(max(0, o.LoopMoves)), hold: o.LoopHold, onLoop: o.OnLoop},
			reporter: reporter{call: o.OnViolation, active: reports},
			start:    start,
			done:     make(chan struct{}),
			queue:    make([]sending, 0, BatchFrames),
			copies:   make([]byte, 0, bufferSize),
			tokens:   make([]uint32, 256),
		}
		w.dormant.Store(o.Held)
		if err := w.begin(o.NewPoller); err != nil {
			s.stopWorkers()
			return fmt.Errorf("start worker %d: %w", id, err)
		}
		s.workers = append(s.workers, w)
	}
	return nil
}

// Release has a switch that was made with [Options].Held read its ports.
func (s *Switch) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		w.dormant.Store(false)
		w.post(func() {}) // it may be asleep
	}
}

func (s *Switch) stopWorkers() {
	for _, w := range s.workers {
		w.do(func() {
			w.abandonAll()
			w.stopped = true
		})
		<-w.done
	}
}

// Close stops the workers and waits for them. Devices stay open.
func (s *Switch) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.stop)
	s.stopped.Wait()
	s.stopWorkers()
}

// maintain keeps the table's clock, ends what is old, and rebuilds the table
// when it is asked to. Close ends it.
func (s *Switch) maintain() {
	start := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.table.Pressure():
			s.table.Rebuild()
		case <-ticker.C:
			now := uint32(time.Since(start) / time.Second)
			s.now.Store(now)
			s.table.Bump()
			limit := s.ageing.Load()
			s.table.Remove(func(_ uint64, v fdb.Value) bool { return v.Age(now) > limit })
			s.restoreOwn()
		}
	}
}

// SetAgeing sets after how long without a frame from it a learned address is
// forgotten: whole seconds, at least one. It is kept for that long, and for a
// second more at most.
func (s *Switch) SetAgeing(d time.Duration) {
	s.ageing.Store(uint32(min(max(1, d/time.Second), math.MaxInt32)))
}

// placePort gives p the lowest free slot. It counts in these words, or in its own for nil.
func (s *Switch) placePort(p *Port, counters []atomic.Uint64) error {
	want := len(s.workers) * CounterWords
	if counters == nil {
		counters = make([]atomic.Uint64, want)
	}
	if len(counters) != want {
		return fmt.Errorf("port %q with %d words of counters: give %d, or none",
			p.name, len(counters), want)
	}
	p.stripes, p.egress = stripesOf(counters), make([]*queue, len(s.workers))
	ports := *s.ports.Load()
	slot := s.lowest
	for slot < len(ports) && ports[slot] != nil {
		slot++
	}
	if slot > fdb.MaxSlot {
		return fmt.Errorf("%w: %d ports", ErrTooMany, slot-1)
	}
	if slot == len(ports) {
		ports = append(ports, p) // readers have the shorter one
	} else {
		ports = slices.Clone(ports)
		ports[slot] = p
	}
	p.slot, s.lowest = uint32(slot), slot+1
	if p.worker != nil {
		p.worker.load++
	}
	s.ports.Store(&ports)
	s.table.Use(p.place())
	return nil
}

// barrier returns when every worker has passed between two bursts, or ended.
func (s *Switch) barrier() {
	for _, w := range s.workers {
		w.do(func() {})
	}
}

// leastLoaded is the worker that reads the fewest ports.
func (s *Switch) leastLoaded() *worker {
	return slices.MinFunc(s.workers, func(a, b *worker) int { return cmp.Compare(a.load, b.load) })
}
