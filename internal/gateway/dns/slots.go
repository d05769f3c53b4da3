package dns

import (
	"context"
	"net/netip"
	"sync"

	"golang.org/x/sync/semaphore"
)

// bounds are those of what a resolver does for its clients. One client cannot take all of
// either.
type bounds struct {
	active, activeEach   int64 // at the same time, in all and for a client
	pending, pendingEach int   // active or waiting to be, in all and of a client
}

var (
	// questionBounds are those of the questions to the host's resolvers. An active one holds a
	// socket. A program that looks up a thousand names asks for two kinds of addresses of each.
	questionBounds = bounds{active: 1024, activeEach: 256, pending: 8192, pendingEach: 2048}
	// connBounds are those of TCP connections (RFC 7766 §6.2.2). None waits for its turn: that
	// would hold a socket as well.
	connBounds = bounds{pending: 2048, pendingEach: 512}
)

// slots keeps what is active and what waits within bounds. A client's get their turn in the order
// in which they came, as do the foremost of all clients.
type slots struct {
	bounds bounds
	all    *semaphore.Weighted // of the active ones

	mu      sync.Mutex
	pending int                         // guarded by mu
	clients map[netip.Addr]*clientSlots // those with something pending; guarded by mu
}

// clientSlots are those of one client.
type clientSlots struct {
	own     *semaphore.Weighted // of its active ones
	pending int                 // guarded by the mutex of slots
}

// ticket is one pending question or connection.
type ticket struct {
	slots  *slots
	addr   netip.Addr
	client *clientSlots
	active bool
}

func newSlots(b bounds) *slots {
	return &slots{
		bounds: b, all: semaphore.NewWeighted(b.active),
		clients: make(map[netip.Addr]*clientSlots),
	}
}

// enter adds one of a client's to what is pending, until it is left; nil: there is too much.
func (s *slots) enter(addr netip.Addr) *ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[addr]
	if s.pending >= s.bounds.pending || c != nil && c.pending >= s.bounds.pendingEach {
		return nil
	}
	if c == nil {
		c = &clientSlots{own: semaphore.NewWeighted(s.bounds.activeEach)}
		s.clients[addr] = c
	}
	s.pending++
	c.pending++
	return &ticket{slots: s, addr: addr, client: c}
}

// await returns when it is the ticket's turn, or with an error when ctx ends before. It calls
// waits once if that is not at once.
func (t *ticket) await(ctx context.Context, waits func()) error {
	waits = sync.OnceFunc(waits)
	if err := acquire(ctx, t.client.own, waits); err != nil {
		return err
	}
	if err := acquire(ctx, t.slots.all, waits); err != nil {
		t.client.own.Release(1)
		return err
	}
	t.active = true
	return nil
}

func acquire(ctx context.Context, s *semaphore.Weighted, waits func()) error {
	if s.TryAcquire(1) {
		return nil
	}
	waits()
	return s.Acquire(ctx, 1)
}

// leave ends what the ticket is for.
func (t *ticket) leave() {
	if t.active {
		t.slots.all.Release(1)
		t.client.own.Release(1)
	}
	s := t.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
	if t.client.pending--; t.client.pending == 0 {
		delete(s.clients, t.addr)
	}
}
