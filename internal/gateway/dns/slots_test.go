package dns

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

var (
	otherClient = netip.MustParseAddr("172.17.0.3")
	thirdClient = netip.MustParseAddr("172.17.0.4")
)

// waiter is a ticket whose turn is awaited.
type waiter struct {
	*ticket
	waited bool
	ended  bool
	err    error
}

// awaits enters one of a client's and awaits its turn for d at most.
func awaits(tb testing.TB, s *slots, addr netip.Addr, d time.Duration) *waiter {
	tb.Helper()
	w := &waiter{ticket: s.enter(addr)}
	if w.ticket == nil {
		tb.Fatalf("%s cannot enter", addr)
	}
	go func() {
		ctx, cancel := context.WithTimeout(tb.Context(), d)
		defer cancel()
		w.err = w.await(ctx, func() { w.waited = true })
		w.ended = true
	}()
	synctest.Wait()
	return w
}

// expect compares what a waiter has come to.
func (w *waiter) expect(tb testing.TB, what string, turn, waited bool) {
	tb.Helper()
	synctest.Wait()
	if got := w.ended && w.err == nil; got != turn || w.waited != waited {
		tb.Errorf("%s: its turn %t, has waited %t, want %t and %t", what, got, w.waited, turn, waited)
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(bounds{active: 3, activeEach: 2, pending: 100, pendingEach: 50})
		first, second := awaits(t, s, client, time.Hour), awaits(t, s, client, time.Hour)
		third, fourth := awaits(t, s, client, time.Hour), awaits(t, s, client, time.Hour)
		first.expect(t, "the first", true, false)
		second.expect(t, "the second", true, false)
		third.expect(t, "the third of a client", false, true)
		other, next := awaits(t, s, otherClient, time.Hour), awaits(t, s, thirdClient, time.Hour)
		other.expect(t, "another client's", true, false)
		next.expect(t, "one beyond all slots", false, true)

		// What ends makes room: in all for who waits longest, and of its client's.
		first.leave()
		third.expect(t, "the client's next, behind another client's", false, true)
		next.expect(t, "who waits for a slot of all", true, true)
		other.leave()
		third.expect(t, "the client's next", true, true)
		fourth.expect(t, "the client's last", false, true)
		for _, w := range []*waiter{second, third, next} {
			w.leave()
		}
		fourth.expect(t, "the last", true, true)
		fourth.leave()
		if s.pending != 0 || len(s.clients) != 0 || !s.all.TryAcquire(s.bounds.active) {
			t.Errorf("in the end %d are pending, of %d clients", s.pending, len(s.clients))
		}
	})
}

// Who waits for no longer takes no slot, and holds up nobody.
func TestTurnsThatComeTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(bounds{active: 2, activeEach: 1, pending: 100, pendingEach: 50})
		first, other := awaits(t, s, client, time.Hour), awaits(t, s, otherClient, time.Hour)
		own := awaits(t, s, client, time.Second)      // waits for its client's
		all := awaits(t, s, thirdClient, time.Second) // waits for one of all
		last := awaits(t, s, thirdClient, time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		for _, w := range []*waiter{own, all} {
			if !w.ended || !errors.Is(w.err, context.DeadlineExceeded) {
				t.Errorf("after its time: ended %t, %v", w.ended, w.err)
			}
			w.leave()
		}
		other.leave()
		last.expect(t, "who still waits", true, true)
		last.leave()
		first.leave()
		if s.pending != 0 || len(s.clients) != 0 || !s.all.TryAcquire(s.bounds.active) {
			t.Errorf("in the end %d are pending, of %d clients", s.pending, len(s.clients))
		}
	})
}

func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	s := newSlots(bounds{active: 1, activeEach: 1, pending: 5, pendingEach: 3})
	enter := func(addr netip.Addr, want int) (tickets []*ticket) {
		for t := s.enter(addr); t != nil; t = s.enter(addr) {
			tickets = append(tickets, t)
		}
		if len(tickets) != want {
			t.Errorf("%s has entered %d, want %d", addr, len(tickets), want)
		}
		return tickets
	}
	tickets := enter(client, 3)
	enter(otherClient, 2) // what is left of all
	enter(thirdClient, 0)
	tickets[0].leave()
	enter(thirdClient, 1)
	enter(client, 0)
}
