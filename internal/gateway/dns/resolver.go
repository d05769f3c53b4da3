package dns

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/time/rate"

	"vswitch/internal/gateway/turns"
)

const (
	// maxUDP is what fits a path of 1280 bytes, IPv6's least (DNS flag day 2020):
	// longer answers take TCP rather than fragments.
	maxUDP = 1232

	// ttl is how many seconds an answer about the segment may be kept: containers
	// come and go.
	ttl = 5
)

// Config is what a [Resolver] is made with.
type Config struct {
	// Subnets hold the addresses that may ask, and those that are nobody else's to
	// name: of IPv4, of IPv6 or of both. An address with a zone is in none.
	Subnets []netip.Prefix
	Names   *Names
	// Forwarder is asked for all names that are not the segment's; nil: there are
	// no other names.
	Forwarder *Forwarder
	// Timeout is how long a question has for its turn and its answer; 0: DefaultTimeout.
	Timeout time.Duration
	// OnLimit is called when a client meets a limit, once in a noticeEvery for each at most and
	// from any goroutine; nil: nobody wants to know. The zero Addr is a client that is not known.
	OnLimit func(l Limit, client netip.Addr)
}

// DefaultTimeout is less than the 5 seconds after which a client asks again
// (resolv.conf(5)), so that it learns of the failure.
const DefaultTimeout = 4 * time.Second

// Resolver answers the queries of one segment.
type Resolver struct {
	config    Config
	questions *slots // of those that are forwarded
	conns     *slots
	// unanswered are the questions that were read from a socket, by their clients.
	unanswered *turns.Queue[netip.Addr, datagram]
	met        [LimitCount]atomic.Uint64
	notices    [LimitCount]rate.Sometimes
	ctx        context.Context // of all that takes time
	cancel     context.CancelFunc

	mu     sync.Mutex
	closed bool // guarded by mu, as is adding to tasks
	tasks  sync.WaitGroup
}

// NewResolver makes a resolver, which the caller must Close.
func NewResolver(c Config) *Resolver {
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	r := &Resolver{config: c, questions: newSlots(questionBounds), conns: newSlots(connBounds)}
	r.unanswered = turns.New[netip.Addr, datagram](maxUnanswered)
	for l := range r.notices {
		r.notices[l].Interval = noticeEvery
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends all queries under way and waits for whoever serves them. The caller
// closes its sockets first.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.tasks.Wait()
}

// spawn runs f and has Close wait for it; false once the resolver is closed.
func (r *Resolver) spawn(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.tasks.Go(f)
	return true
}

// Handle answers a query that came as a datagram from an address. reply gets the
// answer, of at most room bytes (512 at the least, which every client takes), if
// there is one: before Handle returns or, when the query is forwarded, later and
// from another goroutine. query is not kept. One that is too much gets no answer, so
// that its client asks again later.
func (r *Resolver) Handle(query []byte, from netip.Addr, room int, reply func([]byte)) {
	q := r.read(query, from)
	if q == nil {
		return
	}
	q.room = min(q.room, max(room, mdns.MinMsgSize))
	if answer := r.local(q); answer != nil {
		deliver(q.pack(answer), reply)
		return
	}
	t := r.enter(from)
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.config.Timeout)
	spawned := r.spawn(func() {
		defer cancel()
		defer t.leave()
		deliver(q.pack(r.forward(ctx, q, t)), reply)
	})
	if !spawned {
		cancel()
		t.leave()
	}
}

// enter adds a question of a client's to those that are forwarded; nil: it is dropped.
func (r *Resolver) enter(from netip.Addr) *ticket {
	t := r.questions.enter(from)
	if t == nil {
		r.meet(TooManyWaiting, from, 1)
	}
	return t
}

func deliver(answer []byte, reply func([]byte)) {
	if answer != nil {
		reply(answer)
	}
}

// handleStream answers a query that came over TCP, and takes its time for it. nil
// is no answer.
func (r *Resolver) handleStream(query []byte, from netip.Addr) []byte {
	q := r.read(query, from)
	if q == nil {
		return nil
	}
	q.room = mdns.MaxMsgSize
	answer := r.local(q)
	if answer == nil {
		t := r.enter(from)
		if t == nil {
			return nil
		}
		defer t.leave()
		ctx, cancel := context.WithTimeout(r.ctx, r.config.Timeout)
		defer cancel()
		answer = r.forward(ctx, q, t)
	}
	return q.pack(answer)
}

// local answers what needs nobody else; nil: the query is to be forwarded.
func (r *Resolver) local(q *query) *mdns.Msg {
	if code := q.refusal(); code != mdns.RcodeSuccess {
		return q.failure(code)
	}
	question := q.msg.Question[0]
	if all, ok := r.config.Names.lookup(question.Name); ok {
		return q.addresses(all)
	}
	if addr, ok := reverseAddr(question.Name); ok && r.inSegment(addr) {
		return q.pointer(r.config.Names.reverse(addr))
	}
	if r.config.Forwarder == nil {
		return q.failure(mdns.RcodeNameError)
	}
	return nil
}

// inSegment reports whether an address is one of the segment's.
func (r *Resolver) inSegment(addr netip.Addr) bool {
	return slices.ContainsFunc(r.config.Subnets, func(subnet netip.Prefix) bool {
		return subnet.Contains(addr)
	})
}

// forward has the host's resolvers answer when it is the question's turn. ctx has the time of
// both.
func (r *Resolver) forward(ctx context.Context, q *query, t *ticket) *mdns.Msg {
	if err := t.await(ctx, func() { r.meet(Waited, t.addr, 1) }); err != nil {
		if r.ctx.Err() == nil {
			r.meet(WaitedTooLong, t.addr, 1)
		}
		return q.failure(mdns.RcodeServerFailure)
	}
	answer, err := r.config.Forwarder.exchange(ctx, q.upstream())
	if err != nil {
		return q.failure(mdns.RcodeServerFailure)
	}
	return answer
}
