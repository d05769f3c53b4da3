package api

import (
	"context"
	"net/netip"
)

// Pools are subnets whose addresses are leased by the caller, such as Docker's
// IPAM, and not by adding ports. They come from the same addresses as segments'
// subnets and overlap none; with a segment over one, its ports and the caller's
// leases share it. [Backend]'s rules hold: concurrent calls, all or nothing, errors
// of type [Error], and what has been answered is on disk.
type Pools interface {
	// AddPool reserves a subnet; Conflict when it overlaps another, Exhausted when no
	// block is free.
	AddPool(ctx context.Context, spec PoolSpec) (Pool, error)
	// Pools lists all pools.
	Pools(ctx context.Context) ([]Pool, error)
	// DeletePool gives a subnet back with all its leases. A segment over it keeps the
	// subnet, and its ports their addresses.
	DeletePool(ctx context.Context, id string) (Pool, error)
	// Lease takes an address, the next free one when want is the zero Addr; Conflict
	// when it is taken, Exhausted when none is free.
	Lease(ctx context.Context, id string, want netip.Addr) (netip.Prefix, error)
	// LeaseGateway makes want the gateway's address; the zero Addr leaves it as it is. Of a
	// pool of one address, which has no gateway, it is that, which can be leased all the same.
	LeaseGateway(ctx context.Context, id string, want netip.Addr) (netip.Prefix, error)
	// Release gives an address back; NotFound when it is not leased.
	Release(ctx context.Context, id string, addr netip.Addr) error
	// AddSegmentOver is [Backend.AddSegment] with a pool's subnet.
	AddSegmentOver(ctx context.Context, id string, spec SegmentSpec) (Segment, error)
}

// PoolSpec asks for a pool; without Subnet, the lowest free block.
type PoolSpec struct {
	Subnet  netip.Prefix // without host bits
	IPRange netip.Prefix // inside Subnet; addresses are taken from it
}

// CheckedPools is p behind the checks of the form of what callers hand to it, as
// [Checked] for a [Backend].
func CheckedPools(p Pools) Pools { return checkedPools{p} }

type checkedPools struct{ leases }

// leases is [Pools] by a name that is not that of one of its methods.
type leases = Pools

// AddPool implements [Pools].
func (c checkedPools) AddPool(ctx context.Context, spec PoolSpec) (Pool, error) {
	if err := validateSubnet(spec.Subnet, spec.IPRange); err != nil {
		return Pool{}, err
	}
	return c.leases.AddPool(ctx, spec)
}

// AddSegmentOver implements [Pools].
func (c checkedPools) AddSegmentOver(ctx context.Context, id string, spec SegmentSpec) (Segment, error) {
	spec, err := spec.validate()
	if err != nil {
		return Segment{}, err
	}
	return c.leases.AddSegmentOver(ctx, id, spec)
}
