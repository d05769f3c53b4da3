package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"go4.org/netipx"
)

// Allocator hands out subnets that never overlap. It is safe for concurrent
// use.
type Allocator struct {
	pools []Pool // in address order; not changed after New

	mu      sync.Mutex
	subnets []*Subnet // guarded by mu; in address order
}

// New makes an allocator that cuts automatic subnets from pools, lowest address
// first whatever the order of pools, as Docker does. Without pools it takes
// explicit prefixes only. Errors are ErrInvalid for a pool that [ParsePool]
// would refuse and ErrOverlap for two pools that share addresses.
func New(pools []Pool) (*Allocator, error) {
	sorted := slices.Clone(pools)
	for i := range sorted {
		sorted[i].Base = unmapPrefix(sorted[i].Base)
		if err := sorted[i].check(); err != nil {
			return nil, fmt.Errorf("address pool %q: %w", pools[i], err)
		}
	}
	slices.SortFunc(sorted, func(a, b Pool) int { return a.Base.Compare(b.Base) })
	// In address order, two prefixes can only overlap if two neighbours do.
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].Base.Overlaps(sorted[i].Base) {
			return nil, failf(ErrOverlap, "address pools %q and %q overlap: drop one or give it another base", sorted[i-1], sorted[i])
		}
	}
	return &Allocator{pools: sorted}, nil
}

// Add reserves a subnet in one step. Without cfg.Prefix it is the lowest block
// of the family's pools that overlaps neither another subnet nor a prefix in avoid,
// the host's routes. A default route in avoid is passed over, also in the parts that
// VPN clients install, such as 0.0.0.0/1 and 128.0.0.0/1.
//
// An explicit prefix may lie outside the pools and is not checked against
// avoid. On an error nothing is reserved: ErrInvalid for a bad cfg, ErrOverlap
// if another subnet has some of the addresses, ErrExhausted if no block is free.
func (a *Allocator) Add(cfg SubnetConfig, avoid []netip.Prefix) (*Subnet, error) {
	return a.AddInstead(nil, cfg, avoid)
}

// AddInstead is [Allocator.Add] for a subnet that is to take the place of old: it may
// have addresses of old, which is still there, for the caller to remove or to keep.
// One that is chosen from the pools has none of them. Errors are those of Add.
func (a *Allocator) AddInstead(old *Subnet, cfg SubnetConfig, avoid []netip.Prefix) (*Subnet, error) {
	cfg = cfg.unmap()
	a.mu.Lock()
	defer a.mu.Unlock()

	if cfg.Prefix == (netip.Prefix{}) {
		if err := cfg.checkAutomatic(); err != nil {
			return nil, err
		}
		block, err := a.freeBlockLocked(poolFamily(cfg.IPv6), avoid)
		if err != nil {
			return nil, err
		}
		cfg.Prefix = block
	}
	s, err := newSubnet(cfg)
	if err != nil {
		return nil, err
	}
	for _, other := range a.subnets {
		if other != old && other.prefix.Overlaps(s.prefix) {
			return nil, failf(ErrOverlap, "subnet %s overlaps the existing subnet %s: choose another prefix, or none for a free one", s.prefix, other.prefix)
		}
	}
	i, _ := slices.BinarySearchFunc(a.subnets, s, compareSubnets)
	a.subnets = slices.Insert(a.subnets, i, s)
	return s, nil
}

// freeBlockLocked looks for an automatic subnet of a family; a.mu is held.
func (a *Allocator) freeBlockLocked(of *family, avoid []netip.Prefix) (netip.Prefix, error) {
	taken := make([]netip.Prefix, 0, len(a.subnets)+len(avoid))
	for _, s := range a.subnets {
		taken = append(taken, s.prefix)
	}
	for _, p := range avoid {
		if p = unmapPrefix(p); p.Bits() > familyOf(p.Addr()).defaultBits {
			taken = append(taken, p)
		}
	}
	pooled := false
	for _, pool := range a.pools {
		if familyOf(pool.Base.Addr()) != of {
			continue
		}
		pooled = true
		block, ok, err := pool.firstFree(taken)
		if err != nil {
			return netip.Prefix{}, err
		}
		if ok {
			return block, nil
		}
	}
	if !pooled {
		return netip.Prefix{}, failf(ErrExhausted, "there is no %s address pool to take "+
			"a subnet from: give a prefix, or configure a pool such as %s", of.name, of.pool)
	}
	return netip.Prefix{}, failf(ErrExhausted, "every block of the %s address pools is taken by "+
		"a subnet or a host route: give a prefix, remove a subnet, or add a pool such as %s",
		of.name, of.pool)
}

// firstFree finds the lowest block of the pool that overlaps nothing in taken.
func (p Pool) firstFree(taken []netip.Prefix) (netip.Prefix, bool, error) {
	var b netipx.IPSetBuilder
	b.AddPrefix(p.Base)
	for _, t := range taken {
		if t.Overlaps(p.Base) {
			b.RemovePrefix(t)
		}
	}
	free, err := b.IPSet()
	if err != nil {
		return netip.Prefix{}, false, fmt.Errorf("looking for a free block in the address pool %s: %w", p, err)
	}
	for _, r := range free.Ranges() {
		if block, ok := firstBlock(r, p.Size); ok {
			return block, true, nil
		}
	}
	return netip.Prefix{}, false, nil
}

// Remove gives the subnet's prefix back; s is dead from then on. Errors are
// ErrInUse while leases are out, which changes nothing, and ErrInvalid if s is
// not a subnet of this allocator (any more).
func (a *Allocator) Remove(s *Subnet) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.subnets, s)
	if i < 0 {
		return failf(ErrInvalid, "the subnet to remove is not one of this allocator's: it may have been removed already")
	}
	if err := s.retire(); err != nil {
		return err
	}
	a.subnets = slices.Delete(a.subnets, i, i+1)
	return nil
}

func compareSubnets(a, b *Subnet) int { return a.prefix.Compare(b.prefix) }
