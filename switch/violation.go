package vswitch

import (
	"net/netip"
	"sync/atomic"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// Violation is what a port's container did and may not.
type Violation struct {
	Port   *Port
	Reason drop.Reason
	MAC    frame.MAC  // the frame's source address
	IP     netip.Addr // the source address of its IP packet, or ARP's sender; the zero Addr without one
}

const (
	reasonCount = drop.Count
	reportPause = 60 // seconds between two reports of the same reason at a port
	maxReports  = 64 // under way at the same time; more are left out
)

// reporter tells the control side of violations.
type reporter struct {
	call   func(Violation) // nil: nobody wants to know
	active *atomic.Int32   // calls under way, of all workers
}

// report reports the first violation of its kind at p in a minute, by the frame that the
// worker has parsed. It never waits: what finds too many reports under way is counted only,
// and tried again with the next frame.
func (w *worker) report(p *Port, r drop.Reason) {
	now := w.now.Load() + 1 // 0: never reported
	if last := p.reported[r]; last != 0 && now-last < reportPause {
		return
	}
	if w.reporter.active.Add(1) > maxReports {
		w.reporter.active.Add(-1)
		return
	}
	p.reported[r] = now
	v := Violation{Port: p, Reason: r, MAC: w.parsed.Eth.Src(), IP: policy.ClaimedIP(&w.parsed)}
	go func() {
		defer w.reporter.active.Add(-1)
		w.reporter.call(v)
	}()
}
