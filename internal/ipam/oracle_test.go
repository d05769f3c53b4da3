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
	gateway           netip.Addr
	maxFreed          int
	leased, used      map[netip.Addr]bool
	freed             []netip.Addr // oldest first
}

// newOracle returns nil for a subnet that cannot be.
func newOracle(cfg SubnetConfig, maxFreed int) *oracle {
	o := &oracle{
		prefix: cfg.Prefix, leaseFrom: cfg.Range, gateway: cfg.Gateway, maxFreed: maxFreed,
		leased: map[netip.Addr]bool{}, used: map[netip.Addr]bool{},
	}
	if o.leaseFrom == (netip.Prefix{}) {
		o.leaseFrom = o.prefix
	}
	from := allOf(o.leaseFrom)
	if !o.gateway.IsValid() {
		i := slices.IndexFunc(from, func(a netip.Addr) bool { return !o.reserved(a) })
		switch {
		case o.prefix.IsSingleIP(): // it has none
			return o
		case i < 0:
			return nil
		}
		o.gateway = from[i]
	}
	free := func(a netip.Addr) bool { return !o.reserved(a) && a != o.gateway }
	if !o.prefix.Contains(o.gateway) || o.reserved(o.gateway) || !slices.ContainsFunc(from, free) {
		return nil
	}
	return o
}

func allOf(p netip.Prefix) (all []netip.Addr) {
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		all = append(all, a)
	}
	return all
}

// reserved says whether no host may have a: of IPv4 the first and the last of the
// subnet, of IPv6 the first; of two addresses or one, none.
func (o *oracle) reserved(a netip.Addr) bool {
	if len(allOf(o.prefix)) <= 2 {
		return false
	}
	return !o.prefix.Contains(a.Prev()) || a.Is4() && !o.prefix.Contains(a.Next())
}

func (o *oracle) allocate(want netip.Addr) (netip.Addr, error) {
	if want.IsValid() {
		switch {
		case !o.prefix.Contains(want):
			return netip.Addr{}, ErrOutside
		case o.leased[want] || o.reserved(want) || want == o.gateway:
			return netip.Addr{}, ErrInUse
		}
		return o.take(want), nil
	}
	return o.allocateNext(func(netip.Addr) bool { return false })
}

// allocateNext takes the lowest address that was never used, of those that are not reserved. The
// reserved ones below it wait from then on.
func (o *oracle) allocateNext(reserved func(netip.Addr) bool) (netip.Addr, error) {
	waiting := slices.DeleteFunc(slices.Clone(o.freed), func(a netip.Addr) bool {
		return !o.leaseFrom.Contains(a)
	})
	for _, a := range allOf(o.leaseFrom) {
		if o.used[a] || o.reserved(a) || a == o.gateway || len(waiting) >= o.maxFreed {
			continue
		}
		if !reserved(a) {
			return o.take(a), nil
		}
		o.used[a], o.freed, waiting = true, append(o.freed, a), append(waiting, a)
	}
	for _, a := range waiting {
		if !reserved(a) {
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
	return slices.DeleteFunc(allOf(o.prefix), func(a netip.Addr) bool { return !o.leased[a] })
}

// capacity counts what can be leased.
func (o *oracle) capacity() int {
	return len(slices.DeleteFunc(allOf(o.prefix), func(a netip.Addr) bool {
		return o.reserved(a) || a == o.gateway
	}))
}

// byteReader takes numbers off bytes; it returns zeros behind their end.
type byteReader []byte

func (r *byteReader) next(n int) int {
	if len(*r) == 0 {
		return 0
	}
	b := int((*r)[0])
	*r = (*r)[1:]
	return b % n
}

// smallSubnets are where the subnets of these tests lie: in the middle, at the end
// of what may be a subnet, and beside addresses of another family's form.
var smallSubnets = prefixes("10.0.0.0/26", "223.255.255.192/26",
	"fd00::/122", "fd00::ffff:ffff:ffff:ffc0/122", "2001:db8::ffff:a00:0/122")

// smallConfig reads a subnet of up to 64 addresses, with or without gateway and range.
func smallConfig(r *byteReader) SubnetConfig {
	base := smallSubnets[r.next(len(smallSubnets))]
	within := func(p netip.Prefix, longest int) netip.Prefix {
		addrs := allOf(p)
		at := addrs[r.next(len(addrs))]
		return netip.PrefixFrom(at, p.Bits()+r.next(longest-p.Bits()+1)).Masked()
	}
	cfg := SubnetConfig{Prefix: within(base, familyOf(base.Addr()).maxBits)}
	if r.next(2) == 1 {
		cfg.Range = within(cfg.Prefix, base.Addr().BitLen())
	}
	if r.next(2) == 1 {
		cfg.Gateway = allOf(base)[r.next(64)]
	}
	return cfg
}

// checkAgainstOracle makes a subnet and changes it as the bytes say.
func checkAgainstOracle(t *testing.T, input byteReader) {
	t.Helper()
	cfg := smallConfig(&input)
	o := newOracle(cfg, 1+input.next(40))
	s, err := newAllocator(t).Add(cfg, nil)
	if o == nil {
		fails(t, err, ErrInvalid)
		return
	}
	if err != nil {
		t.Fatalf("%+v: %v", cfg, err)
	}
	s.maxFreed = o.maxFreed
	if s.Gateway() != o.gateway || s.Range() != o.leaseFrom || s.Capacity() != o.capacity() {
		t.Fatalf("%+v: gateway %s, range %s, capacity %d; want %s, %s, %d", cfg,
			s.Gateway(), s.Range(), s.Capacity(), o.gateway, o.leaseFrom, o.capacity())
	}
	compareWithOracle(t, s, o, input)
}

func compareWithOracle(t *testing.T, s *Subnet, o *oracle, input byteReader) {
	t.Helper()
	addrs := append(allOf(o.prefix), o.prefix.Addr().Prev(), addr("10.0.0.9"), addr("fd00::9"))
	bias := 1 + input.next(5) // some runs mostly lease, some mostly release
	for len(input) > 0 {
		k, target := input.next(10), addrs[input.next(len(addrs))]
		var got, want netip.Addr
		var gotErr, wantErr error
		var op string
		switch {
		case k == 0:
			op = "request"
			got, gotErr = s.Allocate(target)
			want, wantErr = o.allocate(target)
		case k <= bias:
			op = "release"
			gotErr, wantErr = s.Release(target), o.release(target)
		case k == 9:
			op = "next but some"
			some := uint64(input.next(256)) * 0x0101010101010101 << input.next(8)
			reserved := func(a netip.Addr) bool { return some>>(a.As16()[15]%64)&1 == 1 }
			got, gotErr = s.AllocateNext(reserved)
			want, wantErr = o.allocateNext(reserved)
			if got.IsValid() && reserved(got) {
				t.Fatalf("%s: %s was reserved", s.Prefix(), got)
			}
		default:
			op, target = "next", netip.Addr{}
			got, gotErr = s.Allocate(target)
			want, wantErr = o.allocate(target)
		}
		if got != want || !errors.Is(gotErr, wantErr) || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("%s: %s %s: got %s, %v; want %s, %v",
				s.Prefix(), op, target, got, gotErr, want, wantErr)
		}
		leases := o.leases()
		if !slices.Equal(s.Leases(), leases) || s.InUse() != len(leases) || s.InUse() > s.Capacity() {
			t.Fatalf("%s: after %s %s: leases %v, want %v",
				s.Prefix(), op, target, s.Leases(), leases)
		}
	}
}

func TestSubnetAgainstOracle(t *testing.T) {
	t.Parallel()
	rnd := seed.New(t)
	for range 300 {
		input := make([]byte, 600)
		for i := range input {
			input[i] = byte(rnd.Uint32())
		}
		checkAgainstOracle(t, input)
	}
}

func FuzzSubnet(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 1, 1, 5, 0, 5, 0, 1, 2})
	f.Add([]byte{2, 0, 0, 1, 0, 3, 1, 2, 7, 4, 9, 9, 9, 0, 3, 1, 3})
	f.Fuzz(func(t *testing.T, input []byte) {
		checkAgainstOracle(t, input[:min(len(input), 2000)])
	})
}

