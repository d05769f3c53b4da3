package supervise

import (
	"cmp"
	"errors"
	"fmt"
)

var errStopping = errors.New("the supervisor is stopping")

// request is why an upgrade was begun.
type request struct {
	id   uint64 // that the child has given it; 0: the parent's owner asks
	path string // of the new program; empty: as it is now

	trusted bool // the program must be one that root has installed
}

// said handles what a child says over its own socket.
func (p *parent) said(w *worker, m packet) {
	switch m.verb {
	case verbUpgrade:
		p.upgrade(request{id: m.number, path: m.text})
	case verbUpgradeTrusted:
		p.upgrade(request{id: m.number, path: m.text, trusted: true})
	case verbStandby:
		p.cameUp(w)
	default:
		p.log.Debug("unknown packet of a child ignored", "pid", w.process.Pid, "packet", m)
	}
}

// An upgrade has these steps:
//
//  1. upgrade starts the new program, with all descriptors, beside the active child.
//  2. cameUp: the new one has come up. The active child is asked to make room.
//  3. takeTurn: that has ended. The new one is told what changed meanwhile, and to go on.
//  4. completeUpgrade: the new one is ready.
//
// What came of it is in the history, which every child is started with, and the active
// one is told of.
//
// Up to the end of step 2 a failure of the new one disturbs nobody: failUpgrade.
// After it rollBack starts the old program again. When the active child dies of
// itself meanwhile, it is started again as ever.
func (p *parent) upgrade(r request) {
	p.tell(p.options.Notify.Reloading()) // until the next Ready, however it comes out
	r.path = cmp.Or(r.path, p.binary.path)
	p.history.put(Upgrade{ID: r.id, Binary: r.path, State: UpgradeUnderWay})
	if err := p.tryUpgrade(r); err != nil {
		p.refuse(r, err)
	}
}

func (p *parent) tryUpgrade(r request) error {
	switch {
	case p.stopping:
		return errStopping
	case p.next != nil || p.previous != nil:
		return errors.New("another upgrade is under way: try again when it has ended")
	case !p.proven:
		return errors.New("the running program has not been ready yet: try again when it is")
	}
	b, err := openBinary(r.path)
	if err != nil {
		return err
	}
	if r.trusted {
		if err := b.trust(); err != nil {
			b.close()
			return err
		}
	}
	w, err := p.launch(b, standby)
	if err != nil {
		b.close()
		return err
	}
	p.next, p.request = w, r
	w.within(p.options.StartTimeout, "did not come up")
	return nil
}

// refuse says why there is no upgrade.
func (p *parent) refuse(r request, why error) {
	p.log.Error("upgrade failed, the running program goes on", "binary", r.path, "reason", why)
	if p.active != nil && p.active.phase == ready {
		p.tellReady()
	}
	p.endUpgrade(r, UpgradeFailed, why.Error())
}

// endUpgrade records what came of an upgrade and tells it to the active child, which may be
// another one than has asked.
func (p *parent) endUpgrade(r request, state UpgradeState, reason string) {
	p.history.end(r.id, state, reason)
	if r.id == 0 || p.active == nil {
		return
	}
	said := packet{verb: verbRefused, number: r.id, text: reason, fd: -1}
	if state == UpgradeSucceeded {
		said.verb = verbDone
	}
	if err := writePacket(p.active.conn, said); err != nil {
		p.log.Warn("cannot tell the child what came of an upgrade", "error", err)
	}
}

// failUpgrade follows the end of a child whose turn has not come.
func (p *parent) failUpgrade(b *binary, why error) {
	b.close()
	p.refuse(p.request, fmt.Errorf("%s: %w", b.path, why))
	p.request = request{}
}

// cameUp follows the word of a child that it waits for its turn.
func (p *parent) cameUp(w *worker) {
	if w != p.next || w.phase != standby {
		return
	}
	w.phase = waiting
	w.within(0, "") // it waits for us now
	if p.active != nil {
		p.active.makeRoom(p.options.StopTimeout)
		return
	}
	p.cancelRestart()
	p.takeTurn()
}

// takeTurn makes the waiting child the active one.
func (p *parent) takeTurn() {
	w := p.next
	p.active, p.next = w, nil
	p.previous, p.binary = p.binary, w.binary
	w.phase = starting
	w.within(p.options.StartTimeout, "was not ready")
	if err := p.bringUpToDate(w); err != nil {
		w.kill(err)
	}
}

// bringUpToDate tells a child what has been kept and dropped since it was started,
// and then that its turn has come.
func (p *parent) bringUpToDate(w *worker) error {
	dropped, added := p.store.changes(w.given)
	for _, name := range dropped {
		if err := writePacket(w.conn, packet{verb: verbDrop, text: name, fd: -1}); err != nil {
			return err
		}
	}
	for _, e := range added {
		if err := writePacket(w.conn, packet{verb: verbKeep, text: e.name, fd: e.fd}); err != nil {
			return err
		}
	}
	return writePacket(w.conn, packet{verb: verbTurn, fd: -1})
}

// completeUpgrade lets go of the program that the ready child has replaced.
func (p *parent) completeUpgrade(w *worker) {
	if p.previous == nil {
		return
	}
	p.log.Info("upgraded", "binary", w.binary.path, "pid", w.process.Pid)
	p.previous.close()
	p.previous = nil
	p.endUpgrade(p.request, UpgradeSucceeded, "")
	p.request = request{}
}

// rollBack goes back to the old program when the new one has died in its turn.
func (p *parent) rollBack(w *worker, why error) {
	if w.killed == nil {
		why = fmt.Errorf("ended before it was ready: %w", why)
	}
	p.log.Error("upgrade failed, going back to the program before", "binary", p.binary.path, "reason", why)
	p.endUpgrade(p.request, UpgradeFailed, fmt.Sprintf("%s %v", p.binary.path, why))
	p.request = request{}
	p.binary.close()
	p.binary, p.previous = p.previous, nil
	p.begin()
}
