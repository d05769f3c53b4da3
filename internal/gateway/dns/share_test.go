package dns

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShares()
		for n := range maxPerWindow + 1 {
			if got, want := s.admit(client), n < maxPerWindow; got != want {
				t.Fatalf("datagram %d: admitted %t, want %t", n, got, want)
			}
		}
		others := 0
		for n := range 100 {
			if s.admit(netip.AddrFrom4([4]byte{172, 17, 1, byte(n)})) {
				others++
			}
		}
		if others < 90 { // a few may share its window
			t.Errorf("%d of 100 others were admitted", others)
		}
		time.Sleep(window)
		if !s.admit(client) {
			t.Error("not admitted after its time")
		}
	})
}
