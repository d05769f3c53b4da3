package host

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	segment := Segment{ID: "a", Link: "vs-a", Subnet: netip.MustParsePrefix("172.17.0.0/16"), Masquerade: true}
	good := Forward{Protocol: TCP, HostPort: 80, To: netip.MustParseAddr("172.17.0.2"), ToPort: 80, Link: "vs-a"}
	with := func(change func(*Segment, *Forward)) Config {
		s, f := segment, good
		change(&s, &f)
		return Config{Segments: []Segment{s}, Forwards: []Forward{f}}
	}
	two := func(f, g Forward) Config { return Config{Segments: []Segment{segment}, Forwards: []Forward{f, g}} }
	on := func(f Forward, host string, port uint16, count int) Forward {
		f.HostIP, f.HostPort, f.Count = netip.MustParseAddr(host), port, count
		return f
	}
	udp := good
	udp.Protocol = UDP
	for name, c := range map[string]struct {
		config Config
		want   string // in the error; "" for none
	}{
		"empty":             {Config{}, ""},
		"good":              {with(func(*Segment, *Forward) {}), ""},
		"no link":           {with(func(s *Segment, f *Forward) { s.Link, f.Link = "", "" }), `a link named ""`},
		"long link":         {with(func(s *Segment, _ *Forward) { s.Link = "vs-0123456789abc" }), "1 to 15 bytes"},
		"link twice":        {Config{Segments: []Segment{segment, segment}}, "both have the link"},
		"IPv6 subnet":       {with(func(s *Segment, _ *Forward) { s.Subnet = netip.MustParsePrefix("fd00::/64") }), "only IPv4"},
		"no subnet":         {with(func(s *Segment, _ *Forward) { s.Subnet = netip.Prefix{} }), "only IPv4"},
		"protocol":          {with(func(_ *Segment, f *Forward) { f.Protocol = "sctp" }), "no ports"},
		"IPv6 host":         {with(func(_ *Segment, f *Forward) { f.HostIP = netip.IPv6Loopback() }), "not IPv4"},
		"port 0":            {with(func(_ *Segment, f *Forward) { f.HostPort = 0 }), "1 to 65535"},
		"port to 0":         {with(func(_ *Segment, f *Forward) { f.ToPort = 0 }), "1 to 65535"},
		"last port":         {with(func(_ *Segment, f *Forward) { f.HostPort, f.Count = 65535, 1 }), ""},
		"after the last":    {with(func(_ *Segment, f *Forward) { f.HostPort, f.Count = 65535, 2 }), "1 to 65535"},
		"to after the last": {with(func(_ *Segment, f *Forward) { f.ToPort, f.Count = 65000, 537 }), "1 to 65535"},
		"negative":          {with(func(_ *Segment, f *Forward) { f.Count = -1 }), "1 to 65535"},
		"no such link":      {with(func(_ *Segment, f *Forward) { f.Link = "vs-b" }), `no segment has the link "vs-b"`},
		"other subnet":      {with(func(_ *Segment, f *Forward) { f.To = netip.MustParseAddr("10.0.0.1") }), "not in the segment's subnet"},
		"no address":        {with(func(_ *Segment, f *Forward) { f.To = netip.Addr{} }), "not in the segment's subnet"},
		"same port":         {two(good, good), "want the same port"},
		"same, udp":         {two(good, udp), ""},
		"any and one":       {two(good, on(good, "127.0.0.1", 80, 1)), "want the same port"},
		"two hosts":         {two(on(good, "127.0.0.1", 80, 1), on(good, "127.0.0.2", 80, 1)), ""},
		"0.0.0.0 is any":    {two(on(good, "0.0.0.0", 80, 1), on(good, "127.0.0.2", 80, 1)), "want the same port"},
		"in a range":        {two(on(good, "127.0.0.1", 70, 11), good), "want the same port"},
		"after a range":     {two(on(good, "127.0.0.1", 70, 10), good), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.config.validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("validate: %v; want %q", err, c.want)
			}
		})
	}
}

func TestForwardString(t *testing.T) {
	t.Parallel()
	f := Forward{Protocol: UDP, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8000, Count: 11, ToPort: 9000}
	if got := f.String(); got != "127.0.0.1:8000-8010:9000-9010/udp" {
		t.Error(got)
	}
	if got := (Forward{Protocol: TCP, HostPort: 80, ToPort: 81}).String(); got != "80:81/tcp" {
		t.Error(got)
	}
}

// TestPace holds how often a table that is removed again and again is put back.
func TestPace(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := newPace(now)
	for i := range paceBurst {
		if wait := p.next(now); wait != 0 {
			t.Fatalf("repair %d waits %s", i, wait)
		}
	}
	var waited time.Duration
	for range 100 {
		wait := p.next(now)
		now, waited = now.Add(wait), waited+wait
	}
	if waited < 99*paceInterval || waited > 100*paceInterval {
		t.Errorf("100 repairs after the first %d took %s, want one per %s", paceBurst, waited, paceInterval)
	}
	now = now.Add(time.Hour)
	if wait := p.next(now); wait != 0 {
		t.Errorf("after an hour of peace a repair waits %s", wait)
	}
}

// TestExplain holds what is said where the kernel refuses, for that cannot be had in
// a test: it takes a kernel without nftables.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{unix.EPROTONOSUPPORT, unix.EINVAL, unix.EOPNOTSUPP} {
		err := explain(&netlink.OpError{Op: "receive", Err: refusal})
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "load those modules") {
			t.Errorf("%v is told as %v", refusal, err)
		}
	}
	if err := explain(unix.EPERM); errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("want of a capability is told as %v", err)
	}
}
