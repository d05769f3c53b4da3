package store

import (
	"fmt"
	"net/netip"
	"time"

	"vswitch/internal/wellformed"
)

// Pool is the record of a subnet whose addresses are leased by others than ports,
// such as Docker's IPAM. It exists with or without a segment over it.
type Pool struct {
	ID      string       `json:"id"`
	Subnet  netip.Prefix `json:"subnet"`
	Gateway netip.Addr   `json:"gateway"`
	Range   netip.Prefix `json:"range"`            // the whole subnet if it was not narrowed
	Leases  []netip.Addr `json:"leases,omitempty"` // without the gateway
	Created time.Time    `json:"created,omitzero"`
}

// maxLeases bounds the leases of a pool, so that they fit into a record.
const maxLeases = 50_000

// addPools is the step to schema 2, which has pools.
func addPools(w *writer) error {
	// It may be left from a migration that was taken back.
	_, err := w.tx.CreateBucketIfNotExists([]byte(poolsBucket))
	return err
}

// check says what is wrong with the record alone.
func (p Pool) check() error {
	switch {
	case !wellformed.ID(p.ID):
		return fmt.Errorf("id %q is not 64 hex digits", clip(p.ID))
	case len(p.Leases) > maxLeases:
		return fmt.Errorf("%d leases are more than %d", len(p.Leases), maxLeases)
	}
	if err := checkSubnet(p.Subnet, p.Gateway, p.Range); err != nil {
		return err
	}
	seen := make(map[netip.Addr]bool, len(p.Leases))
	for _, a := range p.Leases {
		if seen[a] || !inSubnet(a, p.Subnet, p.Gateway) {
			return fmt.Errorf("lease %s is there twice, the gateway's or outside subnet %s", a, p.Subnet)
		}
		seen[a] = true
	}
	return nil
}

// checkPool says why p cannot be put beside what is there, or instead of the pool
// with its id.
func (x *index) checkPool(p Pool) error {
	if err := p.check(); err != nil {
		return err
	}
	for _, s := range x.segments {
		if s.pool == p.ID && s.subnet != p.Subnet {
			return fmt.Errorf("segment %q over it has subnet %s, not %s", s.name, s.subnet, p.Subnet)
		}
	}
	return nil
}

// checkPoolOf says why a segment cannot stand on its pool.
func (x *index) checkPoolOf(s Segment) error {
	if subnet, exists := x.pools[s.PoolID]; s.PoolID != "" && (!exists || subnet != s.Subnet) {
		return fmt.Errorf("pool %q of subnet %s does not exist", clip(s.PoolID), s.Subnet)
	}
	return nil
}

// PutPool adds a pool, or replaces the one with its id. It is refused when it would
// change the subnet under a segment.
func PutPool(p Pool) Change {
	p.Created = utc(p.Created)
	return Change{func(x *index) (write, error) {
		if err := x.checkPool(p); err != nil {
			return nil, fmt.Errorf("put pool %s: %w", p.Subnet, err)
		}
		x.putPool(p)
		return put(poolsBucket, p), nil
	}}
}

// DeletePool deletes a pool. A segment over it keeps the subnet as its own.
func DeletePool(id string) Change {
	return Change{func(x *index) (write, error) {
		if _, exists := x.pools[id]; !exists {
			return nil, nil
		}
		over := x.leavePool(id)
		unset(x, x.pools, id)
		return func(w *writer) error {
			for _, segmentID := range over {
				if err := w.leavePool(segmentID); err != nil {
					return err
				}
			}
			return w.delete(poolsBucket, id)
		}, nil
	}}
}

func (x *index) putPool(p Pool) { set(x, x.pools, p.ID, p.Subnet) }

// leavePool takes a pool from the segments over it and returns their ids.
func (x *index) leavePool(id string) (segments []string) {
	for segmentID, s := range x.segments {
		if s.pool == id {
			s.pool = ""
			set(x, x.segments, segmentID, s)
			segments = append(segments, segmentID)
		}
	}
	return segments
}

// leavePool takes a segment's pool out of its record.
func (w *writer) leavePool(segmentID string) error {
	text, err := unseal(segmentsBucket, segmentID, w.tx.Bucket([]byte(segmentsBucket)).Get([]byte(segmentID)))
	if err != nil {
		return err
	}
	s, err := decode[Segment](segmentsBucket, segmentID, text)
	if err != nil {
		return err
	}
	s.PoolID = ""
	return w.put(segmentsBucket, segmentID, s)
}
