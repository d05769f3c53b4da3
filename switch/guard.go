package vswitch

import (
	"encoding/binary"
	"net/netip"

	"vswitch/frame"
	"vswitch/switch/fdb"
)

// guard is a policy as workers read it. It does not change, but for what its
// buckets hold.
type guard struct {
	policy   Policy // as it was set
	security Security
	checks   checks // what is left to do for each frame of a remembered route
	mac      uint64
	own4     uint32 // the first of the IPv4 addresses; 0 without one
	more4    []uint32
	nets4    []net4
	own6     []addr6 // the link-local address first
	nets6    []net6
	macLimit int32

	flood, rateIn, rateOut *bucket // nil: no limit
}

// checks is what must be looked at in a frame that goes the way of the one
// before: what differs between frames with the same Ethernet header.
type checks uint8

const (
	checkSource  checks = 1 << iota // the guard's inspect
	checkRate                       // the guard's rateIn
	checkRules                      // the segment's rules
	checkFilter                     // the host port's filter; it and what follows: host.go
	checkGateway                    // the segment's responder, whose port the route leads to
)

// noLimit is the macLimit of who may learn as many as the table holds.
const noLimit = fdb.NoLimit

type (
	net4  struct{ addr, mask uint32 }
	addr6 struct{ hi, lo uint64 }
	net6  struct{ addr, mask addr6 }
)

// newGuard makes the guard of a policy, or says what is wrong with it.
func newGuard(c Policy) (*guard, error) {
	c, err := c.validate()
	if err != nil {
		return nil, err
	}
	g := &guard{policy: c, security: c.Security, mac: c.MAC.Uint64(), macLimit: noLimit}
	if c.MACLimit == 0 {
		g.macLimit = DefaultMACLimit
	} else if c.MACLimit > 0 {
		g.macLimit = int32(min(c.MACLimit, noLimit))
	}
	switch {
	case c.FloodLimit == 0:
		g.flood = newBucket(DefaultFloodLimit, DefaultFloodLimit)
	case c.FloodLimit > 0:
		g.flood = newBucket(float64(c.FloodLimit), float64(c.FloodLimit))
	}
	if g.rateIn, err = c.RateIn.bucket(); err != nil {
		return nil, err
	}
	if g.rateOut, err = c.RateOut.bucket(); err != nil {
		return nil, err
	}
	if c.Security == SecurityStrict {
		g.checks |= checkSource
	}
	if g.rateIn != nil {
		g.checks |= checkRate
	}
	g.addSources(c)
	return g, nil
}

// addSources fills in the addresses that c allows.
func (g *guard) addSources(c Policy) {
	g.own6 = append(g.own6, toAddr6(c.MAC.LinkLocal()))
	for _, a := range c.Addrs {
		switch {
		case a.Is6():
			g.own6 = append(g.own6, toAddr6(a))
		case g.own4 == 0:
			g.own4 = toAddr4(a)
		default:
			g.more4 = append(g.more4, toAddr4(a))
		}
	}
	for _, p := range c.Prefixes {
		bits := p.Bits()
		if p.Addr().Is4() {
			g.nets4 = append(g.nets4, net4{toAddr4(p.Addr()), ^uint32(0) << (32 - bits)})
			continue
		}
		mask := addr6{^uint64(0) << (64 - min(bits, 64)), ^uint64(0) << (128 - max(bits, 64))}
		g.nets6 = append(g.nets6, net6{toAddr6(p.Addr()), mask})
	}
}

// admit says why a frame may not come in, or none. It is asked about a frame
// whose route is not remembered.
func (g *guard) admit(s *Segment, eth frame.Ethernet) Reason {
	src, etherType := eth.SrcUint64(), eth.EtherType()
	if gw := s.gateway.Load(); gw != nil && src == gw.mac {
		return SpoofedGateway
	}
	if etherType == frame.EtherTypeARP && s.claimsGateway(eth) {
		return SpoofedGateway
	}
	if g.security == SecurityOff {
		return none
	}
	if src != g.mac {
		return SpoofedMAC
	}
	switch etherType {
	case frame.EtherTypeVLAN, frame.EtherTypeQinQ, frame.EtherTypeQinQOld:
		return VLANTagged
	}
	if g.security == SecurityMACOnly {
		return none
	}
	return g.inspect(eth)
}

// inspect is what a strict port's frames are asked beyond their source address.
func (g *guard) inspect(eth frame.Ethernet) Reason {
	switch eth.EtherType() {
	case frame.EtherTypeIPv4:
		return g.inspectIPv4(eth)
	case frame.EtherTypeARP:
		return g.inspectARP(eth)
	case frame.EtherTypeIPv6:
		if g.policy.IPv6 {
			return g.inspectIPv6(eth)
		}
	}
	if reserved(eth) { // protocols of their own, which AllowReserved is about
		return none
	}
	return UnassignedProtocol
}

// recheck is what remains of admission and rules for a frame that goes the way l,
// which another with the same Ethernet header has gone.
func (w *worker) recheck(p *Port, l *route, b []byte) Reason {
	eth := frame.Ethernet(b[frame.VNetHeaderLen:])
	g := p.guard.Load()
	if l.checks&checkSource != 0 {
		if r := g.inspect(eth); r != none {
			return r
		}
	}
	if l.checks&checkRate != 0 && g.rateIn != nil && !g.rateIn.take(w.clock(), len(eth)) {
		return RateLimitIn
	}
	if l.checks&checkRules != 0 && w.denied(p, l.out, eth) {
		return DeniedByRule
	}
	return none
}

func toAddr4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func toAddr6(a netip.Addr) addr6 {
	b := a.As16()
	return addr6At(b[:])
}

// addr6At reads the address that b begins with.
func addr6At(b []byte) addr6 {
	return addr6{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}
