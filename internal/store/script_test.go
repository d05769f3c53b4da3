package store

import (
	"fmt"
	"slices"
	"strings"

	"vswitch/internal/control/model"
)

// script makes a sequence of changes that is always the same, and the state that
// they lead to. No state comes twice.
type script struct {
	state model.Records
	count int
}

// operation is a change of the state.
type operation struct {
	name    string
	changes []model.Change
}

func (o operation) apply(db *DB) error { return db.Apply(o.changes...) }

func (s *script) next() operation {
	n := s.count
	s.count++
	switch {
	case n < 3:
		segment := aSegment(n)
		s.state.Segments = append(s.state.Segments, segment)
		return operation{"put " + segment.Name, []model.Change{model.PutSegment(segment)}}
	case n%7 == 6 && len(s.state.Ports) > 3:
		return s.replacePort(n)
	case n%5 == 4 && len(s.state.Ports) > 2:
		i := n * 7 % len(s.state.Ports)
		p := s.state.Ports[i]
		s.deletePort(i)
		return operation{"delete " + p.Name, []model.Change{model.DeletePort(p.ID)}}
	case n%5 == 3 && len(s.state.Ports) > 0:
		p := s.state.Ports[n*11%len(s.state.Ports)]
		e := model.Entry{SegmentID: p.SegmentID, MAC: mac(5000 + n), PortID: p.ID}
		s.putEntry(e)
		return operation{"put entry " + e.MAC.String(), []model.Change{model.PutEntry(e)}}
	case n%5 == 2 && len(s.state.Ports) > 0:
		i := n * 13 % len(s.state.Ports)
		s.state.Ports = slices.Clone(s.state.Ports)
		s.state.Ports[i].Labels = map[string]string{"note": strings.Repeat("x", n*29%1500)}
		p := s.state.Ports[i]
		return operation{fmt.Sprintf("label %s", p.Name), []model.Change{model.PutPort(p)}}
	}
	p := aPort(n, n%3)
	s.state.Ports = append(slices.Clone(s.state.Ports), p)
	return operation{"put " + p.Name, []model.Change{model.PutPort(p)}}
}

// replacePort is a batch: a port goes, and another one gets its name, its address and an entry.
func (s *script) replacePort(n int) operation {
	i := n * 17 % len(s.state.Ports)
	old, p := s.state.Ports[i], s.state.Ports[i]
	p.ID, p.Labels = id(n+1000), nil
	e := model.Entry{SegmentID: p.SegmentID, MAC: mac(5000 + n), PortID: p.ID}
	s.deletePort(i)
	s.state.Ports = append(s.state.Ports, p)
	s.putEntry(e)
	return operation{"replace " + p.Name, []model.Change{model.DeletePort(old.ID), model.PutPort(p), model.PutEntry(e)}}
}

func (s *script) deletePort(i int) {
	gone := s.state.Ports[i].ID
	s.state.Ports = slices.Delete(slices.Clone(s.state.Ports), i, i+1)
	s.state.Entries = slices.DeleteFunc(slices.Clone(s.state.Entries), func(e model.Entry) bool { return e.PortID == gone })
}

func (s *script) putEntry(e model.Entry) {
	s.state.Entries = append(slices.Clone(s.state.Entries), e)
	slices.SortFunc(s.state.Entries, func(a, b model.Entry) int {
		return strings.Compare(a.Key(), b.Key())
	})
}
