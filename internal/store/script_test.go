package store

import (
	"fmt"
	"slices"
	"strings"
)

// script makes a sequence of changes that is always the same, and the state that
// they lead to. No state comes twice.
type script struct {
	state State
	count int
}

// operation is a change of the state.
type operation struct {
	name  string
	apply func(*DB) error
}

func (s *script) next() operation {
	n := s.count
	s.count++
	switch {
	case n < 3:
		segment := aSegment(n)
		s.state.Segments = append(s.state.Segments, segment)
		return operation{"put " + segment.Name, func(db *DB) error { return db.PutSegment(segment) }}
	case n%5 == 4 && len(s.state.Ports) > 2:
		i := n * 7 % len(s.state.Ports)
		p := s.state.Ports[i]
		s.state.Ports = slices.Delete(slices.Clone(s.state.Ports), i, i+1)
		s.state.Entries = slices.DeleteFunc(slices.Clone(s.state.Entries), func(e Entry) bool { return e.PortID == p.ID })
		return operation{"delete " + p.Name, func(db *DB) error { return db.DeletePort(p.ID) }}
	case n%5 == 3 && len(s.state.Ports) > 0:
		p := s.state.Ports[n*11%len(s.state.Ports)]
		e := Entry{SegmentID: p.SegmentID, MAC: mac(5000 + n), PortID: p.ID}
		s.state.Entries = append(slices.Clone(s.state.Entries), e)
		slices.SortFunc(s.state.Entries, func(a, b Entry) int {
			return strings.Compare(entryKey(a.SegmentID, a.MAC), entryKey(b.SegmentID, b.MAC))
		})
		return operation{"put entry " + e.MAC, func(db *DB) error { return db.PutEntry(e) }}
	case n%5 == 2 && len(s.state.Ports) > 0:
		i := n * 13 % len(s.state.Ports)
		s.state.Ports = slices.Clone(s.state.Ports)
		s.state.Ports[i].Labels = map[string]string{"note": strings.Repeat("x", n*29%1500)}
		p := s.state.Ports[i]
		return operation{fmt.Sprintf("label %s", p.Name), func(db *DB) error { return db.PutPort(p) }}
	}
	p := aPort(n, n%3)
	s.state.Ports = append(slices.Clone(s.state.Ports), p)
	return operation{"put " + p.Name, func(db *DB) error { return db.PutPort(p) }}
}
