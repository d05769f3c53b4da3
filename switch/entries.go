package vswitch

import (
	"fmt"

	"vswitch/frame"
)

// Entries lists the forwarding table of a segment, sorted by address.
func (s *Switch) Entries(seg *Segment) []Entry {
	s.mu.Lock() // a slot must not pass to another port meanwhile
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg {
		return nil
	}
	ports := *s.ports.Load()
	return s.table.entries(seg.id, s.now.Load(), func(slot uint32) *Port {
		if slot < uint32(len(ports)) {
			return ports[slot]
		}
		return nil
	})
}

// AddEntry makes mac stand at p until it is removed, whatever frames come from
// elsewhere. ErrGroupMAC and ErrInUse (the gateway's address) say why not.
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
		return ErrInUse // what stands there is the gateway's address, and it alone
	}
	key := entryKey(mac.Uint64(), p.segment.id)
	if gw := p.segment.gateway.Load(); gw != nil && s.table.lookup(key) == gw.slot {
		return ErrInUse
	}
	return s.table.setStatic(key, p.slot, s.now.Load())
}

// RemoveEntry ends the entry of mac, static or learned, unless it is the
// gateway's. ErrNoEntry says that there is none.
func (s *Switch) RemoveEntry(seg *Segment, mac frame.MAC) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg {
		return ErrNoEntry
	}
	key := entryKey(mac.Uint64(), seg.id)
	if gw := seg.gateway.Load(); gw != nil && s.table.lookup(key) == gw.slot {
		return ErrInUse
	}
	if s.table.remove(func(k, _ uint64) bool { return k == key }) == 0 {
		return ErrNoEntry
	}
	return nil
}

// Flush ends the learned entries of a segment, those of one port if p is not
// nil, and returns how many.
func (s *Switch) Flush(seg *Segment, p *Port) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.segments[seg.id] != seg || p != nil && !s.holds(p) {
		return 0
	}
	return s.table.remove(func(k, v uint64) bool {
		return uint16(k) == seg.id && !valueStatic(v) && (p == nil || valuePort(v) == p.slot)
	})
}
