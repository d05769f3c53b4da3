package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestDefaultSubnetsComeInDockersOrder(t *testing.T) {
	t.Parallel()
	a := newAllocator(t, DefaultPools()...)
	var want []string
	for i := 17; i <= 31; i++ {
		want = append(want, fmt.Sprintf("172.%d.0.0/16", i))
	}
	for i := 0; i < 256; i += 16 {
		want = append(want, fmt.Sprintf("192.168.%d.0/20", i))
	}
	for _, w := range want {
		s := add(t, a, SubnetConfig{})
		if s.Prefix() != prefix(w) || s.Gateway() != prefix(w).Addr().Next() || s.Range() != s.Prefix() {
			t.Fatalf("subnet %s gateway %s range %s, want %s with its first host as gateway", s.Prefix(), s.Gateway(), s.Range(), w)
		}
	}
	_, err := a.Add(SubnetConfig{}, nil)
	fails(t, err, ErrExhausted, "base=10.0.0.0/8,size=24")

	bridge := a.Subnets()[0]
	lease(t, bridge, "", "172.17.0.2")
	lease(t, bridge, "", "172.17.0.3")
}

func TestAutomaticSubnet(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		pools    []string
		existing []string
		avoid    []string
		want     string // empty: exhausted
	}{
		{name: "no pools", want: ""},
		{name: "lowest pool first, whatever their order", pools: []string{"base=172.20.0.0/16,size=24", "base=10.0.0.0/8,size=24"}, want: "10.0.0.0/24"},
		{name: "a small pool below a large one", pools: []string{"base=10.64.0.0/10,size=24", "base=10.1.0.0/24,size=24"}, want: "10.1.0.0/24"},
		{name: "host route covers the pool", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"10.0.0.0/8"}},
		{name: "host route covers a block", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"10.0.0.0/24"}, want: "10.0.1.0/24"},
		{name: "host route inside a block", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"10.0.0.77/32"}, want: "10.0.1.0/24"},
		{name: "host route over several blocks", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"10.0.0.0/22"}, want: "10.0.4.0/24"},
		{name: "host route with host bits", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"10.0.3.9/22"}, want: "10.0.4.0/24"},
		{name: "host route in 16-byte form", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"::ffff:10.0.0.0/118"}, want: "10.0.4.0/24"},
		{name: "host route elsewhere", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"10.1.0.0/16", "fd00::/8"}, want: "10.0.0.0/24"},
		{name: "default routes", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"0.0.0.0/0", "::/0"}, want: "10.0.0.0/24"},
		{name: "a VPN's halved default route", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{"0.0.0.0/1", "128.0.0.0/1"}, want: "10.0.0.0/24"},
		{name: "next pool", pools: []string{"base=10.0.0.0/24,size=24", "base=10.2.0.0/16,size=20"}, avoid: []string{"10.0.0.128/25"}, want: "10.2.0.0/20"},
		{name: "explicit subnet in the pool", pools: []string{"base=10.0.0.0/16,size=24"}, existing: []string{"10.0.0.16/28"}, want: "10.0.1.0/24"},
		{name: "explicit subnet around the pool", pools: []string{"base=10.0.0.0/16,size=24"}, existing: []string{"10.0.0.0/8"}},
		{name: "hole between subnets", pools: []string{"base=10.0.0.0/16,size=24"}, existing: []string{"10.0.0.0/24", "10.0.2.0/24"}, want: "10.0.1.0/24"},
		{name: "hole smaller than a block", pools: []string{"base=10.0.0.0/22,size=23"}, existing: []string{"10.0.0.0/24", "10.0.2.0/24"}},
		{name: "the very end of the address space", pools: []string{"base=255.255.255.0/25,size=26"}, avoid: []string{"255.255.255.0/26"}, want: "255.255.255.64/26"},
		{name: "full to the end of the unicast space", pools: []string{"base=223.255.255.0/24,size=24"}, avoid: []string{"223.255.255.255/32"}},
		{name: "a prefix that is none", pools: []string{"base=10.0.0.0/16,size=24"}, avoid: []string{""}, want: "10.0.0.0/24"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var pools []Pool
			for _, s := range tc.pools {
				p, err := ParsePool(s)
				if err != nil {
					t.Fatal(err)
				}
				pools = append(pools, p)
			}
			a := newAllocator(t, pools...)
			for _, p := range tc.existing {
				add(t, a, config(p, "", ""))
			}
			s, err := a.Add(SubnetConfig{}, prefixes(tc.avoid...))
			if tc.want == "" {
				fails(t, err, ErrExhausted, "give a prefix")
				return
			}
			if err != nil || s.Prefix() != prefix(tc.want) {
				t.Fatalf("got %v, %v; want %s", s, err, tc.want)
			}
		})
	}
}

