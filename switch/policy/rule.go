package policy

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

// Action is what a [Rule] does with a frame.
type Action uint8

// The actions of rules.
const (
	Allow Action = iota
	Deny
)

// Limits of rules.
const (
	MaxRules = 1024      // of a segment
	MaxSlot  = 1<<16 - 1 // the highest slot of a port; slot 0 is no port's
)

// Rule allows or denies frames between two ports of a segment. It keeps no state:
// a rule for what a client sends does not cover the answers.
//
// ARP and IPv6's neighbour and router discovery are never denied. What a tag or an
// IPv6 extension header precedes is matched as if it did not, and a super-frame as
// its segments would be.
//
// A fragment other than the first shows no ports: it matches by its protocol
// alone, whatever ports the rule wants. So a datagram that a rule denies does not
// get there in parts, while one that it does not may have to travel in one piece.
// A packet that hides its protocol, because its headers go on in a later fragment
// or there are more than [frame.MaxExtensions], matches every protocol.
type Rule struct {
	From, To []uint32 // slots of ports; nil: any port, empty: none
	Protocol Protocol
	// Ports are the destination ports of TCP or UDP. The zero range is all, other
	// protocols included.
	Ports  PortRange
	Action Action
	// Hits is where the rule's hits are counted: [HitWords] words for each worker, of which the
	// first counts, one worker's after the other's. They begin at a multiple of 128 bytes, and
	// nobody else writes to them. They count on from what they hold. Nil is memory of their own.
	Hits []atomic.Uint64
}

// HitWords is how many words apart two workers count the hits of a rule, so that they write to
// different cache lines.
const HitWords = cacheLines / 8

// PortRange is a range of TCP or UDP ports, both ends included.
type PortRange struct{ First, Last uint16 }

// Rules are a segment's rules as workers read them. They do not change, but for
// their hits. A nil *Rules has no rules.
type Rules struct {
	list []rule
	hits [][]atomic.Uint64 // by rule, then by worker, HitWords apart
}

type rule struct {
	about    protocols
	ported   bool // ports says which
	deny     bool
	ports    PortRange
	from, to slotSet
}

// slotSet is a set of slots; nil is all.
type slotSet []uint64

func (s slotSet) has(slot uint32) bool {
	return s == nil || int(slot/64) < len(s) && s[slot/64]>>(slot%64)&1 != 0
}

// without returns the set without a slot. It stays a set: that of no slot is not
// nil.
func (s slotSet) without(slot uint32) slotSet {
	if s == nil || !s.has(slot) {
		return s
	}
	c := slices.Clone(s)
	c[slot/64] &^= 1 << (slot % 64)
	return c
}

// cacheLines is the size in bytes of two cache lines, which processors fetch
// together.
const cacheLines = 128

// NewRules compiles rules for that many workers: of those that match a frame, the
// first decides whether it may pass, and where none does it may. No rules make
// nil. The error says which rule is wrong, counted from 1, and why.
func NewRules(list []Rule, workers int) (*Rules, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > MaxRules {
		return nil, fmt.Errorf("%d rules for a segment: give %d at most", len(list), MaxRules)
	}
	r := &Rules{list: make([]rule, len(list)), hits: make([][]atomic.Uint64, len(list))}
	for i, c := range list {
		var err error
		if r.list[i], err = compile(c); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		if r.hits[i], err = hitsOf(c, workers); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return r, nil
}

// hitsOf returns the memory of a rule's hits.
func hitsOf(c Rule, workers int) ([]atomic.Uint64, error) {
	switch {
	case c.Hits == nil:
		return make([]atomic.Uint64, workers*HitWords), nil
	case len(c.Hits) != workers*HitWords:
		return nil, fmt.Errorf("%d words of hits: give %d, or none", len(c.Hits), workers*HitWords)
	}
	return c.Hits, nil
}

// compile checks a rule and brings it into the form that workers read.
func compile(c Rule) (rule, error) {
	r := rule{
		about: 1 << c.Protocol, ported: c.Ports != (PortRange{}), ports: c.Ports,
		deny: c.Action == Deny,
	}
	if c.Protocol > ProtocolICMP || c.Action > Deny {
		return r, fmt.Errorf(
			"protocol %d and action %d: give one of those that there are", c.Protocol, c.Action,
		)
	}
	if r.ported && (c.Protocol == ProtocolICMP || c.Ports.First > c.Ports.Last) {
		return r, fmt.Errorf(
			"ports %d to %d: give the lower first, and none with ICMP", c.Ports.First, c.Ports.Last,
		)
	}
	switch {
	case c.Protocol == ProtocolAny && r.ported:
		r.about = tcpBit | udpBit
	case c.Protocol == ProtocolAny:
		r.about = allBits
	}
	var err error
	if r.from, err = newSlotSet(c.From); err != nil {
		return r, err
	}
	r.to, err = newSlotSet(c.To)
	return r, err
}

func newSlotSet(slots []uint32) (slotSet, error) {
	if slots == nil {
		return nil, nil
	}
	set := slotSet{}
	for _, slot := range slots {
		if slot == 0 || slot > MaxSlot {
			return nil, fmt.Errorf("slot %d: give one of 1 to %d", slot, MaxSlot)
		}
		if n := int(slot/64) + 1; n > len(set) {
			set = append(set, make(slotSet, n-len(set))...)
		}
		set[slot/64] |= 1 << (slot % 64)
	}
	return set, nil
}

// Deny finds the first rule that matches a frame from the port in slot from to the
// one in slot to, counts it for worker, and reports whether it denies the frame.
func (r *Rules) Deny(worker int, from, to uint32, t Traffic) bool {
	if r == nil || t.Exempt {
		return false
	}
	for i := range r.list {
		if r.list[i].matches(from, to, t) {
			r.hits[i][worker*HitWords].Add(1)
			return r.list[i].deny
		}
	}
	return false
}

// matches reports whether a rule is about traffic from one slot to another. A rule
// that wants ports is about TCP and UDP only, see compile.
func (r *rule) matches(from, to uint32, t Traffic) bool {
	return r.about&t.is != 0 &&
		(!r.ported || !t.ported || t.port >= r.ports.First && t.port <= r.ports.Last) &&
		r.from.has(from) && r.to.has(to)
}

// Hits returns how many frames each rule has decided on, by all workers; nil
// without rules. Of a frame that goes to several ports, each copy counts.
func (r *Rules) Hits() []uint64 {
	if r == nil {
		return nil
	}
	sum := make([]uint64, len(r.list))
	for i, hits := range r.hits {
		sum[i] = ReadHits(hits)
	}
	return sum
}

// ReadHits sums up what the words of a rule's hits hold, see [Rule].
func ReadHits(words []atomic.Uint64) uint64 {
	var sum uint64
	for i := 0; i < len(words); i += HitWords {
		sum += words[i].Load()
	}
	return sum
}

// Without returns the rules without a slot, for when it is about to be another
// port's. They count the same hits.
func (r *Rules) Without(slot uint32) *Rules {
	if r == nil {
		return nil
	}
	c := &Rules{list: slices.Clone(r.list), hits: r.hits}
	for i := range c.list {
		c.list[i].from = c.list[i].from.without(slot)
		c.list[i].to = c.list[i].to.without(slot)
	}
	return c
}
