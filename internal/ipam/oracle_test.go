package ipam

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vswitch/test/lab/seed"
)

// oracle is a subnet written as the rules read: every address has a state, and
// every lease looks at all of them from the start.
type oracle struct {
	prefix, leaseFrom netip.Prefix
	reserved          []netip.Addr
	leased, used      map[netip.Addr]bool
	freed             []netip.Addr // oldest first
}

func newOracle(s *Subnet, broadcast netip.Addr) *oracle {
	return &oracle{
		prefix: s.Prefix(), leaseFrom: s.Range(),
		reserved: []netip.Addr{s.Prefix().Addr(), broadcast, s.Gateway()},
		leased:   map[netip.Addr]bool{}, used: map[netip.Addr]bool{},
	}
}

func (o *oracle) allocate(want netip.Addr) (netip.Addr, error) {
	if want.IsValid() {
		switch {
		case !o.prefix.Contains(want):
			return netip.Addr{}, ErrOutside
		case o.leased[want] || slices.Contains(o.reserved, want):
			return netip.Addr{}, ErrInUse
		}
		return o.take(want), nil
	}
	for a := o.leaseFrom.Addr(); o.leaseFrom.Contains(a); a = a.Next() {
		if !o.used[a] && !slices.Contains(o.reserved, a) {
			return o.take(a), nil
		}
	}
	for _, a := range o.freed {
		if o.leaseFrom.Contains(a) {
			return o.take(a), nil
		}
	}
	return netip.Addr{}, ErrFull
}

func (o *oracle) take(a netip.Addr) netip.Addr {
	o.leased[a], o.used[a] = true, true
	o.freed = slices.DeleteFunc(o.freed, func(f netip.Addr) bool { return f == a })
	return a
}

func (o *oracle) release(a netip.Addr) error {
	if !o.leased[a] {
		return ErrNotLeased
	}
	delete(o.leased, a)
	o.freed = append(o.freed, a)
	return nil
}

func (o *oracle) leases() []netip.Addr {
	var all []netip.Addr
	for a := o.prefix.Addr(); o.prefix.Contains(a); a = a.Next() {
		if o.leased[a] {
			all = append(all, a)
		}
	}
	return all
}

func TestSubnetAgainstOracle(t *testing.T) {
	t.Parallel()
	rnd := seed.New(t)
	for _, tc := range []struct {
		cfg       SubnetConfig
		broadcast string
	}{
		{config("10.0.0.0/30", "", ""), "10.0.0.3"},
		{config("10.0.0.0/28", "", ""), "10.0.0.15"},
		{config("10.0.0.32/27", "10.0.0.40", ""), "10.0.0.63"},
		{config("10.0.0.0/27", "", "10.0.0.8/29"), "10.0.0.31"},
		{config("10.0.0.0/27", "10.0.0.30", "10.0.0.24/29"), "10.0.0.31"},
		{config("10.0.0.0/27", "10.0.0.1", "10.0.0.0/28"), "10.0.0.31"},
		{config("223.255.255.224/27", "", ""), "223.255.255.255"},
	} {
		for range 20 {
			s := add(t, newAllocator(t), tc.cfg)
			compareWithOracle(t, rnd, s, newOracle(s, addr(tc.broadcast)))
		}
	}
}

func compareWithOracle(t *testing.T, rnd *rand.Rand, s *Subnet, o *oracle) {
	t.Helper()
	addrs := []netip.Addr{o.prefix.Addr().Prev()}
	for a := o.prefix.Addr(); o.prefix.Contains(a); a = a.Next() {
		addrs = append(addrs, a)
	}
	addrs = append(addrs, addrs[len(addrs)-1].Next())

	bias := 1 + rnd.IntN(5) // some runs mostly lease, some mostly release
	for range 300 {
		target := addrs[rnd.IntN(len(addrs))]
		var got, want netip.Addr
		var gotErr, wantErr error
		var op string
		switch k := rnd.IntN(10); {
		case k == 0:
			op = "request"
			got, gotErr = s.Allocate(target)
			want, wantErr = o.allocate(target)
		case k <= bias:
			op = "release"
			gotErr, wantErr = s.Release(target), o.release(target)
		default:
			op, target = "next", netip.Addr{}
			got, gotErr = s.Allocate(target)
			want, wantErr = o.allocate(target)
		}
		if got != want || !errors.Is(gotErr, wantErr) || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("%s: %s %s: got %s, %v; want %s, %v", s.Prefix(), op, target, got, gotErr, want, wantErr)
		}
		if leases := o.leases(); !slices.Equal(s.Leases(), leases) || s.InUse() != len(leases) || s.InUse() > s.Capacity() {
			t.Fatalf("%s: after %s %s: leases %v, want %v", s.Prefix(), op, target, s.Leases(), leases)
		}
	}
}

func TestBlocksAgainstOracle(t *testing.T) {
	t.Parallel()
	rnd := seed.New(t)
	pools := []Pool{{prefix("10.0.0.0/26"), 28}, {prefix("10.0.0.128/25"), 29}, {prefix("10.0.1.0/30"), 30}}
	for range 200 {
		a := newAllocator(t, pools...)
		var taken []netip.Prefix
		for range 40 {
			avoid := []netip.Prefix{prefix("0.0.0.0/0")}
			for range rnd.IntN(3) {
				avoid = append(avoid, randomPrefix(rnd, 24, 32))
			}
			var cfg SubnetConfig
			want := naiveBlock(pools, append(slices.Clone(taken), avoid[1:]...))
			switch rnd.IntN(4) {
			case 0: // an explicit one
				cfg.Prefix = randomPrefix(rnd, 27, 30)
				want = cfg.Prefix
				if overlapsAny(want, taken) {
					want = netip.Prefix{}
				}
			case 1:
				if len(taken) > 0 {
					i := rnd.IntN(len(taken))
					if err := a.Remove(find(a, taken[i])); err != nil {
						t.Fatal(err)
					}
					taken = slices.Delete(taken, i, i+1)
				}
				continue
			}
			var got netip.Prefix
			if s, err := a.Add(cfg, avoid); err == nil {
				got = s.Prefix()
				taken = append(taken, got)
			} else if !errors.Is(err, ErrOverlap) && !errors.Is(err, ErrExhausted) {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("config %v with %v taken, avoiding %v: got %v, want %v", cfg, taken, avoid, got, want)
			}
		}
	}
}

// randomPrefix lies in 10.0.0.0/23.
func randomPrefix(rnd *rand.Rand, minLen, maxLen int) netip.Prefix {
	a := netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(2)), byte(rnd.IntN(256))})
	return netip.PrefixFrom(a, minLen+rnd.IntN(maxLen-minLen+1)).Masked()
}

// naiveBlock tries every address of every pool; it gives the zero Prefix if
// nothing is free.
func naiveBlock(pools []Pool, taken []netip.Prefix) netip.Prefix {
	for _, p := range pools {
		for a := p.Base.Addr(); p.Base.Contains(a); a = a.Next() {
			block := netip.PrefixFrom(a, p.Size)
			if block == block.Masked() && !overlapsAny(block, taken) {
				return block
			}
		}
	}
	return netip.Prefix{}
}

func overlapsAny(p netip.Prefix, others []netip.Prefix) bool {
	return slices.ContainsFunc(others, p.Overlaps)
}

func find(a *Allocator, p netip.Prefix) *Subnet {
	for _, s := range a.Subnets() {
		if s.Prefix() == p {
			return s
		}
	}
	return nil
}
