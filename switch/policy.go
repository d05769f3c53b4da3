package vswitch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vswitch/frame"
)

// Security says how far the switch trusts what a port's station says of itself.
type Security uint8

// The levels of security.
const (
	// SecurityOff believes all but who claims to be the gateway.
	SecurityOff Security = iota
	// SecurityMACOnly wants the port's own source address and no VLAN tag.
	SecurityMACOnly
	// SecurityStrict wants the port's own addresses in ARP, IP and neighbour
	// discovery too, and lets pass no DHCP server, no IPv6 router and no protocol
	// but IPv4, ARP and, where the policy says so, IPv6.
	SecurityStrict
)

// Defaults of a [Policy].
const (
	DefaultMACLimit   = 16    // learned addresses
	DefaultFloodLimit = 20000 // frames per second
)

// maxSources bounds a policy's addresses and prefixes: each may be looked at for
// every frame.
const maxSources = 256

// Policy is what a port may do. The zero Policy is that of a port that is trusted
// within the default limits.
type Policy struct {
	Security Security
	// MAC and Addrs are the station's own. SecurityMACOnly needs the MAC. Its IPv6
	// link-local address follows from the MAC and is always its own.
	MAC   frame.MAC
	Addrs []netip.Addr
	// Prefixes are further source addresses for IP, of networks that the station
	// routes. It may not claim them in ARP or neighbour discovery.
	Prefixes []netip.Prefix
	// IPv6 says that a SecurityStrict port's segment carries IPv6.
	IPv6 bool
	// AllowReserved lets frames to 01:80:C2:00:00:00-0F pass.
	AllowReserved bool
	// Isolated ports exchange no frames with each other.
	Isolated bool
	// MACLimit is how many addresses are learned at the port; 0: DefaultMACLimit,
	// below 0: no limit. Frames from further ones are dropped. Those learned before
	// it was set stay.
	MACLimit int
	// FloodLimit is how many frames per second from the port go to all others:
	// broadcast, multicast and to unknown stations. A second's worth may come at
	// once. 0: DefaultFloodLimit, below 0: no limit. A station that never sends is
	// unknown when its address has aged: a static entry keeps it known.
	FloodLimit int
	// RateIn bounds what the port sends, RateOut what it is sent.
	RateIn, RateOut Rate
}

// SetPolicy puts the port under another policy. When it returns, no frame is
// judged by the one before. What the limits have counted begins anew.
func (p *Port) SetPolicy(c Policy) error {
	g, err := newGuard(c)
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
	p.adopt(g)
	s.republish()
	return nil
}

// Policy is the port's policy as it was set; the gateway's port has the zero
// Policy. Its slices must not be changed.
func (p *Port) Policy() Policy { return p.guard.Load().policy }

// adopt makes g the port's guard. Callers hold the switch's mu, or are the only
// ones to know p.
func (p *Port) adopt(g *guard) {
	if p.filter != nil {
		g.checks |= checkFilter
	}
	p.guard.Store(g)
	var flags uint32
	if g.policy.Isolated {
		flags |= stateIsolated
	}
	if g.rateOut != nil {
		flags |= stateMetered
	}
	for {
		old := p.state.Load()
		if p.state.CompareAndSwap(old, old&^(stateIsolated|stateMetered)|flags) {
			return
		}
	}
}

// republish makes every worker see what was published before: no route that was
// remembered under it is used again, and none is under way.
func (s *Switch) republish() {
	s.table.Bump()
	s.barrier()
}

// validate says what is wrong with a policy, and brings its addresses into the
// form that the rest of the package wants.
func (c Policy) validate() (Policy, error) {
	if c.Security > SecurityStrict {
		return c, fmt.Errorf("security level %d does not exist: give SecurityOff, SecurityMACOnly or SecurityStrict", c.Security)
	}
	if c.Security != SecurityOff && !c.MAC.IsUnicast() {
		return c, fmt.Errorf("port security with the address %s: give the station's own", c.MAC)
	}
	if c.FloodLimit > maxFloodLimit {
		return c, fmt.Errorf("a flood limit of %d frames per second is out of range: give up to %d, or below 0 for none", c.FloodLimit, maxFloodLimit)
	}
	if n := len(c.Addrs) + len(c.Prefixes); n > maxSources {
		return c, fmt.Errorf("%d addresses and prefixes at a port: give %d at most", n, maxSources)
	}
	c.Addrs, c.Prefixes = slices.Clone(c.Addrs), slices.Clone(c.Prefixes)
	for i, a := range c.Addrs {
		if a = a.Unmap().WithZone(""); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return c, fmt.Errorf("the address %q of a port: give one that a station can have", c.Addrs[i])
		}
		c.Addrs[i] = a
	}
	for i, p := range c.Prefixes {
		if !p.IsValid() || p.Addr().Is4In6() {
			return c, fmt.Errorf("the prefix %q of a port: give one as 10.1.0.0/16 or fd00:1::/64", p)
		}
		c.Prefixes[i] = p.Masked()
	}
	return c, nil
}
