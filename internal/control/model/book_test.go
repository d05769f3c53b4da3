package model_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/internal/control/model"
	"vswitch/internal/control/model/modeltest"
	"vswitch/test/lab/seed"
)

// single returns the prefix that is the address alone.
func single(a string) netip.Prefix {
	addr := netip.MustParseAddr(a)
	return netip.PrefixFrom(addr, addr.BitLen())
}

// bookRecords are a segment over a pool, on which port 1 has 10.2.0.3 and may use 10.2.0.50 and
// 10.2.0.60, which is an auxiliary address, and the pool has leased 10.2.0.3 and 10.2.0.4.
func bookRecords() model.Records {
	s, p := modeltest.Segment(2), modeltest.Port(1, 2)
	s.Subnets[0].PoolID = modeltest.Pool(2).ID
	s.AuxAddresses = map[string]netip.Addr{"router": netip.MustParseAddr("10.2.0.60")}
	p.AllowAddresses = []netip.Prefix{
		single("10.2.0.50"), single("10.2.0.60"), single("10.9.0.1"), single(p.Addrs[0].String()),
		netip.MustParsePrefix("10.2.0.0/24"),
	}
	return model.Records{
		Pools: []model.Pool{modeltest.Pool(2)}, Segments: []model.Segment{s}, Ports: []model.Port{p},
	}
}

