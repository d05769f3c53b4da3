package vswitch

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// Protocol is what a [Rule] is about.
type Protocol uint8

// The protocols. ICMP is that of IPv4 or ICMPv6, by the packet.
const (
	ProtocolAny Protocol = iota // all frames, IP or not
	ProtocolTCP
	ProtocolUDP
	ProtocolICMP
)

// RuleAction is what a [Rule] has done with a frame.
type RuleAction uint8

// The actions of rules.
const (
	Allow RuleAction = iota
	Deny
)

// MaxRules is how many rules a segment may have.
const MaxRules = 1024

// Rule allows or denies frames between two ports of a segment. It keeps no state:
// a rule for what a client sends says nothing about the answers.
//
// ARP and IPv6's neighbour and router discovery are never denied, and frames from
// and to the gateway, and the host behind it, are no rule's business. What a tag or an
// IPv6 extension header precedes is matched as if it did not, and a super-frame as its
// segments would be.
//
// A fragment other than the first shows no ports: it matches by its protocol
// alone, whatever ports the rule wants. So a datagram that a rule denies does not
// get there in parts, while one that it does not may have to travel in one piece.
// A packet that hides its protocol, because its headers go on in a later
// fragment, matches every protocol.
type Rule struct {
	From, To []*Port // nil: any port; empty: none
	Protocol Protocol
	// Ports are the destination ports of TCP or UDP. The zero range is all, other
	// protocols included.
	Ports  PortRange
	Action RuleAction
}

// PortRange is a range of TCP or UDP ports, both ends included.
type PortRange struct{ First, Last uint16 }

// rules are a segment's rules as workers read them. They do not change, but for
// their hits.
type rules struct {
	list []rule
	hits [][]atomic.Uint64 // by worker, then by rule, far apart
}

type rule struct {
	about    protocols
	ported   bool // ports says which
	deny     bool
	ports    PortRange
	from, to portSet
}

// portSet is a set of port slots; nil is all.
type portSet []uint64

func (s portSet) has(slot uint32) bool {
	return s == nil || int(slot/64) < len(s) && s[slot/64]>>(slot%64)&1 != 0
}

// without is the set without a slot. It stays a set: that of no port is not nil.
func (s portSet) without(slot uint32) portSet {
	if s == nil || !s.has(slot) {
		return s
	}
	c := slices.Clone(s)
	c[slot/64] &^= 1 << (slot % 64)
	return c
}

// SetRules puts the segment under other rules: of those that match a frame, the
// first says whether it may pass, and where none does it may. When it returns, no
// frame is judged by the ones before. A port that is removed leaves the rules. No
// rules cost nothing; each that a frame is held against costs some nanoseconds.
func (s *Segment) SetRules(list []Rule) error {
	sw := s.owner
	sw.mu.Lock()
	defer sw.mu.Unlock()
	if err := sw.usable(s); err != nil {
		return err
	}
	if len(list) == 0 {
		s.rules.Store(nil)
		sw.republish()
		return nil
	}
	if len(list) > MaxRules {
		return fmt.Errorf("%d rules for a segment: give %d at most", len(list), MaxRules)
	}
	r := &rules{list: make([]rule, len(list)), hits: make([][]atomic.Uint64, len(sw.workers))}
	for i, c := range list {
		var err error
		if r.list[i], err = s.compile(c); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	for i := range r.hits {
		// Room on both sides, so that no two workers write to the same cache lines.
		all := make([]atomic.Uint64, len(list)+2*cacheLines/8)
		r.hits[i] = all[cacheLines/8:][:len(list)]
	}
	s.rules.Store(r)
	sw.republish()
	return nil
}

// RuleHits is how many frames each of the segment's rules has decided on since
// they were set; of one that goes to several ports, each copy.
func (s *Segment) RuleHits() []uint64 {
	r := s.rules.Load()
	if r == nil {
		return nil
	}
	sum := make([]uint64, len(r.list))
	for _, hits := range r.hits {
		for i := range hits {
			sum[i] += hits[i].Load()
		}
	}
	return sum
}

// compile checks a rule and brings it into the form that workers read.
func (s *Segment) compile(c Rule) (rule, error) {
	r := rule{about: 1 << c.Protocol, ported: c.Ports != (PortRange{}), ports: c.Ports, deny: c.Action == Deny}
	if c.Protocol > ProtocolICMP || c.Action > Deny {
		return r, fmt.Errorf("protocol %d and action %d: give one of those that there are", c.Protocol, c.Action)
	}
	if r.ported && (c.Protocol == ProtocolICMP || c.Ports.First > c.Ports.Last) {
		return r, fmt.Errorf("ports %d to %d: give the lower first, and none with ICMP", c.Ports.First, c.Ports.Last)
	}
	switch {
	case c.Protocol == ProtocolAny && r.ported:
		r.about = tcpBit | udpBit
	case c.Protocol == ProtocolAny:
		r.about = allBits
	}
	var err error
	if r.from, err = s.portSet(c.From); err != nil {
		return r, err
	}
	r.to, err = s.portSet(c.To)
	return r, err
}

func (s *Segment) portSet(ports []*Port) (portSet, error) {
	if ports == nil {
		return nil, nil
	}
	set := portSet{}
	for _, p := range ports {
		if p.segment != s || p.responder != nil || p.filter != nil || !s.owner.holds(p) {
			return nil, fmt.Errorf("port %q: give ports of stations on this segment", p.name)
		}
		for int(p.slot/64) >= len(set) {
			set = append(set, 0)
		}
		set[p.slot/64] |= 1 << (p.slot % 64)
	}
	return set, nil
}

// without is the rules for when a slot is about to be another port's.
func (r *rules) without(slot uint32) *rules {
	c := &rules{list: slices.Clone(r.list), hits: r.hits}
	for i := range c.list {
		c.list[i].from = c.list[i].from.without(slot)
		c.list[i].to = c.list[i].to.without(slot)
	}
	return c
}
