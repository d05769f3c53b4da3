package view

import (
	"cmp"
	"strings"

	"vswitch/api"
)

// Snapshot is the switch at one moment.
type Snapshot struct {
	Pools    []*Pool
	Segments []*Segment
	Ports    []*Port

	Way Way
}

// named is what [Find] looks through.
type named interface {
	id() string
	title() string
}

// Find returns what ref means in a list: a whole id, a name, or the prefix of one id alone. kind
// and list name what is looked for, and the command that lists it, in the error.
func Find[T named](list []T, ref, kind, command string) (found T, err error) {
	matches := 0
	for _, v := range list {
		if v.id() == ref || v.title() == ref {
			return v, nil
		}
		if ref != "" && strings.HasPrefix(v.id(), ref) {
			found = v
			matches++
		}
	}
	var none T
	switch matches {
	case 0:
		return none, api.NotFoundf("%s %q does not exist: see vsctl %s", kind, ref, command)
	case 1:
		return found, nil
	}
	return none, api.Conflictf("%s id %q is ambiguous, %d ids begin with it: give more digits or the name",
		kind, ref, matches)
}

// Segment finds a segment; the empty ref is the default one.
func (s *Snapshot) Segment(ref string) (*Segment, error) {
	return Find(s.Segments, cmp.Or(ref, api.DefaultSegment), "segment", "list-segments")
}

// Port finds a port.
func (s *Snapshot) Port(ref string) (*Port, error) {
	return Find(s.Ports, ref, "port", "list-ports")
}

// segmentsNamed returns the segment that ref names, or all when ref is empty.
func (s *Snapshot) segmentsNamed(ref string) ([]*Segment, error) {
	if ref == "" {
		return s.Segments, nil
	}
	found, err := s.Segment(ref)
	return []*Segment{found}, err
}

// portsNamed returns the ports of the segment that ref names, or all when ref is empty.
func (s *Snapshot) portsNamed(ref string) ([]*Port, error) {
	if ref == "" {
		return s.Ports, nil
	}
	found, err := s.Segment(ref)
	if err != nil {
		return nil, err
	}
	return found.Ports, nil
}
