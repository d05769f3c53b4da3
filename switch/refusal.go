package vswitch

import (
	"slices"
	"sync/atomic"

	"vswitch/switch/drop"
	"vswitch/switch/fdb"
	"vswitch/switch/policy"
)

// refusals are what a port's policy lacked for the last frames that it did not let pass, by
// their reasons. The zero value is none.
type refusals struct {
	lacks [len(policy.Allowable)]atomic.Pointer[policy.Allowance] // by the places of policy.Allowable
	noted [len(policy.Allowable)]uint32                           // when; of the worker that reads the port
}

// Refusal is what a port's policy lacks for a frame that was dropped for a reason.
type Refusal struct {
	Reason drop.Reason
	Lacks  policy.Allowance
}

// Refusals returns what the port's policy lacks for frames that it has not let pass since it
// was set, of each reason one of the last.
func (p *Port) Refusals() []Refusal {
	var list []Refusal
	for i, reason := range policy.Allowable {
		if lacks := p.refusals.lacks[i].Load(); lacks != nil {
			list = append(list, Refusal{reason, *lacks})
		}
	}
	return list
}

// forget ends what was noted under another policy.
func (r *refusals) forget() {
	for i := range r.lacks {
		r.lacks[i].Store(nil)
	}
}

// note keeps what p's policy lacks for the frame that the worker has parsed and refuses, of
// each reason once a second.
func (w *worker) note(p *Port, r drop.Reason) {
	i := slices.Index(policy.Allowable[:], r)
	if i < 0 {
		return
	}
	now := w.now.Load() + 1 // 0: never noted
	if p.refusals.noted[i] == now && p.refusals.lacks[i].Load() != nil {
		return
	}
	p.refusals.noted[i] = now
	lacks := p.guard.Load().Lacks(&w.parsed, r)
	if lacks == (policy.Allowance{}) || w.isOwn(p, lacks) {
		return
	}
	if old := p.refusals.lacks[i].Load(); old == nil || *old != lacks {
		kept := lacks // so that lacks itself is not allocated
		p.refusals.lacks[i].Store(&kept)
	}
}

// isOwn reports whether what p's policy lacks is the MAC of another port, which p cannot have.
func (w *worker) isOwn(p *Port, lacks policy.Allowance) bool {
	return !lacks.MAC.IsZero() && w.table.Lookup(p.key(lacks.MAC.Uint64())).Kind() == fdb.Own
}
