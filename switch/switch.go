package vswitch

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vswitch/frame"
	"vswitch/switch/fdb"
)

// Errors that callers tell apart.
var (
	ErrClosed   = errors.New("the switch is closed")
	ErrTooMany  = errors.New("the switch has no room for more")
	ErrInUse    = errors.New("still in use")
	ErrNoEntry  = errors.New("no such entry in the forwarding table")
	ErrGroupMAC = errors.New("a group address cannot have an entry: give a station's address")
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

	mu       sync.Mutex // the control side: all below and every change of a snapshot
	segments map[uint16]*Segment
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
		poller, err := o.NewPoller()
		if err != nil {
			s.stopWorkers()
			return fmt.Errorf("start worker %d: %w", id, err)
		}
		w := &worker{
			id: id, poller: poller, patience: patience{mode: o.Poll, spin: o.Spin},
			table: s.table, ports: &s.ports, now: &s.now, onGone: o.OnGone,
			loop:     loopGuard{moves: uint32(max(0, o.LoopMoves)), hold: o.LoopHold, onLoop: o.OnLoop},
			reporter: reporter{call: o.OnViolation, active: reports},
			start:    start,
			done:     make(chan struct{}),
			frames:   make([][]byte, BatchFrames),
			queue:    make([]sending, 0, BatchFrames),
			scratch:  make([]byte, bufferSize),
			tokens:   make([]uint32, 256),
		}
		for i := range w.frames {
			w.frames[i] = make([]byte, bufferSize)
		}
		w.dormant.Store(o.Held)
		s.workers = append(s.workers, w)
		go w.run()
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
		w.do(func() { w.stopped = true })
		w.close()
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
		}
	}
}

// SetAgeing sets after how long without a frame from it a learned address is
// forgotten: whole seconds, at least one. It is kept for that long, and for a
// second more at most.
func (s *Switch) SetAgeing(d time.Duration) {
	s.ageing.Store(uint32(min(max(1, d/time.Second), math.MaxInt32)))
}

