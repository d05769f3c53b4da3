package ipam

import (
	"math"
	"net/netip"
	"testing"
)

const ulaPool = "base=fd12:3456:789a::/48,size=64"

// withPools are Docker's pools of IPv4 and one of IPv6.
func withPools(t *testing.T) *Allocator {
	t.Helper()
	ula, err := ParsePool(ulaPool)
	if err != nil {
		t.Fatal(err)
	}
	return newAllocator(t, append([]Pool{ula}, DefaultPools()...)...)
}

// As Docker does it: the gateway is the first address behind the reserved one, the
// first container the next.
func TestIPv6SubnetsFromThePool(t *testing.T) {
	t.Parallel()
	a := withPools(t)
	for _, want := range []struct{ subnet, gateway, first string }{
		{"fd12:3456:789a::/64", "fd12:3456:789a::1", "fd12:3456:789a::2"},
		{"fd12:3456:789a:1::/64", "fd12:3456:789a:1::1", "fd12:3456:789a:1::2"},
	} {
		s := add(t, a, SubnetConfig{IPv6: true})
		if s.Prefix() != prefix(want.subnet) || s.Gateway() != addr(want.gateway) {
			t.Fatalf("got %s with gateway %s, want %+v", s.Prefix(), s.Gateway(), want)
		}
		lease(t, s, "", want.first)
		lease(t, s, "", addr(want.first).Next().String())
	}
	if s := add(t, a, SubnetConfig{}); s.Prefix() != prefix("172.17.0.0/16") {
		t.Errorf("the IPv4 subnet beside them is %s", s.Prefix())
	}
}

func TestIPv6PoolsStayClearOfRoutes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		avoid []string
		want  string
	}{
		{"nothing", nil, "fd12:3456:789a::/64"},
		{"IPv4 routes", []string{"0.0.0.0/0", "172.16.0.0/12"}, "fd12:3456:789a::/64"},
		{"a default route", []string{"::/0"}, "fd12:3456:789a::/64"},
		{"its halves", []string{"::/1", "8000::/1"}, "fd12:3456:789a::/64"},
		{"its parts", []string{"::/3", "2000::/4", "3000::/4", "fc00::/7"}, "fd12:3456:789a::/64"},
		{"a network", []string{"fd12:3456:789a::/63"}, "fd12:3456:789a:2::/64"},
		{"a host", []string{"fd12:3456:789a::9/128"}, "fd12:3456:789a:1::/64"},
		{"all", []string{"fd00::/8"}, ""},
	} {
		s, err := withPools(t).Add(SubnetConfig{IPv6: true}, prefixes(tc.avoid...))
		if tc.want == "" {
			fails(t, err, ErrExhausted, "IPv6", ulaPool)
		} else if err != nil || s.Prefix() != prefix(tc.want) {
			t.Errorf("%s: got %v, %v; want %s", tc.name, s, err, tc.want)
		}
	}
	_, err := newAllocator(t, DefaultPools()...).Add(SubnetConfig{IPv6: true}, nil)
	fails(t, err, ErrExhausted, "no IPv6 address pool", ulaPool)
}

func TestExplicitIPv6Subnet(t *testing.T) {
	t.Parallel()
	const sub, part = "fd00:1::/64", "fd00:1::5:0/112"
	for _, tc := range []struct {
		name, subnet, gateway, leaseFrom string
		gets, first, next                string // the gateway and two leases; next "": full
		capacity                         int
	}{
		{"plain", sub, "", "", "fd00:1::1", "fd00:1::2", "fd00:1::3", math.MaxInt},
		{"range", sub, "", part, "fd00:1::5:0", "fd00:1::5:1", "fd00:1::5:2", math.MaxInt},
		{"gateway beside", sub, "fd00:1::1", part, "fd00:1::1", "fd00:1::5:0", "fd00:1::5:1", math.MaxInt},
		{"largest", "fd00::/8", "", "", "fd00::1", "fd00::2", "fd00::3", math.MaxInt},
		{"counted still", "fd00::/65", "", "", "fd00::1", "fd00::2", "fd00::3", math.MaxInt - 1},
		{"no broadcast", "fd00::/126", "", "", "fd00::1", "fd00::2", "fd00::3", 2},
		{"last as gateway", "fd00::/126", "fd00::3", "", "fd00::3", "fd00::1", "fd00::2", 2},
		{"range of the last", "fd00::/120", "fd00::1", "fd00::ff/128", "fd00::1", "fd00::ff", "", 254},
		{"examples", "2001:db8::/98", "", "", "2001:db8::1", "2001:db8::2", "2001:db8::3", 1<<30 - 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(tc.subnet, tc.gateway, tc.leaseFrom)
			s := add(t, newAllocator(t), cfg, prefixes("fd00::/8")...)
			leaseFrom := cfg.Range
			if tc.leaseFrom == "" {
				leaseFrom = cfg.Prefix
			}
			if s.Gateway() != addr(tc.gets) || s.Range() != leaseFrom || s.Capacity() != tc.capacity {
				t.Fatalf("gateway %s, range %s, capacity %d, want %s, %s, %d",
					s.Gateway(), s.Range(), s.Capacity(), tc.gets, leaseFrom, tc.capacity)
			}
			lease(t, s, "", tc.first)
			if tc.next != "" {
				lease(t, s, "", tc.next)
				return
			}
			_, err := s.Allocate(netip.Addr{})
			fails(t, err, ErrFull, "is full: 1 address all in use")
		})
	}
}

