package dns

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Bounds of the datagrams that are looked at of one client: far more than anyone
// asks who means it, and little enough that looking at them leaves time for
// others.
const (
	window       = 100 * time.Millisecond
	maxPerWindow = 500
	numWindows   = 256 // clients share one where their addresses' hashes agree
)

// shares bounds how much of a socket's time each client takes. It is for one
// goroutine.
type shares struct {
	start   time.Time
	seed    maphash.Seed
	windows [numWindows]struct {
		number time.Duration // in windows from the start
		count  int           // of datagrams that have come in it
	}
}

func newShares() *shares { return &shares{start: time.Now(), seed: maphash.MakeSeed()} }

// admit says whether a client has sent less than its share in this window.
func (s *shares) admit(client netip.Addr) bool {
	w, now := &s.windows[maphash.Comparable(s.seed, client)%numWindows], time.Since(s.start)/window
	if w.number != now {
		w.number, w.count = now, 0
	}
	w.count++
	return w.count <= maxPerWindow
}
