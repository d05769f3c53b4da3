package load

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/ipv4"

	"vswitch/internal/frame"
)

// c1IP is who is pinged.
var (
	c1IP      = netip.MustParseAddr("172.17.0.2")
	gatewayIP = netip.MustParseAddr("172.17.0.1")
)

// setICMPChecksum writes the checksum of a whole message.
func setICMPChecksum(message []byte) {
	message[2], message[3] = 0, 0
	binary.BigEndian.PutUint16(message[2:4], ^frame.Sum(message, 0))
}

// fakeConn is a socket on a pipe. from, if not nil, is where messages seem to
// come from.
type fakeConn struct {
	net.Conn
	from net.Addr
}

func (c fakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, c.from, err
}

func (c fakeConn) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

// peer is the far end of a fakeConn. It gets each request and may have any number
// of messages sent back, each when delay has passed.
type peer func(seq uint16, request []byte, send reply)

// reply sends message to the pinger when delay has passed.
type reply func(delay time.Duration, message []byte)

// pingPeer pings c1 behind p, in a bubble where time passes only while all wait,
// and says how long it took.
func pingPeer(ctx context.Context, t *testing.T, from net.Addr, o pingOptions, p peer) (pingStats, time.Duration, error) {
	t.Helper()
	near, far := net.Pipe()
	var running sync.WaitGroup
	defer running.Wait()
	defer far.Close()
	send := func(delay time.Duration, message []byte) {
		running.Go(func() {
			time.Sleep(delay)
			_, _ = far.Write(message)
		})
	}
	running.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			request := slices.Clone(buf[:n])
			p(binary.BigEndian.Uint16(request[6:8]), request, send)
		}
	})
	o.Listen = func() (net.PacketConn, error) { return fakeConn{near, from}, nil }
	start := time.Now()
	stats, err := ping(ctx, c1IP, o)
	took := time.Since(start)
	if _, err := near.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the socket was left open: writing to it gives %v", err)
	}
	return stats, took, err
}

// fromC1 is the source of c1's messages.
var fromC1 = &net.IPAddr{IP: net.IP(c1IP.AsSlice())}

// echoReply is the reply to request.
func echoReply(request []byte) []byte {
	b := slices.Clone(request)
	b[0] = uint8(ipv4.ICMPTypeEchoReply)
	setICMPChecksum(b)
	return b
}

func silent(uint16, []byte, reply) {}

// after answers each request when delay has passed.
func after(delay time.Duration) peer {
	return func(_ uint16, request []byte, send reply) { send(delay, echoReply(request)) }
}

func TestPing(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		options pingOptions
		peer    peer
		sent    int
		rtts    []time.Duration
		took    time.Duration
	}{
		"defaults": {pingOptions{}, after(2 * ms), 3, []time.Duration{2 * ms, 2 * ms, 2 * ms}, 6 * ms},
		"interval": {pingOptions{Count: 3, Interval: 10 * ms}, after(2 * ms), 3, []time.Duration{2 * ms, 2 * ms, 2 * ms}, 22 * ms},
		"replies slower than the interval": {
			pingOptions{Count: 3, Interval: 10 * ms}, after(25 * ms), 3, []time.Duration{25 * ms, 25 * ms, 25 * ms}, 45 * ms,
		},
		"no answer":              {pingOptions{Count: 3, Interval: 10 * ms, Timeout: 100 * ms}, silent, 3, nil, 120 * ms},
		"no answer, no interval": {pingOptions{Count: 3, Timeout: 100 * ms}, silent, 3, nil, 300 * ms},
		"no answer, defaults":    {pingOptions{}, silent, 3, nil, 3 * time.Second},
		"answers come late":      {pingOptions{Count: 3, Interval: 10 * ms, Timeout: 5 * ms}, after(7 * ms), 3, nil, 25 * ms},
		"every other lost": {pingOptions{Count: 4, Timeout: 10 * ms}, func(seq uint16, request []byte, send reply) {
			if seq%2 == 0 {
				send(3*ms, echoReply(request))
			}
		}, 4, []time.Duration{3 * ms, 3 * ms}, 26 * ms},
		"out of order": {pingOptions{Count: 2, Interval: 10 * ms}, func(seq uint16, request []byte, send reply) {
			send(map[uint16]time.Duration{1: 15 * ms, 2: 1 * ms}[seq], echoReply(request))
		}, 2, []time.Duration{1 * ms, 15 * ms}, 15 * ms},
		"duplicates": {pingOptions{Count: 2, Interval: 10 * ms}, func(_ uint16, request []byte, send reply) {
			for range 3 {
				send(0, echoReply(request))
			}
		}, 2, []time.Duration{0, 0}, 10 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got, took, err := pingPeer(t.Context(), t, fromC1, test.options, test.peer)
				if err != nil {
					t.Fatal(err)
				}
				if got.Sent != test.sent || got.Received != len(test.rtts) || !slices.Equal(got.RTTs, test.rtts) {
					t.Errorf("got %+v, want %d sent and %v", got, test.sent, test.rtts)
				}
				if took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
			})
		})
	}
}

func TestPingRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seqs []uint16
		_, _, err := pingPeer(t.Context(), t, fromC1, pingOptions{Count: 2, Size: 3}, func(seq uint16, request []byte, send reply) {
			if len(request) != 11 || request[0] != uint8(ipv4.ICMPTypeEcho) || request[1] != 0 || frame.Sum(request, 0) != 0xffff {
				t.Errorf("% x is not an echo request with 3 bytes of data and its checksum", request)
			}
			seqs = append(seqs, seq)
			send(0, echoReply(request))
		})
		if err != nil || !slices.Equal(seqs, []uint16{1, 2}) {
			t.Errorf("got sequence numbers %v and error %v, want 1 and 2", seqs, err)
		}
	})
}

// More requests than the sequence number counts.
func TestPingWrapsSequence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const count = 1<<16 + 2
		var last uint16
		got, _, err := pingPeer(t.Context(), t, fromC1, pingOptions{Count: count}, func(seq uint16, request []byte, send reply) {
			last = seq
			send(0, echoReply(request))
		})
		if err != nil || got.Sent != count || got.Received != count || last != 2 {
			t.Errorf("sent %d, received %d, last number %d, error %v; want %d, %d, 2", got.Sent, got.Received, last, err, count, count)
		}
	})
}

// Whatever reaches a raw socket besides the reply must not count for one.
func TestPingIgnores(t *testing.T) {
	t.Parallel()
	edit := func(f func(b []byte)) func([]byte) []byte {
		return func(request []byte) []byte {
			b := echoReply(request)
			f(b)
			setICMPChecksum(b)
			return b
		}
	}
	for name, test := range map[string]struct {
		from    net.Addr
		message func(request []byte) []byte
	}{
		"the request itself":       {fromC1, slices.Clone[[]byte]},
		"another code":             {fromC1, edit(func(b []byte) { b[1] = 1 })},
		"another identifier":       {fromC1, edit(func(b []byte) { b[5] ^= 1 })},
		"a number not sent":        {fromC1, edit(func(b []byte) { b[6] ^= 0x80 })},
		"other data":               {fromC1, edit(func(b []byte) { b[len(b)-1] ^= 1 })},
		"a wrong checksum":         {fromC1, func(r []byte) []byte { b := echoReply(r); b[2] ^= 1; return b }},
		"less data":                {fromC1, func(r []byte) []byte { return echoReply(r[:len(r)-2]) }},
		"more data":                {fromC1, func(r []byte) []byte { return echoReply(append(slices.Clone(r), 0, 0)) }},
		"a truncated header":       {fromC1, func(r []byte) []byte { return echoReply(r)[:7] }},
		"one byte":                 {fromC1, func([]byte) []byte { return []byte{0} }},
		"another source":           {&net.IPAddr{IP: net.IP(gatewayIP.AsSlice())}, echoReply},
		"a source of another kind": {&net.UDPAddr{IP: net.IP(c1IP.AsSlice())}, echoReply},
		"no source":                {nil, echoReply},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got, took, err := pingPeer(t.Context(), t, test.from, pingOptions{Count: 1}, func(_ uint16, request []byte, send reply) {
					send(0, test.message(request))
				})
				if err != nil || got.Sent != 1 || got.Received != 0 || took != time.Second {
					t.Errorf("got %+v and error %v after %v, want one request lost after 1s", got, err, took)
				}
			})
		})
	}
}

func TestPingCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Millisecond)
		defer cancel()
		o := pingOptions{Count: 100, Interval: 10 * time.Millisecond}
		got, took, err := pingPeer(ctx, t, fromC1, o, after(time.Millisecond))
		if !errors.Is(err, context.DeadlineExceeded) || took != 25*time.Millisecond {
			t.Errorf("got error %v after %v, want %v after 25ms", err, took, context.DeadlineExceeded)
		}
		if got.Sent != 3 || got.Received != 3 {
			t.Errorf("got %+v, want the 3 requests sent until then", got)
		}
	})
}

func TestPingCancelledBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ping(ctx, c1IP, pingOptions{Listen: func() (net.PacketConn, error) {
		t.Error("opened a socket")
		return nil, os.ErrInvalid
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestPingSocketErrors(t *testing.T) {
	t.Parallel()
	_, err := ping(t.Context(), c1IP, pingOptions{Listen: func() (net.PacketConn, error) { return nil, os.ErrPermission }})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), c1IP.String()) {
		t.Errorf("listen: got %v", err)
	}

	near, far := net.Pipe()
	far.Close()
	got, err := ping(t.Context(), c1IP, pingOptions{Listen: func() (net.PacketConn, error) { return fakeConn{near, fromC1}, nil }})
	if err == nil || !strings.Contains(err.Error(), "send echo request 1") || got.Sent != 0 {
		t.Errorf("send: got %+v and %v", got, err)
	}

	near, far = net.Pipe()
	go func() {
		_, _ = far.Read(make([]byte, 1500))
		far.Close()
	}()
	got, err = ping(t.Context(), c1IP, pingOptions{Listen: func() (net.PacketConn, error) { return fakeConn{near, fromC1}, nil }})
	if err == nil || !strings.Contains(err.Error(), "read echo replies") || got.Sent != 1 {
		t.Errorf("read: got %+v and %v", got, err)
	}
}

func TestPingRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dst     string
		options pingOptions
		reason  string
	}{
		"IPv6":              {"fd00::1", pingOptions{}, "IPv4 unicast"},
		"unspecified":       {"0.0.0.0", pingOptions{}, "IPv4 unicast"},
		"multicast":         {"224.0.0.1", pingOptions{}, "IPv4 unicast"},
		"broadcast":         {"255.255.255.255", pingOptions{}, "IPv4 unicast"},
		"count":             {"172.17.0.2", pingOptions{Count: -1}, "count -1"},
		"interval":          {"172.17.0.2", pingOptions{Interval: -time.Second}, "interval -1s"},
		"interval too fine": {"172.17.0.2", pingOptions{Interval: time.Microsecond}, "at least 1ms"},
		"timeout":           {"172.17.0.2", pingOptions{Timeout: -1}, "timeout -1ns"},
		"timeout too long":  {"172.17.0.2", pingOptions{Timeout: time.Hour}, "at most 1m0s"},
		"size":              {"172.17.0.2", pingOptions{Size: -1}, "size -1"},
		"size too large":    {"172.17.0.2", pingOptions{Size: 65508}, "at most 65507"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.options.Listen = func() (net.PacketConn, error) {
				t.Error("opened a socket")
				return nil, os.ErrInvalid
			}
			_, err := ping(t.Context(), netip.MustParseAddr(test.dst), test.options)
			if err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got error %v, want one that says %q", err, test.reason)
			}
		})
	}
	if _, err := ping(t.Context(), netip.Addr{}, pingOptions{}); err == nil {
		t.Error("pinged no address")
	}
}