// With a prefix, it alone says which family a subnet is of.
func TestPrefixSaysTheFamily(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), SubnetConfig{Prefix: prefix("10.1.0.0/24"), IPv6: true})
	lease(t, s, "", "10.1.0.2")
}

func TestIPv6Refuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, subnet, gateway, leaseFrom, says string
	}{
		{"host bits", "fd00:1::1/64", "", "", "write fd00:1::/64"},
		{"too long", "fd00::/127", "", "", "from 8 to 126"},
		{"single address", "fd00::1/128", "", "", "from 8 to 126"},
		{"too short", "fc00::/7", "", "", "from 8 to 126"},
		{"unspecified", "::/64", "", "", "unspecified"},
		{"around IPv4-mapped addresses", "::ffc0:0:0/90", "", "", "translated"},
		{"NAT64", "64:ff9b::/96", "", "", "translated"},
		{"link-local", "fe80::/64", "", "", "link-local addresses: use a private range such as fd12:"},
		{"link-local inside", "fe00::/8", "", "", "link-local"},
		{"discard", "100::/64", "", "", "discarded"},
		{"multicast", "ff05::/16", "", "", "multicast"},
		{"reserved as gateway", "fd00::/64", "fd00::", "", "anycast address of fd00::/64"},
		{"gateway of the other family", "fd00::/64", "10.1.0.1", "", "such as fd00::1"},
		{"gateway with a zone", "fd00::/64", "fd00::1%eth0", "", "fd00::1%eth0"},
		{"range of the other family", "fd00::/64", "", "10.1.0.0/24", "not inside"},
		{"range of the reserved address", "fd00::/64", "", "fd00::/128", "larger range"},
		{"range of reserved and gateway", "fd00::/64", "", "fd00::/127", "larger range"},
		{"gateway without a prefix", "", "fd00::1", "", "prefix"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := withPools(t)
			cfg := config(tc.subnet, tc.gateway, tc.leaseFrom)
			cfg.IPv6 = true
			_, err := a.Add(cfg, nil)
			fails(t, err, ErrInvalid, tc.says)
			if n := len(a.Subnets()); n != 0 {
				t.Errorf("a refused subnet left %d subnets", n)
			}
		})
	}
}

func TestIPv6SubnetsOverlap(t *testing.T) {
	t.Parallel()
	a := withPools(t)
	add(t, a, config("fd09::/64", "", ""))
	_, err := a.Add(config("fd09::1:0/112", "", ""), nil)
	fails(t, err, ErrOverlap, "fd09::1:0/112", "fd09::/64")
}

func TestIPv6LeasesByRequest(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("fd00::/64", "", ""))
	lease(t, s, "fd00::ffff:ffff:ffff:ffff", "fd00::ffff:ffff:ffff:ffff") // no broadcast address
	lease(t, s, "fd00::2", "fd00::2")
	lease(t, s, "", "fd00::3")
	for _, refused := range []struct {
		want string
		kind error
		says string
	}{
		{"fd00::", ErrInUse, "subnet-router anycast address"},
		{"fd00::1", ErrInUse, "gateway's address"},
		{"fd00::2", ErrInUse, "already in use"},
		{"fd00:0:0:1::", ErrOutside, "fd00::/64"},
		{"fd00::9%eth0", ErrOutside, "fd00::9%eth0"},
		{"10.0.0.9", ErrOutside, "10.0.0.9"},
		{"::ffff:10.0.0.9", ErrOutside, "10.0.0.9"},
	} {
		_, err := s.Allocate(addr(refused.want))
		fails(t, err, refused.kind, refused.says)
		if refused.want != "fd00::2" {
			fails(t, s.Release(addr(refused.want)), ErrNotLeased)
		}
	}
	fails(t, s.MoveGateway(addr("fd00::")), ErrInUse, "anycast")
	if err := s.MoveGateway(addr("fd00::fe")); err != nil {
		t.Fatal(err)
	}
	lease(t, s, "", "fd00::4")
	sameAddrs(t, s.Leases(), "fd00::2", "fd00::3", "fd00::4", "fd00::ffff:ffff:ffff:ffff")
}

// Containers that come and go cost a /64, whose end the cursor never reaches, a
// bounded number of released addresses.
func TestMemoryOfAHugeSubnetIsBounded(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("fd00::/64", "", ""))
	for range maxFreed {
		got, err := s.Allocate(netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Release(got); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"fd00::2", "fd00::3"} { // those that waited longest
		lease(t, s, "", want)
		release(t, s, want)
		if n := s.freed.len(); n != maxFreed {
			t.Fatalf("%d released addresses are kept, want %d", n, maxFreed)
		}
	}
	lease(t, s, "", "fd00::4")
	lease(t, s, "", "fd00::4:2") // fewer wait: one that was never leased
}

func TestSizeCostsNothing(t *testing.T) {
	cost := func(p string) float64 {
		return testing.AllocsPerRun(10, func() {
			if _, err := newSubnet(config(p, "", "")); err != nil {
				t.Error(err)
			}
		})
	}
	if small, large := cost("fd00::/126"), cost("fd00::/8"); small != large {
		t.Errorf("a /8 costs %v allocations, a /126 %v", large, small)
	}
}
