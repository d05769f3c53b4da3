package dns

import (
	"fmt"
	"net/netip"
	"time"
)

// Limit is a bound that what clients send has met, see [Config.OnLimit].
type Limit uint8

// The limits. All but Waited cost the client an answer.
const (
	Waited             Limit = iota // a question has to wait for its turn
	WaitedTooLong                   // its time is over before its turn: it is answered SERVFAIL
	TooManyWaiting                  // a question is not answered: too many wait
	TooManyConnections              // a connection is closed: too many are open
	TooLong                         // a connection is closed: its question is too long
	SocketFull                      // a datagram found no room in the socket
	QueueFull                       // a datagram is not answered: too many of its client wait

	// LimitCount is the number of limits: all are less than it.
	LimitCount = iota
)

var limitNames = [LimitCount]string{
	Waited:             "waited",
	WaitedTooLong:      "waited-too-long",
	TooManyWaiting:     "too-many-waiting",
	TooManyConnections: "too-many-connections",
	TooLong:            "too-long",
	SocketFull:         "socket-full",
	QueueFull:          "queue-full",
}

// String returns the limit's name in the metrics and the log.
func (l Limit) String() string {
	if int(l) < len(limitNames) {
		return limitNames[l]
	}
	return fmt.Sprintf("limit(%d)", uint8(l))
}

// noticeEvery is how often a client can have people told of a limit.
const noticeEvery = time.Minute

// Met returns how often each limit was met.
func (r *Resolver) Met() (n [LimitCount]uint64) {
	for l := range n {
		n[l] = r.met[l].Load()
	}
	return n
}

// Lost counts datagrams that found no room in the socket that they were sent to.
func (r *Resolver) Lost(n uint64) { r.meet(SocketFull, netip.Addr{}, n) }

// meet counts that a client has met a limit n times; the zero Addr: it is not known which.
func (r *Resolver) meet(l Limit, client netip.Addr, n uint64) {
	r.met[l].Add(n)
	if r.config.OnLimit != nil {
		r.notices[l].Do(func() { r.config.OnLimit(l, client) })
	}
}