// AddSegment makes an empty segment.
func (s *Switch) AddSegment(c SegmentConfig) (*Segment, error) {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < MinMTU || c.MTU > MaxMTU {
		return nil, fmt.Errorf("MTU %d is out of range: give %d to %d bytes", c.MTU, MinMTU, MaxMTU)
	}
	var gatewayIP uint32
	if c.Gateway.IsValid() {
		if !c.Gateway.Is4() || c.Gateway.IsUnspecified() {
			return nil, fmt.Errorf("the gateway's address %s: give that of an IPv4 station", c.Gateway)
		}
		gatewayIP = toAddr4(c.Gateway)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for id := uint16(1); id != 0; id++ {
		if s.segments[id] == nil {
			seg := &Segment{id: id, mtu: c.MTU, gatewayIP: gatewayIP, owner: s, flaps: newFlaps()}
			seg.ports.Store(&[]*Port{})
			s.segments[id] = seg
			return seg, nil
		}
	}
	return nil, fmt.Errorf("%w: %d segments", ErrTooMany, len(s.segments))
}

// usable says why nothing can be added to seg: the switch is closed, or the
// segment was removed, and its number may be another's by now.
func (s *Switch) usable(seg *Segment) error {
	if s.closed {
		return ErrClosed
	}
	if s.segments[seg.id] != seg {
		return fmt.Errorf("the segment was %w", errRemoved)
	}
	return nil
}

// RemoveSegment ends a segment that has no port but its responder's. Of one
// that was removed before nothing is left to end.
func (s *Switch) RemoveSegment(seg *Segment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg {
		return nil
	}
	if len(*seg.ports.Load()) > 0 || seg.host.Load() != nil {
		return ErrInUse
	}
	if gw := seg.gateway.Swap(nil); gw != nil {
		s.forgetPort(gw)
	}
	delete(s.segments, seg.id)
	s.table.Remove(func(key uint64, _ fdb.Value) bool { return fdb.KeySegment(key) == seg.id })
	return nil
}

// AddResponder gives a segment its responder, as one more port that owns mac.
// A segment has at most one.
func (s *Switch) AddResponder(seg *Segment, mac frame.MAC, r Responder) (*Port, error) {
	if !mac.IsUnicast() {
		return nil, ErrGroupMAC
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(seg); err != nil {
		return nil, err
	}
	if seg.gateway.Load() != nil {
		return nil, ErrInUse
	}
	p := &Port{name: "gateway", segment: seg, responder: r, maxFrame: seg.maxFrame(), mac: mac.Uint64()}
	p.adopt(&guard{macLimit: noLimit})
	if err := s.placePort(p); err != nil {
		return nil, err
	}
	if err := s.table.SetStatic(fdb.Key(mac.Uint64(), seg.id), fdb.Place(p.slot)); err != nil {
		s.forgetPort(p)
		return nil, err
	}
	seg.gateway.Store(p)
	s.table.Bump() // for routes of who has used its address up to now
	return p, nil
}

// AddPort joins a device to a segment; frames may flow before it returns, under
// the policy that c gives.
func (s *Switch) AddPort(seg *Segment, dev Device, c PortConfig) (*Port, error) {
	return s.addPort(seg, dev, c, nil)
}

// addPort is AddPort, and AddHostPort with its filter.
func (s *Switch) addPort(seg *Segment, dev Device, c PortConfig, f HostFilter) (*Port, error) {
	g, err := newGuard(c.Policy)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(seg); err != nil {
		return nil, err
	}
	if f != nil {
		if err := seg.takesHost(); err != nil {
			return nil, err
		}
	}
	p := &Port{name: c.Name, segment: seg, device: dev, filter: f, worker: s.leastLoaded(), plain: c.Plain, maxFrame: seg.maxFrame(), batch: 1}
	p.adopt(g)
	if err := s.placePort(p); err != nil {
		return nil, err
	}
	seg.publish(p)
	p.worker.do(func() {
		err = p.worker.poller.Add(dev, p.slot)
		p.detached = err != nil
	})
	if err != nil {
		s.withdraw(p)
		return nil, fmt.Errorf("watch the port's device: %w", err)
	}
	return p, nil
}

// RemovePort takes a port out. When it returns, no worker uses the port's device
// any more, and no entry of the table names the port. A port that was removed
// before, or whose switch is closed, is left alone.
func (s *Switch) RemovePort(p *Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.holds(p) {
		return
	}
	if p.responder != nil {
		p.segment.gateway.Store(nil)
		s.forgetPort(p)
		return
	}
	p.worker.do(func() { p.worker.detach(p) })
	s.withdraw(p)
}

// holds says whether p has not been removed: its slot may be another's by now.
func (s *Switch) holds(p *Port) bool {
	ports := *s.ports.Load()
	return p.slot < uint32(len(ports)) && ports[p.slot] == p
}

// withdraw takes a port that is not read (any more) out of all snapshots and
// waits until no worker holds an old one.
func (s *Switch) withdraw(p *Port) {
	if p.filter != nil {
		p.segment.host.Store(nil)
	} else {
		ports := slices.DeleteFunc(slices.Clone(*p.segment.ports.Load()), func(q *Port) bool { return q == p })
		p.segment.ports.Store(&ports)
	}
	s.forgetPort(p)
}

// publish makes p one that frames go to.
func (s *Segment) publish(p *Port) {
	if p.filter != nil {
		s.host.Store(p)
		return
	}
	ports := append(slices.Clone(*s.ports.Load()), p)
	s.ports.Store(&ports)
}

// placePort gives p the lowest free slot.
func (s *Switch) placePort(p *Port) error {
	ports := slices.Clone(*s.ports.Load())
	slot := slices.Index(ports[1:], nil) + 1
	if slot == 0 {
		if len(ports) == fdb.MaxSlot+1 {
			return fmt.Errorf("%w: %d ports", ErrTooMany, len(ports)-1)
		}
		slot = len(ports)
		ports = append(ports, nil)
	}
	p.slot = uint32(slot)
	p.stripes = make([]stripe, len(s.workers))
	ports[slot] = p
	s.ports.Store(&ports)
	s.table.Use(fdb.Place(p.slot))
	return nil
}

// forgetPort ends the entries of p and frees its slot. Nothing reads p any more,
// so no new entry can come; when it returns, no worker holds p.
func (s *Switch) forgetPort(p *Port) {
	s.table.Remove(func(_ uint64, v fdb.Value) bool { return v.Place() == fdb.Place(p.slot) })
	if r := p.segment.rules.Load(); r != nil {
		p.segment.rules.Store(r.without(p.slot))
	}
	ports := slices.Clone(*s.ports.Load())
	ports[p.slot] = nil
	s.ports.Store(&ports)
	s.barrier()
}

// barrier returns when every worker has passed between two bursts, or ended.
func (s *Switch) barrier() {
	for _, w := range s.workers {
		w.do(func() {})
	}
}

// leastLoaded is the worker that reads the fewest ports.
func (s *Switch) leastLoaded() *worker {
	load := make([]int, len(s.workers))
	for _, p := range *s.ports.Load() {
		if p != nil && p.worker != nil {
			load[p.worker.id]++
		}
	}
	return s.workers[slices.Index(load, slices.Min(load))]
}

// Announce sends a frame from p's station to the other ports of its segment and
// learns its source address, as if p's device had sent it; it is not counted
// among the frames read.
func (s *Switch) Announce(p *Port, eth []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || p.worker == nil || !s.holds(p) || len(eth) < frame.EthernetHeaderLen {
		return
	}
	w, src := p.worker, frame.Ethernet(eth).Src()
	w.do(func() {
		buf := w.frames[0][:bufferSize]
		clear(buf[:frame.VNetHeaderLen])
		b := buf[:frame.VNetHeaderLen+copy(buf[frame.VNetHeaderLen:], eth)]
		if src.IsUnicast() {
			w.table.Learn(fdb.Key(src.Uint64(), p.segment.id), fdb.Place(p.slot), w.now.Load(), fdb.NoLimit)
		}
		for _, out := range *p.segment.ports.Load() {
			if apart := p.isolated() && out.isolated(); out != p && !apart {
				w.transmit(out, b)
			}
		}
		w.tellHost(p, b)
		w.send()
		w.flush(p)
	})
}
