package vswitch_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// reports collects what is reported.
type reports struct {
	mu   sync.Mutex
	list []vswitch.Violation
}

func (r *reports) add(v vswitch.Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, v)
}

// take returns, and forgets, what was reported.
func (r *reports) take() []vswitch.Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

func TestViolationIsReportedOnceAMinute(t *testing.T) {
	var r reports
	inLab(t, vswitch.Options{OnViolation: r.add}, func(l *lab) {
		s := host1
		seg := l.segment()
		p := l.portWith(seg, 1, limited(policy1(policy.SecurityStrict)))
		q := l.portWith(seg, 2, limited(policy.Policy{Security: policy.SecurityMACOnly, MAC: switchtest.MAC(2)}))
		spoofed := s.IPv4(s.Other, frame.ProtoTCP, switchtest.Ports(1, 2)...)
		send := func(q *port, eth []byte) {
			for range 100 {
				q.Send(eth)
			}
			synctest.Wait()
		}
		expectOne := func(want vswitch.Violation) {
			l.t.Helper()
			if got := r.take(); len(got) != 1 || got[0] != want {
				l.t.Errorf("reported %+v, want %+v once", got, want)
			}
		}
		send(p, spoofed)
		expectOne(vswitch.Violation{Port: p.Port, Reason: drop.SpoofedIP, MAC: s.MAC, IP: s.Other})
		send(p, s.ARP(frame.ARPReply, s.MAC, s.Gateway, s.IP)) // another reason
		expectOne(vswitch.Violation{Port: p.Port, Reason: drop.SpoofedARP, MAC: s.MAC, IP: s.Gateway})
		send(p, s.IPv6(s.Other6, frame.ProtoTCP, switchtest.Ports(1, 2)...)) // the same reason
		send(q, spoofed)                                                     // another port
		expectOne(vswitch.Violation{Port: q.Port, Reason: drop.SpoofedMAC, MAC: s.MAC, IP: s.Other})
		time.Sleep(58 * time.Second)
		send(p, spoofed)
		if got := r.take(); len(got) != 0 {
			l.t.Errorf("reported %+v within a minute", got)
		}
		time.Sleep(3 * time.Second)
		send(p, spoofed)
		expectOne(vswitch.Violation{Port: p.Port, Reason: drop.SpoofedIP, MAC: s.MAC, IP: s.Other})
		if n := p.Counters().Drops[drop.SpoofedIP]; n != 400 {
			l.t.Errorf("%d drops counted, want all 400", n)
		}
	})
}

// TestViolationInARunningFlowIsReported: all its frames but one are in order.
func TestViolationInARunningFlowIsReported(t *testing.T) {
	var r reports
	inLab(t, vswitch.Options{OnViolation: r.add}, func(l *lab) {
		s := host1
		seg := l.segment()
		p, q := l.portWith(seg, 1, limited(policy1(policy.SecurityStrict))), l.port(seg, 2)
		teach(q)
		for _, src := range []netip.Addr{s.IP, s.IP, s.Other, s.IP} {
			eth := s.IPv4(src, frame.ProtoTCP, switchtest.Ports(1, 2)...)
			p.Send(switchtest.To(q.mac, eth))
		}
		synctest.Wait()
		if n := len(q.Frames()); n != 3 {
			l.t.Errorf("%d frames came, want 3", n)
		}
		want := vswitch.Violation{Port: p.Port, Reason: drop.SpoofedIP, MAC: s.MAC, IP: s.Other}
		if got := r.take(); len(got) != 1 || got[0] != want {
			l.t.Errorf("reported %+v, want %+v once", got, want)
		}
	})
}

// TestNoViolation: what kernels send by themselves, and what a limit is for.
func TestNoViolation(t *testing.T) {
	var r reports
	inLab(t, vswitch.Options{OnViolation: r.add}, func(l *lab) {
		c := policy1(policy.SecurityStrict)
		c.IPv6 = false
		p := l.portWith(l.segment(), 1, limited(c))
		report := switchtest.Extension(frame.ProtoICMPv6, switchtest.ICMPv6(143)...)
		p.Send(host1.IPv6(netip.IPv6Unspecified(), 0, report...))
		p.send(frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, "")
		synctest.Wait()
		if got := r.take(); len(got) != 0 {
			l.t.Errorf("reported %+v", got)
		}
	})
}

// TestReportsThatHang hold up neither the switch nor each other beyond a bound.
func TestReportsThatHang(t *testing.T) {
	var calls atomic.Int32
	release := make(chan struct{})
	inLab(t, vswitch.Options{OnViolation: func(vswitch.Violation) {
		calls.Add(1)
		<-release
	}}, func(l *lab) {
		release = make(chan struct{}) // of the bubble
		seg := l.segment()
		last := l.port(seg, 9)
		for n := range 200 {
			mac := switchtest.MAC(100 + n)
			p := l.portWith(seg, 100+n, limited(policy.Policy{Security: policy.SecurityMACOnly, MAC: mac}))
			p.sendFrom(switchtest.MAC(2), frame.Broadcast, "")
			p.send(frame.Broadcast, "goes on")
			expect(l.t, last, "goes on")
		}
		if n := calls.Load(); n != 64 {
			l.t.Errorf("%d reports under way, want the bound of 64", n)
		}
		close(release)
		synctest.Wait()
	})
}
