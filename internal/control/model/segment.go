package model

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"vswitch/internal/wellformed"
)

// Segment is the record of a segment.
type Segment struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Subnets  []SegmentSubnet   `json:"subnets"` // at most one of each family
	Internal bool              `json:"internal,omitempty"`
	Uplink   string            `json:"uplink,omitempty"` // its kind; empty: the default
	MTU      int               `json:"mtu"`              // bytes
	Labels   map[string]string `json:"labels,omitempty"`
	Created  time.Time         `json:"created,omitzero"`
	Rules    []Rule            `json:"rules,omitempty"` // the first that matches decides

	Offload string `json:"offload,omitempty"` // of its ports: on, off; empty or auto: the daemon's

	// AuxAddresses are addresses of the subnets that are given to nobody, by their names.
	AuxAddresses map[string]netip.Addr `json:"aux_addresses,omitempty"`
}

// SegmentSubnet is a subnet of a segment, its own or that of a pool.
type SegmentSubnet struct {
	Subnet
	PoolID string `json:"pool_id,omitempty"` // of the pool that the subnet is; empty: its own
}

// IPv4 returns the segment's IPv4 subnet; the zero value if it has none.
func (s Segment) IPv4() SegmentSubnet {
	for _, subnet := range s.Subnets {
		if subnet.Prefix.Addr().Is4() {
			return subnet
		}
	}
	return SegmentSubnet{}
}

// Prefixes returns the prefixes of the segment's subnets.
func (s Segment) Prefixes() []netip.Prefix {
	prefixes := make([]netip.Prefix, len(s.Subnets))
	for i, subnet := range s.Subnets {
		prefixes[i] = subnet.Prefix
	}
	return prefixes
}

// SubnetOf returns the subnet that an address is in.
func (s Segment) SubnetOf(a netip.Addr) (SegmentSubnet, bool) {
	for _, subnet := range s.Subnets {
		if subnet.Prefix.Contains(a) {
			return subnet, true
		}
	}
	return SegmentSubnet{}, false
}

// Key returns the id.
func (s Segment) Key() string { return s.ID }

// Check says what is wrong with the record alone.
func (s Segment) Check() error {
	switch {
	case !wellformed.ID(s.ID):
		return fmt.Errorf("id %q is not 64 hex digits", wellformed.Clip(s.ID))
	case !validName(s.Name):
		return fmt.Errorf("name %q is not 1 to %d letters, digits, '_', '.' or '-' behind a letter or digit", wellformed.Clip(s.Name), wellformed.MaxName)
	case s.MTU < minMTU || s.MTU > maxMTU:
		return fmt.Errorf("mtu %d is not %d to %d bytes", s.MTU, minMTU, maxMTU)
	case len(s.Uplink) > wellformed.MaxName || !wellformed.Printable(s.Uplink):
		return fmt.Errorf("uplink %q is not the name of a kind", wellformed.Clip(s.Uplink))
	}
	if err := checkOffload(s.Offload); err != nil {
		return err
	}
	if err := s.checkSubnets(); err != nil {
		return err
	}
	if err := s.checkAux(); err != nil {
		return err
	}
	if err := checkRules(s.Rules); err != nil {
		return err
	}
	return checkLabels(s.Labels)
}

func (s Segment) checkSubnets() error {
	if len(s.Subnets) == 0 {
		return fmt.Errorf("there is no subnet: want one of a family at least")
	}
	for i, subnet := range s.Subnets {
		if err := checkSubnet(subnet.Subnet); err != nil {
			return err
		}
		for _, other := range s.Subnets[:i] {
			if other.Prefix.Addr().Is4() == subnet.Prefix.Addr().Is4() {
				return fmt.Errorf("subnets %s and %s are of one family", other.Prefix, subnet.Prefix)
			}
		}
	}
	return nil
}

// hasRoomFor reports whether a port of the segment can have address a.
func (s Segment) hasRoomFor(a netip.Addr) bool {
	subnet, found := s.SubnetOf(a)
	return found && subnet.hasRoomFor(a)
}

type putSegment struct{ Segment }

// PutSegment adds a segment, or replaces the one with its id. It is refused with another
// segment's name, when its ports do not fit into it, and over a pool of another subnet.
func PutSegment(s Segment) Change {
	s.Created = utc(s.Created)
	return putSegment{s}
}

func (c putSegment) String() string {
	return fmt.Sprintf("segment %q, id %s", wellformed.Clip(c.Name), wellformed.Clip(c.ID))
}

func (c putSegment) apply(t *txn) error {
	s := c.Segment
	if err := t.checkSegment(s); err != nil {
		return err
	}
	if old, exists := t.segments.get(s.ID); exists {
		t.forgetSegment(old)
	}
	t.segments.set(s.ID, s)
	t.segmentNames.set(s.Name, s.ID)
	for _, subnet := range s.Subnets {
		if subnet.PoolID != "" {
			t.poolSegments.set(subnet.PoolID+s.ID, s.ID)
		}
	}
	t.touch(KindSegment, s.ID)
	return nil
}

// checkSegment says why s cannot be put beside what is there, or instead of the segment with
// its id.
func (t *txn) checkSegment(s Segment) error {
	if err := s.Check(); err != nil {
		return err
	}
	if id, taken := t.segmentNames.get(s.Name); taken && id != s.ID {
		return fmt.Errorf("name %q is that of segment %s as well", s.Name, id)
	}
	for _, subnet := range s.Subnets {
		p, exists := t.pools.get(subnet.PoolID)
		if subnet.PoolID != "" && (!exists || p.Prefix != subnet.Prefix) {
			return fmt.Errorf("pool %q of subnet %s does not exist", wellformed.Clip(subnet.PoolID), subnet.Prefix)
		}
	}
	old, exists := t.segments.get(s.ID)
	if !exists || slices.Equal(old.Subnets, s.Subnets) && maps.Equal(old.AuxAddresses, s.AuxAddresses) {
		return nil
	}
	return t.checkPortsOf(s, old)
}

func (t *txn) forgetSegment(s Segment) {
	t.segmentNames.delete(s.Name)
	for _, subnet := range s.Subnets {
		t.poolSegments.delete(subnet.PoolID + s.ID)
	}
}

type deleteSegment struct{ id string }

// DeleteSegment is refused while the segment has ports.
func DeleteSegment(id string) Change { return deleteSegment{id} }

func (c deleteSegment) String() string { return "end of segment " + wellformed.Clip(c.id) }

func (c deleteSegment) apply(t *txn) error {
	s, exists := t.segments.get(c.id)
	if !exists {
		return nil
	}
	for _, id := range t.members.within(c.id) {
		p, _ := t.ports.get(id)
		return fmt.Errorf("segment %q still has port %q: delete its ports first", s.Name, p.Name)
	}
	// It has no static entries either: each leads to a port of its own segment.
	t.forgetSegment(s)
	t.segments.delete(c.id)
	t.touch(KindSegment, c.id)
	return nil
}
