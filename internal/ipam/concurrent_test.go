package ipam

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
)

// Many goroutines lease and release in one subnet. Each holds what it leased in
// a map that all share; an address that is there already was given out twice.
func TestConcurrentLeases(t *testing.T) {
	t.Parallel()
	const workers, rounds, held = 8, 400, 20
	s := add(t, newAllocator(t), config("10.0.0.0/24", "", ""))
	var owned sync.Map
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var mine []netip.Addr
			for i := range rounds {
				var want netip.Addr
				if i%5 == 0 { // now and then all go for the same few
					want = netip.AddrFrom4([4]byte{10, 0, 0, byte(200 + i%16)})
				}
				got, err := s.Allocate(want)
				if err != nil {
					if !errors.Is(err, ErrInUse) {
						t.Errorf("Allocate(%s): %v", want, err)
					}
					continue
				}
				if _, taken := owned.LoadOrStore(got, true); taken {
					t.Errorf("%s was leased twice", got)
				}
				if mine = append(mine, got); len(mine) == held {
					giveBack(t, s, &owned, mine[0])
					mine = mine[1:]
				}
			}
			for _, a := range mine {
				giveBack(t, s, &owned, a)
			}
		})
	}
	wg.Wait()
	if n := s.InUse(); n != 0 {
		t.Fatalf("%d leases left after all were released: %v", n, s.Leases())
	}
}

func giveBack(t *testing.T, s *Subnet, owned *sync.Map, a netip.Addr) {
	t.Helper()
	owned.Delete(a)
	if err := s.Release(a); err != nil {
		t.Errorf("Release(%s): %v", a, err)
	}
}

func TestConcurrentFill(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/24", "", ""))
	var mu sync.Mutex
	seen := map[netip.Addr]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				got, err := s.Allocate(netip.Addr{})
				if err != nil {
					if !errors.Is(err, ErrFull) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				if seen[got] {
					t.Errorf("%s was leased twice", got)
				}
				seen[got] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != s.Capacity() || s.InUse() != s.Capacity() {
		t.Fatalf("%d leases handed out, %d in use, want %d", len(seen), s.InUse(), s.Capacity())
	}
}

func TestConcurrentSubnets(t *testing.T) {
	t.Parallel()
	a := newAllocator(t, Pool{prefix("10.0.0.0/16"), 24})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 40 {
				s, err := a.Add(SubnetConfig{}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if i%4 == 0 {
					if err := a.Remove(s); err != nil {
						t.Error(err)
					}
				}
				a.Subnets()
			}
		})
	}
	wg.Wait()
	all := a.Subnets()
	if len(all) != 8*30 {
		t.Fatalf("%d subnets, want %d", len(all), 8*30)
	}
	for i := 1; i < len(all); i++ {
		if !all[i-1].Prefix().Addr().Less(all[i].Prefix().Addr()) || all[i-1].Prefix().Overlaps(all[i].Prefix()) {
			t.Fatalf("subnets %s and %s are out of order or overlap", all[i-1].Prefix(), all[i].Prefix())
		}
	}
}

// Whoever comes first, removal or lease, the other is refused.
func TestRemoveAgainstAllocate(t *testing.T) {
	t.Parallel()
	for range 200 {
		a := newAllocator(t, DefaultPools()...)
		s := add(t, a, SubnetConfig{})
		var leaseErr, removeErr error
		var wg sync.WaitGroup
		wg.Go(func() { _, leaseErr = s.Allocate(netip.Addr{}) })
		wg.Go(func() { removeErr = a.Remove(s) })
		wg.Wait()
		if removeErr == nil {
			fails(t, leaseErr, ErrInvalid, "removed")
		} else {
			fails(t, removeErr, ErrInUse)
			if leaseErr != nil {
				t.Fatalf("both were refused: %v, %v", leaseErr, removeErr)
			}
		}
	}
}