func TestExplicitSubnet(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		cfg         SubnetConfig
		gateway     string
		leaseFrom   string
		first, next string // next "": full after the first
		capacity    int
	}{
		{"plain", config("10.1.0.0/16", "", ""), "10.1.0.1", "10.1.0.0/16", "10.1.0.2", "10.1.0.3", 65533},
		{"largest", config("10.0.0.0/8", "", ""), "10.0.0.1", "10.0.0.0/8", "10.0.0.2", "10.0.0.3", 1<<24 - 3},
		{"smallest", config("10.0.0.0/30", "", ""), "10.0.0.1", "10.0.0.0/30", "10.0.0.2", "", 1},
		{"gateway last", config("10.0.0.0/24", "10.0.0.254", ""), "10.0.0.254", "10.0.0.0/24", "10.0.0.1", "10.0.0.2", 253},
		{"gateway second", config("10.0.0.0/24", "10.0.0.2", ""), "10.0.0.2", "10.0.0.0/24", "10.0.0.1", "10.0.0.3", 253},
		{"range takes the gateway along, as in Docker", config("172.28.0.0/16", "", "172.28.5.0/24"), "172.28.5.0", "172.28.5.0/24", "172.28.5.1", "172.28.5.2", 65533},
		{"gateway outside the range", config("172.28.0.0/16", "172.28.0.1", "172.28.5.0/24"), "172.28.0.1", "172.28.5.0/24", "172.28.5.0", "172.28.5.1", 65533},
		{"range at the network address", config("10.0.0.0/24", "", "10.0.0.0/30"), "10.0.0.1", "10.0.0.0/30", "10.0.0.2", "10.0.0.3", 253},
		{"range at the broadcast address", config("10.0.0.0/24", "10.0.0.1", "10.0.0.254/31"), "10.0.0.1", "10.0.0.254/31", "10.0.0.254", "", 253},
		{"range of one address", config("10.0.0.0/24", "10.0.0.1", "10.0.0.7/32"), "10.0.0.1", "10.0.0.7/32", "10.0.0.7", "", 253},
		{"range is the subnet", config("10.0.0.0/24", "", "10.0.0.0/24"), "10.0.0.1", "10.0.0.0/24", "10.0.0.2", "10.0.0.3", 253},
		{"two addresses", config("10.0.0.0/31", "", ""), "10.0.0.0", "10.0.0.0/31", "10.0.0.1", "", 1},
		{"two addresses, the other way round", config("10.0.0.0/31", "10.0.0.1", ""), "10.0.0.1", "10.0.0.0/31", "10.0.0.0", "", 1},
		{"one address", config("10.0.0.7/32", "", ""), "", "10.0.0.7/32", "10.0.0.7", "", 1},
		{"link-local", config("169.254.0.0/16", "", ""), "169.254.0.1", "169.254.0.0/16", "169.254.0.2", "169.254.0.3", 65533},
		{"around link-local", config("169.0.0.0/8", "", ""), "169.0.0.1", "169.0.0.0/8", "169.0.0.2", "169.0.0.3", 1<<24 - 3},
		{"reserved for the future", config("240.0.0.0/4", "", ""), "240.0.0.1", "240.0.0.0/4", "240.0.0.2", "240.0.0.3", 1<<28 - 3},
		{"up to the limited broadcast", config("255.255.255.0/24", "", ""), "255.255.255.1", "255.255.255.0/24", "255.255.255.2", "255.255.255.3", 253},
		{"16-byte forms", config("::ffff:10.0.0.0/120", "::ffff:10.0.0.9", "::ffff:10.0.0.8/125"), "10.0.0.9", "10.0.0.8/29", "10.0.0.8", "10.0.0.10", 253},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			// A host route over everything does not disturb an explicit prefix.
			s := add(t, newAllocator(t), tc.cfg, prefixes("10.0.0.0/8", "172.16.0.0/12")...)
			if s.Gateway() != addr(tc.gateway) || s.Range() != prefix(tc.leaseFrom) || s.Capacity() != tc.capacity {
				t.Fatalf("gateway %s range %s capacity %d, want %s, %s and %d", s.Gateway(), s.Range(), s.Capacity(), tc.gateway, tc.leaseFrom, tc.capacity)
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

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  SubnetConfig
		kind error
		says []string
	}{
		{"same subnet", config("10.9.0.0/16", "", ""), ErrOverlap, []string{"10.9.0.0/16"}},
		{"around a subnet", config("10.0.0.0/8", "", ""), ErrOverlap, []string{"10.0.0.0/8", "10.9.0.0/16"}},
		{"inside a subnet", config("10.9.8.0/24", "", ""), ErrOverlap, []string{"10.9.8.0/24", "10.9.0.0/16"}},
		{"host bits", config("10.1.2.3/24", "", ""), ErrInvalid, []string{"write 10.1.2.0/24"}},
		{"gateway of a single address", config("10.0.0.1/32", "10.0.0.1", ""), ErrInvalid, []string{"10.0.0.1/32", "no room for a gateway"}},
		{"range of one address of two", config("10.0.0.0/31", "", "10.0.0.1/32"), ErrInvalid, []string{"leaves no address"}},
		{"too short", config("10.0.0.0/7", "", ""), ErrInvalid, []string{"from 8 to 32"}},
		{"larger than what is reserved", config("240.0.0.0/5", "", ""), ErrInvalid, []string{"from 8 to 32"}},
		{"no valid prefix", SubnetConfig{Prefix: netip.PrefixFrom(addr("10.0.0.0"), 99)}, ErrInvalid, []string{"not valid"}},
		{"multicast", config("239.1.0.0/16", "", ""), ErrInvalid, []string{"multicast"}},
		{"loopback", config("127.0.0.0/24", "", ""), ErrInvalid, []string{"loopback"}},
		{"unspecified", config("0.0.0.0/8", "", ""), ErrInvalid, []string{"unspecified"}},
		{"limited broadcast as a host's", config("255.255.255.254/31", "", ""), ErrInvalid, []string{"limited broadcast"}},
		{"limited broadcast alone", config("255.255.255.255/32", "", ""), ErrInvalid, []string{"limited broadcast"}},
		{"gateway outside", config("10.1.0.0/24", "10.1.1.1", ""), ErrInvalid, []string{"10.1.1.1", "10.1.0.0/24", "such as 10.1.0.1"}},
		{"gateway of the other family", config("10.1.0.0/24", "fd00::1", ""), ErrInvalid, []string{"fd00::1"}},
		{"gateway is the network", config("10.1.0.0/24", "10.1.0.0", ""), ErrInvalid, []string{"network address"}},
		{"gateway is the broadcast", config("10.1.0.0/24", "10.1.0.255", ""), ErrInvalid, []string{"broadcast address"}},
		{"gateway without a prefix", config("", "10.1.0.1", ""), ErrInvalid, []string{"10.1.0.1", "prefix"}},
		{"range without a prefix", config("", "", "10.1.0.0/24"), ErrInvalid, []string{"10.1.0.0/24", "prefix"}},
		{"range outside", config("10.1.0.0/24", "", "10.1.1.0/25"), ErrInvalid, []string{"10.1.1.0/25", "10.1.0.0/24"}},
		{"range around", config("10.1.0.0/24", "", "10.1.0.0/16"), ErrInvalid, []string{"not inside"}},
		{"range with host bits", config("10.1.0.0/24", "", "10.1.0.3/25"), ErrInvalid, []string{"write 10.1.0.0/25"}},
		{"range of the other family", config("10.1.0.0/24", "", "fd00::/64"), ErrInvalid, []string{"fd00::/64"}},
		{"no valid range", SubnetConfig{Prefix: prefix("10.1.0.0/24"), Range: netip.PrefixFrom(addr("10.1.0.0"), 99)}, ErrInvalid, []string{"10.1.0.0/24"}},
		{"range is the network address", config("10.1.0.0/24", "", "10.1.0.0/32"), ErrInvalid, []string{"larger range"}},
		{"range is the broadcast address", config("10.1.0.0/24", "", "10.1.0.255/32"), ErrInvalid, []string{"larger range"}},
		{"range holds the gateway only", config("10.1.0.0/24", "", "10.1.0.7/32"), ErrInvalid, []string{"10.1.0.7/32", "larger range"}},
		{"range holds network and gateway only", config("10.1.0.0/24", "", "10.1.0.0/31"), ErrInvalid, []string{"larger range"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := newAllocator(t, DefaultPools()...)
			existing := add(t, a, config("10.9.0.0/16", "", ""))
			_, err := a.Add(tc.cfg, nil)
			fails(t, err, tc.kind, tc.says...)
			if got := a.Subnets(); !slices.Equal(got, []*Subnet{existing}) {
				t.Errorf("a refused subnet left %d subnets, want the one from before", len(got))
			}
		})
	}
}

