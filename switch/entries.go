package vswitch

import (
	"fmt"

	"vswitch/internal/frame"
	"vswitch/switch/fdb"
)

// Entry is one address of the forwarding table.
type Entry struct {
	MAC  frame.MAC
	Port *Port
	Kind fdb.Kind
	Age  uint32 // seconds since a frame last came from it; 0 but for a learned entry
}

// Entries lists the forwarding table of a segment, sorted by address.
func (s *Switch) Entries(seg *Segment) []Entry {
	s.mu.Lock() // a slot must not pass to another port meanwhile
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg {
		return nil
	}
	ports, now := *s.ports.Load(), s.now.Load()
	var list []Entry
	for _, e := range s.table.Entries(seg.id) {
		if at := int(e.Place()); at < len(ports) && ports[at] != nil {
			list = append(list, Entry{
				MAC: frame.MACFromUint64(e.MAC), Port: ports[at], Kind: e.Kind(), Age: e.Age(now),
			})
		}
	}
	return list
}

// Evicted returns how many learned addresses had to give way to others because the table was full.
func (s *Switch) Evicted() uint64 { return s.table.Evicted() }

// AddEntry has mac be at p until it is removed, whatever frames come from elsewhere.
// ErrGroupMAC and ErrInUse (it is the own address of another port) say why not. p's own
// address is there anyway.
func (s *Switch) AddEntry(p *Port, mac frame.MAC) error {
	if !mac.IsUnicast() {
		return ErrGroupMAC
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(p.segment); err != nil {
		return err
	}
	if !s.holds(p) {
		return fmt.Errorf("the port was %w", errRemoved)
	}
	if p.filter != nil {
		return ErrInUse // the gateway's address is there, and it alone
	}
	if err := s.table.SetStatic(p.key(mac.Uint64()), p.place()); err != nil {
		return ownError(mac.Uint64(), err)
	}
	return nil
}

// RemoveEntry ends the entry of mac, static or learned. ErrNoEntry says that there is none,
// ErrInUse that it is the own one of a port, with which it ends.
func (s *Switch) RemoveEntry(seg *Segment, mac frame.MAC) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg {
		return ErrNoEntry
	}
	key := fdb.Key(mac.Uint64(), seg.id)
	switch v := s.table.Lookup(key); {
	case v.Kind() == fdb.Own:
		return ErrInUse
	case v.Place() == fdb.Nowhere: // of a port that was removed, which nobody lists
		return ErrNoEntry
	}
	if s.table.Remove(func(k uint64, _ fdb.Value) bool { return k == key }) == 0 {
		return ErrNoEntry
	}
	return nil
}

// Flush ends the learned entries of a segment, those of one port if p is not
// nil, and returns how many. The addresses of ports that are gone, which nobody lists, stay.
func (s *Switch) Flush(seg *Segment, p *Port) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg || p != nil && !s.holds(p) {
		return 0
	}
	return s.table.Remove(func(k uint64, v fdb.Value) bool {
		return fdb.KeySegment(k) == seg.id && v.Kind() == fdb.Learned &&
			v.Place() != fdb.Nowhere && (p == nil || v.Place() == p.place())
	})
}