func TestTheBookOfAddresses(t *testing.T) {
	t.Parallel()
	before := newState(t, bookRecords())
	segment, first := bookRecords().Segments[0], bookRecords().Ports[0]
	for name, test := range map[string]struct {
		edit func(*model.Port)
		want string // empty: may be
	}{
		"a free address":              {func(*model.Port) {}, ""},
		"an allowed one as its own":   {func(p *model.Port) { p.Addrs[0] = netip.MustParseAddr("10.2.0.50") }, `address 10.2.0.50 is one that port "port-1" is allowed to use`},
		"an auxiliary one as its own": {func(p *model.Port) { p.Addrs[0] = netip.MustParseAddr("10.2.0.60") }, `address 10.2.0.60 is auxiliary address "router" of segment "segment-2"`},
		"one of an allowed prefix":    {func(p *model.Port) { p.Addrs[0] = netip.MustParseAddr("10.2.0.99") }, ""},
		"an allowed one shared":       {func(p *model.Port) { p.AllowAddresses = []netip.Prefix{single("10.2.0.50")} }, ""},
		"an auxiliary one allowed":    {func(p *model.Port) { p.AllowAddresses = []netip.Prefix{single("10.2.0.60")} }, ""},
		"another's own allowed":       {func(p *model.Port) { p.AllowAddresses = []netip.Prefix{single("10.2.0.3")} }, `allowed address 10.2.0.3 is that of port "port-1"`},
		"the gateway's allowed":       {func(p *model.Port) { p.AllowAddresses = []netip.Prefix{single("10.2.0.1")} }, "allowed address 10.2.0.1 is the gateway's"},
		"a leased one allowed":        {func(p *model.Port) { p.AllowAddresses = []netip.Prefix{single("10.2.0.4")} }, "allowed address 10.2.0.4 is leased in pool 10.2.0.0/16"},
		"its own leased one allowed": {func(p *model.Port) {
			p.Addrs[0], p.AllowAddresses = netip.MustParseAddr("10.2.0.4"), []netip.Prefix{single("10.2.0.4")}
		}, ""},
		"a prefix over others allowed": {func(p *model.Port) { p.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")} }, ""},
		"one outside allowed":          {func(p *model.Port) { p.AllowAddresses = []netip.Prefix{single("10.9.0.1")} }, ""},
	} {
		p := modeltest.Port(20, 2)
		test.edit(&p)
		_, _, err := before.With(model.PutPort(p))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	lease := func(a string) model.Change {
		pool := modeltest.Pool(2)
		pool.Leases = append(pool.Leases, netip.MustParseAddr(a))
		return model.PutPool(pool)
	}
	with2 := func(edit func(*model.Segment)) model.Change {
		s := segment
		s.Subnets, s.AuxAddresses = slices.Clone(s.Subnets), maps.Clone(s.AuxAddresses)
		edit(&s)
		return model.PutSegment(s)
	}
	aux := func(name, a string) model.Change {
		return with2(func(s *model.Segment) { s.AuxAddresses[name] = netip.MustParseAddr(a) })
	}
	for want, change := range map[string]model.Change{
		`address 10.2.0.50 is one that port "port-1"`: lease("10.2.0.50"),
		`is auxiliary address "new"`:                  aux("new", first.Addrs[0].String()),
		"is a gateway's or outside":                   aux("new", "10.2.0.1"),
		"is a gateway's or outside the subnets":       aux("new", "10.3.0.1"),
		"is there twice":                              aux("new", "10.2.0.60"),
		"printable characters":                        aux("a\nb", "10.2.0.61"),
		"allowed address 10.2.0.50 is the gateway's": with2(func(s *model.Segment) {
			s.Subnets[0].Gateway = netip.MustParseAddr("10.2.0.50")
		}),
		"more than 256": with2(func(s *model.Segment) {
			for i := range 256 {
				s.AuxAddresses[fmt.Sprint(i)] = netip.AddrFrom4([4]byte{10, 2, 1, byte(i)})
			}
		}),
	} {
		if _, _, err := before.With(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want one with %q", change, err, want)
		}
	}
	with(t, before, lease("10.2.0.60"), lease("10.2.0.99"), aux("new", "10.2.0.50"))
	// What nobody is allowed any more is free.
	first.AllowAddresses = nil
	other := modeltest.Port(20, 2)
	other.Addrs[0] = netip.MustParseAddr("10.2.0.50")
	with(t, before, model.PutPort(first), model.PutPort(other))
	with(t, before, model.DeletePort(first.ID), model.PutPort(other))
}

// TestWhatAnEarlierVersionStored breaks the rules of the book: it is kept, and told of, and can be
// changed in every other way.
func TestWhatAnEarlierVersionStored(t *testing.T) {
	t.Parallel()
	r := bookRecords()
	newcomer := modeltest.Port(20, 2)
	newcomer.Addrs[0] = netip.MustParseAddr("10.2.0.50")
	newcomer.AllowAddresses = []netip.Prefix{single("10.2.0.1"), single("10.2.0.4")}
	r.Ports = append(r.Ports, newcomer)
	s := newState(t, r)
	wantRecords(t, s, r)
	var told []string
	for p, err := range s.Conflicts() {
		told = append(told, p.Name+": "+err.Error())
	}
	want := []string{
		`port-1: allowed address 10.2.0.50 is that of port "port-20"`,
		`port-20: address 10.2.0.50 is one that port "port-1" is allowed to use`,
	}
	if !slices.Equal(told, want) {
		t.Errorf("told are %q, want %q", told, want)
	}
	newcomer.Name, newcomer.LostReason = "renamed", "gone"
	first := r.Ports[0]
	first.AllowAddresses = append(slices.Clone(first.AllowAddresses), single("10.2.0.51"))
	s = with(t, s, model.PutPort(newcomer), model.PutPort(first), model.DeletePool(r.Pools[0].ID))
	newcomer.AllowAddresses, first.AllowAddresses = nil, nil
	s = with(t, s, model.PutPort(newcomer), model.PutPort(first))
	for p, err := range s.Conflicts() {
		t.Errorf("port %s: %v", p.Name, err)
	}
}

// TestASubnetOfOneAddress has no gateway, and every other has one.
func TestASubnetOfOneAddress(t *testing.T) {
	t.Parallel()
	s, p := modeltest.Segment(3), modeltest.Port(1, 3)
	one := netip.PrefixFrom(p.Addrs[0], 32)
	s.Subnets[0].Subnet = model.Subnet{Prefix: one, Range: one}
	state := with(t, model.Empty(), model.PutSegment(s), model.PutPort(p))
	other := modeltest.Port(2, 3)
	other.AllowAddresses = []netip.Prefix{one}
	if _, _, err := state.With(model.PutPort(other)); err == nil {
		t.Error("a second port was taken")
	}
	s.Subnets[0].Subnet = model.Subnet{Prefix: netip.PrefixFrom(one.Addr(), 31).Masked(), Range: one}
	if _, _, err := state.With(model.PutSegment(s)); err == nil || !strings.Contains(err.Error(), "gateway") {
		t.Errorf("two addresses without a gateway: %v", err)
	}
}

// naiveBook says what breaks the rules of the book, looking at everything for each address.
func naiveBook(r model.Records) error {
	leased := make(map[string][]netip.Addr)
	for _, p := range r.Pools {
		leased[p.ID] = p.Leases
	}
	for _, s := range r.Segments {
		subnet := s.Subnets[0]
		owner := map[netip.Addr]string{subnet.Gateway: "gateway"}
		for _, p := range r.Ports {
			if a := p.Addrs[0]; p.SegmentID == s.ID {
				if by, taken := owner[a]; taken {
					return fmt.Errorf("%s is that of %s and %s", a, by, p.Name)
				}
				owner[a] = p.Name
			}
		}
		aux := make(map[netip.Addr]bool)
		for name, a := range s.AuxAddresses {
			if by, taken := owner[a]; taken || aux[a] {
				return fmt.Errorf("%s is aux %s and that of %s", a, name, by)
			}
			aux[a] = true
		}
		for _, p := range r.Ports {
			if p.SegmentID != s.ID {
				continue
			}
			for _, allowed := range p.AllowAddresses {
				a := allowed.Addr()
				if allowed.Bits() < 32 || !subnet.Prefix.Contains(a) || owner[a] == p.Name {
					continue
				}
				if by, taken := owner[a]; taken || !aux[a] && slices.Contains(leased[subnet.PoolID], a) {
					return fmt.Errorf("%s is allowed to %s and that of %q", a, p.Name, by)
				}
			}
		}
	}
	return nil
}

// bookStep makes a change at random, among few addresses.
func bookStep(random *rand.Rand) model.Change {
	n, s := random.IntN(6), 1+random.IntN(2)
	anAddr := func() netip.Addr { return netip.AddrFrom4([4]byte{10, byte(s), 0, byte(1 + random.IntN(8))}) }
	switch random.IntN(10) {
	case 0:
		return model.DeletePort(modeltest.Port(n, s).ID)
	case 1:
		return model.DeletePool(modeltest.Pool(s).ID)
	case 2:
		pool := modeltest.Pool(s)
		pool.Leases = nil
		for range random.IntN(4) {
			pool.Leases = append(pool.Leases, anAddr())
		}
		return model.PutPool(pool)
	case 3, 4:
		segment := modeltest.Segment(s)
		if random.IntN(2) == 0 {
			segment.Subnets[0].PoolID = modeltest.Pool(s).ID
		}
		if random.IntN(4) == 0 {
			segment.Subnets[0].Gateway = anAddr()
		}
		segment.AuxAddresses = make(map[string]netip.Addr)
		for i := range random.IntN(3) {
			segment.AuxAddresses[fmt.Sprint(i)] = anAddr()
		}
		return model.PutSegment(segment)
	case 5:
		return model.DeleteSegment(modeltest.ID(s))
	}
	p := modeltest.Port(n, s)
	p.Addrs[0] = anAddr()
	for range random.IntN(3) {
		p.AllowAddresses = append(p.AllowAddresses, netip.PrefixFrom(anAddr(), 32-random.IntN(2)).Masked())
	}
	return model.PutPort(p)
}

// TestRandomBooks: no change leads to a state that breaks the rules, and a port is refused only
// where the state with it would.
func TestRandomBooks(t *testing.T) {
	t.Parallel()
	random := seed.New(t)
	for range 300 {
		s := model.Empty()
		for range 120 {
			change := bookStep(random)
			next, _, err := s.With(change)
			if err != nil {
				continue
			}
			s = next
			if err := naiveBook(s.Records()); err != nil {
				t.Fatalf("%s: %v", change, err)
			}
			for p, err := range s.Conflicts() {
				t.Fatalf("%s: port %s: %v", change, p.Name, err)
			}
		}
	}
}