// A subnet may overlap the one whose place it is to take, and no other.
func TestSubnetInsteadOfAnother(t *testing.T) {
	t.Parallel()
	a := newAllocator(t, DefaultPools()...)
	old := add(t, a, config("10.9.0.0/24", "", ""))
	beside := add(t, a, config("10.9.1.0/24", "", ""))
	if _, err := a.AddInstead(old, config("10.9.0.0/23", "", ""), nil); !errors.Is(err, ErrOverlap) {
		t.Errorf("over its neighbour: %v, want ErrOverlap", err)
	}
	if err := a.Remove(beside); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AddInstead(old, config("10.9.0.0/23", "", ""), nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Remove(old); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Add(config("10.9.0.0/24", "", ""), nil); !errors.Is(err, ErrOverlap) {
		t.Errorf("in the new subnet: %v, want ErrOverlap", err)
	}
}

func TestAdjacentSubnetsDoNotOverlap(t *testing.T) {
	t.Parallel()
	a := newAllocator(t)
	for _, p := range []string{"10.0.2.0/23", "10.0.0.0/24", "10.0.1.0/24"} {
		add(t, a, config(p, "", ""))
	}
	var got []netip.Prefix
	for _, s := range a.Subnets() {
		got = append(got, s.Prefix())
	}
	if want := prefixes("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23"); !slices.Equal(got, want) {
		t.Fatalf("subnets %v, want %v", got, want)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	a := newAllocator(t, DefaultPools()...)
	first, second := add(t, a, SubnetConfig{}), add(t, a, SubnetConfig{})
	lease(t, first, "", "172.17.0.2")
	lease(t, first, "", "172.17.0.3")
	fails(t, a.Remove(first), ErrInUse, "172.17.0.0/16", "2 leases")
	release(t, first, "172.17.0.2")
	fails(t, a.Remove(first), ErrInUse, "1 lease:")
	lease(t, first, "", "172.17.0.4") // a refused removal leaves the subnet at work
	release(t, first, "172.17.0.3")
	release(t, first, "172.17.0.4")
	if err := a.Remove(first); err != nil {
		t.Fatal(err)
	}

	fails(t, a.Remove(first), ErrInvalid, "removed already")
	fails(t, a.Remove(nil), ErrInvalid)
	fails(t, newAllocator(t).Remove(second), ErrInvalid)
	_, err := first.Allocate(netip.Addr{})
	fails(t, err, ErrInvalid, "172.17.0.0/16", "removed")
	if got := a.Subnets(); !slices.Equal(got, []*Subnet{second}) {
		t.Fatalf("%d subnets left, want the second alone", len(got))
	}

	again := add(t, a, SubnetConfig{})
	if again.Prefix() != prefix("172.17.0.0/16") {
		t.Fatalf("after the removal the next subnet is %s, want 172.17.0.0/16 again", again.Prefix())
	}
	lease(t, again, "", "172.17.0.2")
}

func TestRestore(t *testing.T) {
	t.Parallel()
	before := add(t, newAllocator(t, DefaultPools()...), config("172.28.0.0/16", "172.28.0.9", "172.28.5.0/24"))
	for _, w := range []string{"", "172.28.5.7", "", "172.28.0.1"} {
		if _, err := before.Allocate(addr(w)); err != nil {
			t.Fatal(err)
		}
	}

	after := newAllocator(t, DefaultPools()...)
	// The host now has the route of the subnet itself.
	s := add(t, after, SubnetConfig{Prefix: before.Prefix(), Gateway: before.Gateway(), Range: before.Range()}, prefix("172.28.0.0/16"))
	for _, l := range before.Leases() {
		lease(t, s, l.String(), l.String())
	}
	sameAddrs(t, s.Leases(), "172.28.0.1", "172.28.5.0", "172.28.5.1", "172.28.5.7")
	if s.Gateway() != before.Gateway() || s.Range() != before.Range() {
		t.Fatalf("gateway %s and range %s came back as %s and %s", before.Gateway(), before.Range(), s.Gateway(), s.Range())
	}
	lease(t, s, "", "172.28.5.2")
}
