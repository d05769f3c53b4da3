package ipam

import (
	"net/netip"
	"testing"
)

func TestLeasesGoUpwards(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", ""))
	for _, want := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"} {
		lease(t, s, "", want)
	}
	_, err := s.Allocate(netip.Addr{})
	fails(t, err, ErrFull, "10.0.0.0/29 is full: 5 addresses all in use")
	if s.InUse() != 5 || s.Capacity() != 5 {
		t.Fatalf("%d of %d in use, want 5 of 5", s.InUse(), s.Capacity())
	}
}

func TestReleasedAddressesComeLastAndInOrder(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", ""))
	lease(t, s, "", "10.0.0.2")
	lease(t, s, "", "10.0.0.3")
	lease(t, s, "", "10.0.0.4")
	release(t, s, "10.0.0.3")
	release(t, s, "10.0.0.4")
	release(t, s, "10.0.0.2")
	lease(t, s, "", "10.0.0.5") // never used yet
	lease(t, s, "", "10.0.0.6")
	lease(t, s, "", "10.0.0.3") // then the oldest
	release(t, s, "10.0.0.3")   // and to the end of the queue again
	lease(t, s, "", "10.0.0.4")
	lease(t, s, "", "10.0.0.2")
	lease(t, s, "", "10.0.0.3")
	_, err := s.Allocate(netip.Addr{})
	fails(t, err, ErrFull)
	release(t, s, "10.0.0.5")
	lease(t, s, "", "10.0.0.5")
}

func TestRequestedAddressAheadOfTheCursor(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", ""))
	lease(t, s, "10.0.0.3", "10.0.0.3")
	lease(t, s, "10.0.0.5", "10.0.0.5")
	release(t, s, "10.0.0.5") // no longer one that was never used
	lease(t, s, "", "10.0.0.2")
	lease(t, s, "", "10.0.0.4")
	lease(t, s, "", "10.0.0.6")
	lease(t, s, "", "10.0.0.5")
	sameAddrs(t, s.Leases(), "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6")
}

func TestRequestedAddressLeavesTheQueue(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", "10.0.0.0/30"))
	lease(t, s, "", "10.0.0.2")
	lease(t, s, "", "10.0.0.3")
	release(t, s, "10.0.0.2")
	release(t, s, "10.0.0.3")
	lease(t, s, "10.0.0.2", "10.0.0.2")
	lease(t, s, "", "10.0.0.3")
	_, err := s.Allocate(netip.Addr{})
	fails(t, err, ErrFull)
}

func TestRangeBoundsAutomaticLeasesOnly(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/24", "", "10.0.0.8/30"))
	for _, want := range []string{"10.0.0.9", "10.0.0.10", "10.0.0.11"} {
		lease(t, s, "", want)
	}
	_, err := s.Allocate(netip.Addr{})
	fails(t, err, ErrFull, "10.0.0.8/30", "10.0.0.0/24", "3 addresses all in use")

	lease(t, s, "10.0.0.200", "10.0.0.200")
	release(t, s, "10.0.0.200")
	_, err = s.Allocate(netip.Addr{})
	fails(t, err, ErrFull) // what was released outside the range is not handed out
	lease(t, s, "10.0.0.200", "10.0.0.200")
	sameAddrs(t, s.Leases(), "10.0.0.9", "10.0.0.10", "10.0.0.11", "10.0.0.200")
}

func TestAllocateRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		kind       error
		says       []string
	}{
		{"below", "10.0.0.255", ErrOutside, []string{"10.0.0.255", "10.0.1.0/24"}},
		{"above", "10.0.2.0", ErrOutside, []string{"10.0.2.0", "10.0.1.0/24"}},
		{"unspecified", "0.0.0.0", ErrOutside, []string{"0.0.0.0"}},
		{"IPv6", "fd00::1", ErrOutside, []string{"fd00::1"}},
		{"gateway", "10.0.1.1", ErrInUse, []string{"10.0.1.1", "gateway"}},
		{"network", "10.0.1.0", ErrInUse, []string{"10.0.1.0", "network address"}},
		{"broadcast", "10.0.1.255", ErrInUse, []string{"10.0.1.255", "broadcast address"}},
		{"leased", "10.0.1.2", ErrInUse, []string{"10.0.1.2", "already in use"}},
		{"leased, in 16-byte form", "::ffff:10.0.1.2", ErrInUse, []string{"10.0.1.2", "already in use"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := add(t, newAllocator(t), config("10.0.1.0/24", "", ""))
			lease(t, s, "", "10.0.1.2")
			_, err := s.Allocate(addr(tc.want))
			fails(t, err, tc.kind, tc.says...)
			sameAddrs(t, s.Leases(), "10.0.1.2")
			lease(t, s, "", "10.0.1.3")
		})
	}
}

func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/24", "", ""))
	lease(t, s, "", "10.0.0.2")
	lease(t, s, "::ffff:10.0.0.3", "10.0.0.3")
	release(t, s, "::ffff:10.0.0.3")
	for _, a := range []string{"", "10.0.0.0", "10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.0.255", "10.9.9.9", "fd00::1"} {
		fails(t, s.Release(addr(a)), ErrNotLeased, "10.0.0.0/24")
	}
	sameAddrs(t, s.Leases(), "10.0.0.2")
}

func TestLeasesOfAnEmptySubnet(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/24", "", ""))
	if got := s.Leases(); len(got) != 0 || s.InUse() != 0 {
		t.Fatalf("a new subnet has leases %v, %d in use", got, s.InUse())
	}
}

// A scan from the start for each lease would need ten thousand million steps
// here and not come to an end.
func TestManyLeases(t *testing.T) {
	t.Parallel()
	const n = 150_000
	s := add(t, newAllocator(t), config("10.0.0.0/8", "", ""))
	want := addr("10.0.0.2")
	for range n {
		got, err := s.Allocate(netip.Addr{})
		if err != nil || got != want {
			t.Fatalf("got %s, %v; want %s", got, err, want)
		}
		want = want.Next()
	}
	for _, a := range s.Leases() {
		if err := s.Release(a); err != nil {
			t.Fatal(err)
		}
	}
	if s.InUse() != 0 {
		t.Fatalf("%d leases left of %d released", s.InUse(), n)
	}
	lease(t, s, "", want.String())
}

func BenchmarkAllocateRelease(b *testing.B) {
	a, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	s, err := a.Add(config("10.0.0.0/12", "", ""), nil)
	if err != nil {
		b.Fatal(err)
	}
	for range s.Capacity() - 1 {
		if _, err := s.Allocate(netip.Addr{}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		got, err := s.Allocate(netip.Addr{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Release(got); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCancelLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", ""))
	cancel := func(a string) {
		t.Helper()
		if err := s.Cancel(addr(a)); err != nil {
			t.Fatalf("Cancel(%s): %v", a, err)
		}
	}
	lease(t, s, "", "10.0.0.2")
	cancel("10.0.0.2")
	lease(t, s, "", "10.0.0.2") // not .3: the first was never given
	lease(t, s, "10.0.0.5", "10.0.0.5")
	cancel("10.0.0.5")
	lease(t, s, "", "10.0.0.3")
	lease(t, s, "", "10.0.0.4")
	lease(t, s, "", "10.0.0.5") // a cancelled request is as good as new
	lease(t, s, "", "10.0.0.6")
	release(t, s, "10.0.0.4")
	release(t, s, "10.0.0.3")
	lease(t, s, "", "10.0.0.4")
	cancel("10.0.0.4")
	lease(t, s, "", "10.0.0.4") // still the one released first
	lease(t, s, "", "10.0.0.3")
	cancel("10.0.0.4") // not the latest: released
	lease(t, s, "", "10.0.0.4")
	fails(t, s.Cancel(addr("10.0.0.1")), ErrNotLeased)
}
