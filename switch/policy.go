package vswitch

import (
	"errors"
	"fmt"

	"vswitch/switch/policy"
)

// SetPolicy puts the port under another policy, whose MAC becomes the port's own address
// unless it is off and the interface has another by now ([Switch.SetMAC]). When it returns,
// no frame is judged by the one before. What the limits have counted begins anew. ErrInUse
// says that the MAC is another port's own.
func (p *Port) SetPolicy(c policy.Policy) error {
	g, err := policy.NewGuard(c)
	if err != nil {
		return err
	}
	s := p.segment.owner
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.responder != nil {
		return errors.New("the gateway's port has no policy: it is part of the switch")
	}
	if s.closed {
		return ErrClosed
	}
	if !s.holds(p) {
		return fmt.Errorf("the port was %w", errRemoved)
	}
	if err := s.ownFor(p, g); err != nil {
		return err
	}
	before := p.guard.Load()
	p.adopt(g)
	s.republish()
	if before.RateIn != nil || before.RateOut != nil {
		s.reshape(p, g)
	}
	return nil
}

// reshape has the frames that wait for p's rate wait for that of its guard g.
func (s *Switch) reshape(p *Port, g *policy.Guard) {
	for _, w := range s.workers {
		w.do(func() { w.reshape(p) })
	}
	p.setState(stateMetered, g.RateOut != nil) // nothing waits any more without
}

// ownFor brings p's own address in line with the guard g that it is about to have. One that
// names no address leaves p the one that it has.
func (s *Switch) ownFor(p *Port, g *policy.Guard) error {
	c := g.Policy()
	if p.filter != nil {
		return nil
	}
	locked := c.Security != policy.SecurityOff
	if !locked && p.own != 0 && (!c.MAC.IsUnicast() || c.MAC == p.Policy().MAC) {
		_ = s.pinFree(p, p.own) // or it is another's, as SetMAC has said
		return nil
	}
	if !c.MAC.IsUnicast() {
		return nil
	}
	return s.repin(p, c.MAC.Uint64(), locked)
}

// Policy is the port's policy as it was set. Its slices must not be changed.
func (p *Port) Policy() policy.Policy { return p.guard.Load().Policy() }

// adopt makes g the port's guard. Callers hold the switch's mu, or are the only
// ones to know p.
func (p *Port) adopt(g *policy.Guard) {
	if p.filter != nil {
		g.Checks |= checkFilter
	}
	p.guard.Store(g)
	p.refusals.forget()
	p.setState(stateIsolated, g.Isolated)
	if g.RateOut != nil {
		p.setState(stateMetered, true)
	}
}

// republish makes every worker see what was published before: no route that was
// remembered under it is used again, and none is under way.
func (s *Switch) republish() {
	s.table.Bump()
	s.barrier()
}
