package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"

	"vswitch/internal/frame"
)

// Bounds of [pingOptions].
const (
	maxIPHeaderLen = 60
	icmpHeaderLen  = 8 // type, code, checksum, identifier, sequence number
	maxPingSize    = 65535 - frame.IPv4HeaderLen - icmpHeaderLen
	// minInterval is about what the runtime's timers keep; a shorter interval
	// would also leave no time to read replies between two requests.
	minInterval = time.Millisecond
	// maxTimeout keeps the requests under way at minInterval below the 65536 that
	// the sequence number tells apart.
	maxTimeout = time.Minute
)

// pingOptions says how to ping. The zero value sends three requests of ping's usual
// size, each when the one before it is settled.
type pingOptions struct {
	// Count is the number of requests; 0 stands for 3.
	Count int
	// Interval is the time from one request to the next, at least 1ms. 0 sends
	// each as soon as the one before it is answered or given up.
	Interval time.Duration
	// Timeout is how long each request waits for its answer, at most 1m; what
	// comes later is lost. 0 stands for 1s.
	Timeout time.Duration
	// Size is the number of data bytes in each request, at most 65507; 0 stands
	// for 56, as with ping.
	Size int
	// Listen opens the socket, which ping closes. It runs on the goroutine that
	// called ping, so a caller whose thread is in another namespace pings from
	// there. The socket takes [*net.IPAddr] and hands out ICMP messages without
	// the IP header. nil stands for net.ListenPacket("ip4:icmp", "0.0.0.0"), a raw
	// socket, which takes CAP_NET_RAW. If it is a [stamper] too, round-trip times
	// end when the kernel has the reply.
	Listen func() (net.PacketConn, error)
}

// stamper is a socket that knows when the kernel got the message that ReadFrom
// returned last (SO_TIMESTAMPNS, socket(7)). ping(8) measures by it too.
type stamper interface{ Stamp() time.Time }

// pingStats is what a [ping] saw.
type pingStats struct {
	Sent     int             // requests sent
	Received int             // requests answered in time; duplicates do not count
	RTTs     []time.Duration // round-trip times, in the order in which the replies came
}

// withDefaults checks o and fills in what was left zero.
func (o pingOptions) withDefaults() (pingOptions, error) {
	switch {
	case o.Count < 0:
		return o, fmt.Errorf("count %d: must be at least 1, or 0 for 3", o.Count)
	case o.Interval < 0 || o.Interval > 0 && o.Interval < minInterval:
		return o, fmt.Errorf("interval %v: must be at least %v, or 0 to send when the last request is answered", o.Interval, minInterval)
	case o.Timeout < 0 || o.Timeout > maxTimeout:
		return o, fmt.Errorf("timeout %v: must be at most %v, or 0 for 1s", o.Timeout, maxTimeout)
	case o.Size < 0 || o.Size > maxPingSize:
		return o, fmt.Errorf("size %d: must be at most %d bytes, or 0 for 56", o.Size, maxPingSize)
	}
	if o.Count == 0 {
		o.Count = 3
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.Size == 0 {
		o.Size = 56
	}
	if o.Listen == nil {
		o.Listen = func() (net.PacketConn, error) { return net.ListenPacket("ip4:icmp", "0.0.0.0") }
	}
	return o, nil
}

// ping sends echo requests to dst, an IPv4 unicast address, and waits until each
// is answered or given up. Lost requests are no error, however many: they show in
// [pingStats]. An error means that the pinging itself failed, at the socket or
// because ctx ended; the result then holds what was seen so far.
//
// Round-trip times are taken in user space, from before the request is written
// until the reply is read, so they include the wake-up of the reading thread,
// unless the socket is a [stamper].
func ping(ctx context.Context, dst netip.Addr, o pingOptions) (pingStats, error) {
	dst = dst.Unmap()
	if !dst.Is4() || dst.IsUnspecified() || dst.IsMulticast() || dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return pingStats{}, fmt.Errorf("ping %s: must be an IPv4 unicast address", dst)
	}
	o, err := o.withDefaults()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return pingStats{}, fmt.Errorf("ping %s: %w", dst, err)
	}
	conn, err := o.Listen()
	if err != nil {
		return pingStats{}, fmt.Errorf("ping %s: open a raw ICMP socket (needs CAP_NET_RAW): %w", dst, err)
	}
	defer conn.Close()
	// A deadline in the past ends the read that ping may be blocked in.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	p := newPinger(conn, dst, o)
	if err := p.run(ctx); err != nil {
		return p.stats, fmt.Errorf("ping %s: %w", dst, err)
	}
	return p.stats, nil
}

// pinger is the state of one ping. One goroutine does all of it: it sends when a
// request is due, and reads until the next one is.
type pinger struct {
	conn  net.PacketConn
	dst   netip.Addr
	to    net.Addr // dst, as the socket takes it
	o     pingOptions
	buf   []byte // what was read last
	stats pingStats

	// request is the message to send. Its data are random, so that a reply to
	// another pinger that drew the same identifier is told from one to this.
	request []byte

	next    time.Time            // when the next request is due, with an interval
	pending map[uint16]time.Time // requests under way: sequence number to time of sending
	settled int                  // how many requests, from the first on, are not pending
}

