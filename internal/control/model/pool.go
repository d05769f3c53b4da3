package model

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vswitch/internal/wellformed"
)

// Pool is the record of a subnet whose addresses are leased by others than ports, such as
// Docker's IPAM. It exists with or without a segment over it.
type Pool struct {
	ID string `json:"id"`
	Subnet
	Leases  []netip.Addr `json:"leases,omitempty"` // without the gateway
	Created time.Time    `json:"created,omitzero"`
}

// Key returns the id.
func (p Pool) Key() string { return p.ID }

// Check says what is wrong with the record alone.
func (p Pool) Check() error {
	switch {
	case !wellformed.ID(p.ID):
		return fmt.Errorf("id %q is not 64 hex digits", wellformed.Clip(p.ID))
	case len(p.Leases) > MaxLeases:
		return fmt.Errorf("%d leases are more than %d", len(p.Leases), MaxLeases)
	}
	if err := checkSubnet(p.Subnet); err != nil {
		return err
	}
	seen := make(map[netip.Addr]bool, len(p.Leases))
	for _, a := range p.Leases {
		if seen[a] || !p.hasRoomFor(a) || a.Zone() != "" {
			return fmt.Errorf("lease %s is there twice, the gateway's or outside subnet %s", a, p.Prefix)
		}
		seen[a] = true
	}
	return nil
}

type putPool struct{ Pool }

// PutPool adds a pool, or replaces the one with its id. It is refused when it would change the
// subnet under a segment, or lease an address that a port is allowed to use.
func PutPool(p Pool) Change {
	p.Created = utc(p.Created)
	return putPool{p}
}

func (c putPool) String() string {
	return fmt.Sprintf("pool %s, id %s", c.Prefix, wellformed.Clip(c.ID))
}

func (c putPool) apply(t *txn) error {
	p := c.Pool
	if err := t.checkPool(p); err != nil {
		return err
	}
	old, _ := t.pools.get(p.ID)
	t.pools.set(p.ID, p)
	if err := t.checkLeases(p, old); err != nil {
		return err
	}
	t.touch(KindPool, p.ID)
	return nil
}

// checkPool says why p cannot be put beside what is there, or instead of the pool with its id.
func (t *txn) checkPool(p Pool) error {
	if err := p.Check(); err != nil {
		return err
	}
	if old, exists := t.pools.get(p.ID); !exists || old.Prefix == p.Prefix {
		return nil
	}
	for _, id := range t.poolSegments.within(p.ID) {
		s, _ := t.segments.get(id)
		return fmt.Errorf("segment %q over it has another subnet than %s", s.Name, p.Prefix)
	}
	return nil
}

type deletePool struct{ id string }

// DeletePool deletes a pool. A segment over it keeps the subnet as its own.
func DeletePool(id string) Change { return deletePool{id} }

func (c deletePool) String() string { return "end of pool " + wellformed.Clip(c.id) }

func (c deletePool) apply(t *txn) error {
	if _, exists := t.pools.get(c.id); !exists {
		return nil
	}
	var over []string
	for _, id := range t.poolSegments.within(c.id) {
		over = append(over, id)
	}
	for _, id := range over {
		s, _ := t.segments.get(id)
		t.forgetSegment(s)
		s.Subnets = slices.Clone(s.Subnets)
		for i := range s.Subnets {
			if s.Subnets[i].PoolID == c.id {
				s.Subnets[i].PoolID = ""
			}
		}
		if err := (putSegment{s}).apply(t); err != nil {
			return err
		}
	}
	t.pools.delete(c.id)
	t.touch(KindPool, c.id)
	return nil
}
