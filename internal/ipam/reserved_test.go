package ipam

import (
	"net/netip"
	"testing"
)

// TestReservedAddresses are passed over, and given out once they are not reserved any more.
func TestReservedAddresses(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", ""))
	reserved := func(list ...string) func(netip.Addr) bool {
		return func(a netip.Addr) bool {
			for _, text := range list {
				if a == addr(text) {
					return true
				}
			}
			return false
		}
	}
	next := func(want string, list ...string) {
		t.Helper()
		if got, err := s.AllocateNext(reserved(list...)); err != nil || got != addr(want) {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	}
	next("10.0.0.3", "10.0.0.2")
	if err := s.Cancel(addr("10.0.0.3")); err != nil { // as if it had never been given
		t.Fatal(err)
	}
	next("10.0.0.2", "10.0.0.3")
	next("10.0.0.4", "10.0.0.3")
	next("10.0.0.5", "10.0.0.3")
	next("10.0.0.6", "10.0.0.3")
	_, err := s.AllocateNext(reserved("10.0.0.3"))
	fails(t, err, ErrFull, "5 addresses all in use or reserved (1)")
	next("10.0.0.3")
	_, err = s.AllocateNext(reserved())
	fails(t, err, ErrFull, "5 addresses all in use: release one")
}

// TestCheckHost refuses what no host may have, and takes what is leased.
func TestCheckHost(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", ""))
	lease(t, s, "10.0.0.3", "10.0.0.3")
	for _, a := range []string{"10.0.0.2", "10.0.0.3", "::ffff:10.0.0.4"} {
		if err := s.CheckHost(addr(a)); err != nil {
			t.Error(err)
		}
	}
	fails(t, s.CheckHost(addr("10.0.0.0")), ErrInUse, "network address")
	fails(t, s.CheckHost(addr("10.0.0.1")), ErrInUse, "gateway's address")
	fails(t, s.CheckHost(addr("10.0.0.7")), ErrInUse, "broadcast address")
	fails(t, s.CheckHost(addr("10.0.1.1")), ErrOutside, "10.0.0.0/29")
}
