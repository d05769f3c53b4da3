package model

import (
	"iter"
	"net/netip"
)

// PortAt finds the port of a segment that has an address.
func (s *State) PortAt(segmentID string, a netip.Addr) (Port, bool) {
	return via(s.addrs, addrKey(segmentID, a), s.ports)
}

// SegmentsOver iterates over the segments that have a subnet of a pool.
func (s *State) SegmentsOver(poolID string) iter.Seq[Segment] {
	return each(s.poolSegments.within(poolID), s.segments)
}
