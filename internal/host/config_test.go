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
	p := newPace()
	for i := range paceBurst {
		if wait := p.ReserveN(now, 1).DelayFrom(now); wait != 0 {
			t.Fatalf("repair %d waits %s", i, wait)
		}
	}
	var waited time.Duration
	for range 100 {
		wait := p.ReserveN(now, 1).DelayFrom(now)
		now, waited = now.Add(wait), waited+wait
	}
	if waited < 99*paceInterval || waited > 100*paceInterval {
		t.Errorf("100 repairs after the first %d took %s, want one per %s", paceBurst, waited, paceInterval)
	}
	now = now.Add(time.Hour)
	if wait := p.ReserveN(now, 1).DelayFrom(now); wait != 0 {
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
