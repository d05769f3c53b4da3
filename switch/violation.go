package vswitch

import (
	"net/netip"
	"sync/atomic"

	"vswitch/frame"
)

// Violation is what a port's station did and may not.
type Violation struct {
	Port   *Port
	Reason Reason
	MAC    frame.MAC  // the frame's source address
	IP     netip.Addr // the source address of its IP packet, or ARP's sender; the zero Addr without one
}

const (
	reportPause = 60 // seconds between two reports of the same reason at a port
	maxReports  = 64 // under way at the same time; more are left out
)

// reporter tells the control side of violations.
type reporter struct {
	call   func(Violation) // nil: nobody wants to know
	active *atomic.Int32   // calls under way, of all workers
}

// refuse drops a frame from p, and reports it where the reason is a violation.
func (w *worker) refuse(p *Port, r Reason, eth frame.Ethernet) {
	w.discard(p, r)
	if w.reporter.call != nil && r.Violation() {
		w.report(p, r, eth)
	}
}

// report reports the first violation of its kind at p in a minute. It never waits:
// what finds too many reports under way is counted only, and tried again with the
// next frame.
func (w *worker) report(p *Port, r Reason, eth frame.Ethernet) {
	now := w.now.Load() + 1 // 0: never reported
	if last := p.reported[r]; last != 0 && now-last < reportPause {
		return
	}
	if w.reporter.active.Add(1) > maxReports {
		w.reporter.active.Add(-1)
		return
	}
	p.reported[r] = now
	v := Violation{Port: p, Reason: r, MAC: eth.Src(), IP: claimedIP(eth)}
	go func() {
		defer w.reporter.active.Add(-1)
		w.reporter.call(v)
	}()
}

// claimedIP is the address that a frame says it comes from.
func claimedIP(eth frame.Ethernet) netip.Addr {
	switch etherType, b := eth.Network(); etherType {
	case frame.EtherTypeARP:
		if a, ok := frame.ParseARP(b); ok {
			return a.SenderIP()
		}
	case frame.EtherTypeIPv4:
		if len(b) >= frame.IPv4HeaderLen {
			return frame.IPv4(b).Src()
		}
	case frame.EtherTypeIPv6:
		if len(b) >= frame.IPv6HeaderLen {
			return frame.IPv6(b).Src()
		}
	}
	return netip.Addr{}
}