func newPinger(conn net.PacketConn, dst netip.Addr, o pingOptions) *pinger {
	p := &pinger{
		conn:    conn,
		dst:     dst,
		to:      &net.IPAddr{IP: dst.AsSlice()},
		o:       o,
		buf:     make([]byte, maxIPHeaderLen+icmpHeaderLen+o.Size),
		request: make([]byte, icmpHeaderLen+o.Size),
		pending: make(map[uint16]time.Time),
	}
	for i := range p.request {
		p.request[i] = byte(rand.Uint32())
	}
	p.request[0], p.request[1] = uint8(ipv4.ICMPTypeEcho), 0
	return p
}

// run sends and reads until every request is settled.
func (p *pinger) run(ctx context.Context) error {
	for {
		now := time.Now()
		p.giveUp(now)
		if p.due(now) {
			if err := p.send(); err != nil {
				return err
			}
		}
		if p.stats.Sent == p.o.Count && len(p.pending) == 0 {
			return nil
		}
		if err := p.conn.SetReadDeadline(p.wake()); err != nil {
			return fmt.Errorf("set the time to wait for a reply: %w", err)
		}
		// Only now: had ctx ended before, the line above may have overwritten the
		// deadline in the past that says so.
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.receive(); err != nil {
			return err
		}
	}
}

// giveUp settles the requests that have waited for too long.
func (p *pinger) giveUp(now time.Time) {
	for ; p.settled < p.stats.Sent; p.settled++ {
		seq := sequence(p.settled)
		if at, ok := p.pending[seq]; ok && now.Sub(at) < p.o.Timeout {
			return
		}
		delete(p.pending, seq)
	}
}

// sequence is the sequence number of the n-th request; the first bears 1, as
// with ping.
func sequence(n int) uint16 { return uint16(n + 1) }

// due says whether a request is to be sent now.
func (p *pinger) due(now time.Time) bool {
	if p.stats.Sent == p.o.Count {
		return false
	}
	if p.o.Interval == 0 {
		return len(p.pending) == 0
	}
	return !now.Before(p.next)
}

// wake is when there is something to do even if no reply comes: send the next
// request or, if none can be sent by then, give up the oldest one under way.
func (p *pinger) wake() time.Time {
	if p.stats.Sent < p.o.Count && p.o.Interval > 0 {
		return p.next
	}
	return p.pending[sequence(p.settled)].Add(p.o.Timeout)
}

// send sends the next request.
func (p *pinger) send() error {
	seq := sequence(p.stats.Sent)
	binary.BigEndian.PutUint16(p.request[6:8], seq)
	p.request[2], p.request[3] = 0, 0
	binary.BigEndian.PutUint16(p.request[2:4], ^frame.Sum(p.request, 0))
	at := time.Now()
	if _, err := p.conn.WriteTo(p.request, p.to); err != nil {
		return fmt.Errorf("send echo request %d: %w", p.stats.Sent+1, err)
	}
	p.stats.Sent++
	p.pending[seq] = at
	// Counted from after the write, which may take long, so that time to read
	// replies is always left.
	p.next = time.Now().Add(p.o.Interval)
	return nil
}

// receive reads one message, up to the deadline, and counts it if it answers a
// pending request.
func (p *pinger) receive() error {
	n, from, err := p.conn.ReadFrom(p.buf)
	now := p.stamp()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read echo replies: %w", err)
	}
	reply := p.buf[:n]
	if !p.answers(reply, from) {
		return nil
	}
	seq := binary.BigEndian.Uint16(reply[6:8])
	at, ok := p.pending[seq] // maybe overdue, since giveUp comes only between reads
	if rtt := now.Sub(at); ok && rtt < p.o.Timeout {
		delete(p.pending, seq)
		p.stats.Received++
		p.stats.RTTs = append(p.stats.RTTs, max(rtt, 0)) // 0: the wall clock of a stamp was set back
	}
	return nil
}

// stamp is when what was read last came.
func (p *pinger) stamp() time.Time {
	if s, ok := p.conn.(stamper); ok {
		return s.Stamp()
	}
	return time.Now()
}

// answers says whether reply, which the kernel hands to every raw socket
// whosever it is, came from the pinged address and answers one of our requests:
// same identifier and same data.
func (p *pinger) answers(reply []byte, from net.Addr) bool {
	if len(reply) != len(p.request) || reply[0] != uint8(ipv4.ICMPTypeEchoReply) || reply[1] != 0 {
		return false
	}
	if !bytes.Equal(reply[4:6], p.request[4:6]) || !bytes.Equal(reply[icmpHeaderLen:], p.request[icmpHeaderLen:]) {
		return false
	}
	ip, ok := from.(*net.IPAddr)
	if !ok {
		return false
	}
	addr, _ := netip.AddrFromSlice(ip.IP)
	return addr.Unmap() == p.dst && frame.Sum(reply, 0) == 0xffff
}