// blockCase is a family for [TestBlocksAgainstOracle].
type blockCase struct {
	pools  []Pool
	base   netip.Prefix // explicit subnets and routes lie here
	always netip.Prefix // a route that is always there, and is a default route
}

// smallPools gives out blocks of 16, 8 and 4 addresses.
func smallPools(bases ...string) (pools []Pool) {
	for i, base := range prefixes(bases...) {
		pools = append(pools, Pool{base, base.Addr().BitLen() - 4 + i})
	}
	return pools
}

func TestBlocksAgainstOracle(t *testing.T) {
	t.Parallel()
	four := blockCase{
		smallPools("10.0.0.0/26", "10.0.0.128/25", "10.0.1.0/30"),
		prefix("10.0.0.0/23"), prefix("0.0.0.0/1"),
	}
	six := blockCase{
		smallPools("fd00::/122", "fd00::80/121", "fd00::100/126"),
		prefix("fd00::/119"), prefix("fc00::/7"),
	}
	rnd := seed.New(t)
	for range 100 {
		both := newAllocator(t, append(slices.Clone(four.pools), six.pools...)...)
		taken := map[bool][]netip.Prefix{}
		for range 80 {
			// What the other family has taken must make no difference.
			isSix := rnd.IntN(2) == 1
			c := four
			if isSix {
				c = six
			}
			taken[isSix] = c.change(t, rnd, both, taken[isSix])
		}
	}
}

// change adds a subnet, or removes one, and returns what is taken then.
func (c blockCase) change(
	t *testing.T, rnd *rand.Rand, a *Allocator, taken []netip.Prefix,
) []netip.Prefix {
	t.Helper()
	length := c.base.Addr().BitLen()
	avoid := []netip.Prefix{c.always}
	for range rnd.IntN(3) {
		avoid = append(avoid, c.random(rnd, length-8, length))
	}
	cfg := SubnetConfig{IPv6: c.base.Addr().Is6()}
	want := naiveBlock(c.pools, append(slices.Clone(taken), avoid[1:]...))
	switch rnd.IntN(4) {
	case 0: // an explicit one
		cfg.Prefix = c.random(rnd, length-5, length-2)
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
		return taken
	}
	var got netip.Prefix
	if s, err := a.Add(cfg, avoid); err == nil {
		got = s.Prefix()
		taken = append(taken, got)
	} else if !errors.Is(err, ErrOverlap) && !errors.Is(err, ErrExhausted) {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("config %v with %v taken, avoiding %v: got %v, want %v",
			cfg, taken, avoid, got, want)
	}
	return taken
}

// random lies in the case's base.
func (c blockCase) random(rnd *rand.Rand, minLen, maxLen int) netip.Prefix {
	addrs := allOf(c.base)
	return netip.PrefixFrom(addrs[rnd.IntN(len(addrs))], minLen+rnd.IntN(maxLen-minLen+1)).Masked()
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
