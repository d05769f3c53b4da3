package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"
)

// Forwarder passes questions on to other resolvers. Each goes out from a port and
// with an id of its own. It may be shared by several resolvers.
type Forwarder struct {
	servers func() []netip.AddrPort
	first   atomic.Uint32 // which of the servers answered last
}

// NewForwarder forwards to what servers returns at the time, the first preferred.
func NewForwarder(servers func() []netip.AddrPort) *Forwarder { return &Forwarder{servers: servers} }

// leastTries is how often a question is sent if nobody answers it: datagrams get
// lost.
const leastTries = 2

// exchange asks one server after the other, beginning with the one that answered
// last, until one gives an answer that others would not better, or ctx ends.
func (f *Forwarder) exchange(ctx context.Context, query *mdns.Msg) (answer *mdns.Msg, err error) {
	servers := f.servers()
	if len(servers) == 0 {
		return nil, errors.New("the host names no resolver")
	}
	first := int(f.first.Load())
	tries := max(leastTries, len(servers))
	for i := range tries {
		at := (first + i) % len(servers)
		var reply *mdns.Msg
		if reply, err = attempt(ctx, query, servers[at], tries-i); err != nil {
			if ctx.Err() != nil {
				break
			}
			continue
		}
		answer = reply
		if reply.Rcode == mdns.RcodeSuccess || reply.Rcode == mdns.RcodeNameError {
			f.first.Store(uint32(at))
			return answer, nil
		}
	}
	if answer != nil { // a server's refusal tells more than ours
		return answer, nil
	}
	return nil, err
}

// attempt asks one server, by TCP as well if the answer needs it, and leaves time
// for as many more tries as are left.
func attempt(ctx context.Context, query *mdns.Msg, server netip.AddrPort, left int) (*mdns.Msg, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	reply, err := ask(ctx, "udp", query, server)
	if err == nil && reply.Truncated {
		var whole *mdns.Msg
		if whole, err = ask(ctx, "tcp", query, server); err != nil {
			return reply, nil // the client sees that it is cut off, and may try TCP itself
		}
		reply = whole
	}
	return reply, err
}

// maxReply is the size in bytes of a datagram that is read: more than any server
// is told that it may send.
const maxReply = 4096

// ask sends a question to one server and waits for its answer until ctx ends.
func ask(ctx context.Context, network string, query *mdns.Msg, server netip.AddrPort) (*mdns.Msg, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	c := &mdns.Conn{Conn: conn, UDPSize: maxReply}
	if err := c.WriteMsg(query); err != nil {
		return nil, err
	}
	for {
		reply, err := c.ReadMsg()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("resolver %s: %w", server, ctx.Err())
		case err != nil && (reply == nil || network == "tcp"):
			return nil, fmt.Errorf("resolver %s: %w", server, err)
		case err == nil && answers(reply, query):
			return reply, nil
		case network == "tcp":
			return nil, fmt.Errorf("resolver %s answers another question", server)
		}
		// Somebody guesses at our port and id, or the datagram is of no use: the
		// server's own answer may still come.
	}
}

// answers says whether reply is one to query (RFC 5452 §9.1). The socket has seen
// to the addresses and ports.
func answers(reply, query *mdns.Msg) bool {
	if !reply.Response || reply.Id != query.Id || len(reply.Question) != 1 {
		return false
	}
	got, want := reply.Question[0], query.Question[0]
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}
