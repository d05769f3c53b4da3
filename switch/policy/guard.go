package policy

import (
	"math"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// Guard is a [Policy] as workers read it. It does not change, but for what its
// buckets hold, and is for any number of workers at once.
type Guard struct {
	own4 uint64 // the first of the IPv4 addresses; none4 without one
	mac  uint64

	// Checks is what is left to do for each frame of a remembered route.
	Checks Checks
	// Security is the policy's.
	Security Security
	carries6 bool // Policy.IPv6
	// Isolated is the policy's.
	Isolated bool
	// MACLimit is how many addresses are learned at the port, NoLimit without one.
	MACLimit int32
	// Flood counts frames. nil: no limit.
	Flood *Bucket
	// RateIn and RateOut pace what the port sends and is sent. nil: no limit.
	RateIn, RateOut *Shaper

	more4  []uint32 // the other IPv4 addresses
	nets4  []net4
	own6   []frame.Addr6 // the link-local address first
	nets6  []net6
	links6 []net6 // those of nets6 that neighbour discovery may claim

	more link // what it may be and carry beside its own

	policy Policy // as it was set
}

// Checks is a set of what differs between frames with the same Ethernet header, so
// that it is checked for each of them.
type Checks uint8

// The checks. Those from CheckNext on are the caller's own.
const (
	CheckSource Checks = 1 << iota // Guard.Inspect
	CheckNext
)

// NoLimit is the MACLimit of a port that may learn as many as the table holds.
const NoLimit = math.MaxInt32

// none4 is the own4 of a port without an IPv4 address, which no address equals.
const none4 = 1 << 32

type (
	net4 struct{ addr, mask uint32 }
	net6 struct{ addr, mask frame.Addr6 }
)

// Gateway is what a segment's ports may not claim to be: its gateway. The zero MAC
// and the zero IP4 are those of none.
type Gateway struct {
	MAC uint64 // as frame.MAC.Uint64
	IP4 uint32 // as frame.Uint32
}

// NewGuard returns the guard of a policy, or an error that says what is wrong with
// it.
func NewGuard(c Policy) (*Guard, error) {
	c, err := c.validate()
	if err != nil {
		return nil, err
	}
	g := &Guard{
		own4: none4, mac: c.MAC.Uint64(), Security: c.Security, carries6: c.IPv6, Isolated: c.Isolated,
		MACLimit: NoLimit, policy: c,
	}
	if c.MACLimit == 0 {
		g.MACLimit = DefaultMACLimit
	} else if c.MACLimit > 0 {
		g.MACLimit = int32(min(c.MACLimit, NoLimit))
	}
	switch {
	case c.FloodLimit == 0:
		g.Flood = NewBucket(DefaultFloodLimit, DefaultFloodLimit)
	case c.FloodLimit > 0:
		g.Flood = NewBucket(float64(c.FloodLimit), float64(c.FloodLimit))
	}
	if g.RateIn, err = c.RateIn.shaper(); err != nil {
		return nil, err
	}
	if g.RateOut, err = c.RateOut.shaper(); err != nil {
		return nil, err
	}
	if c.Security == SecurityStrict {
		g.Checks |= CheckSource
	}
	g.addSources(c)
	g.more = newLink(c)
	return g, nil
}

// addSources fills in the addresses that c allows.
func (g *Guard) addSources(c Policy) {
	g.own6 = append(g.own6, frame.Addr6From(c.MAC.LinkLocal()))
	for _, a := range c.Addrs {
		switch {
		case a.Is6():
			g.own6 = append(g.own6, frame.Addr6From(a))
		case g.own4 == none4:
			g.own4 = uint64(frame.Uint32(a))
		default:
			g.more4 = append(g.more4, frame.Uint32(a))
		}
	}
	for _, p := range c.Prefixes {
		bits := p.Bits()
		if p.Addr().Is4() {
			g.nets4 = append(g.nets4, net4{frame.Uint32(p.Addr()), ^uint32(0) << (32 - bits)})
			continue
		}
		mask := frame.Addr6{
			Hi: ^uint64(0) << (64 - min(bits, 64)), Lo: ^uint64(0) << (128 - max(bits, 64)),
		}
		n := net6{frame.Addr6From(p.Addr()), mask}
		g.nets6 = append(g.nets6, n)
		if bits >= 64 || linkLocal.Contains(p.Addr()) && bits >= linkLocal.Bits() {
			g.links6 = append(g.links6, n)
		}
	}
}

// Policy returns the policy as it was set. Its slices must not be changed.
func (g *Guard) Policy() Policy { return g.policy }

// Admit returns why a frame may not come in, or [drop.None]. It is for a frame
// whose route is not remembered; the source address is no group's and not zero.
func (g *Guard) Admit(f *frame.Parsed, gw Gateway) drop.Reason {
	src := f.Eth.SrcUint64()
	if src == gw.MAC {
		return drop.SpoofedGateway
	}
	f.Link()
	if f.EtherType == frame.EtherTypeARP && gw.claimedBy(f) {
		return drop.SpoofedGateway
	}
	switch {
	case g.Security == SecurityOff:
		return drop.None
	case src != g.mac && !g.more.hasMAC(src):
		return drop.SpoofedMAC
	case f.VLAN && !g.more.carriesTags(f):
		return drop.VLANTagged
	case g.Security == SecurityMACOnly:
		return drop.None
	}
	return g.Inspect(f)
}

// claimedBy reports whether an ARP frame names the gateway's address as its
// sender's. In a VLAN it does not: there the segment's gateway is none.
func (gw Gateway) claimedBy(f *frame.Parsed) bool {
	if gw.IP4 == 0 || f.VLAN {
		return false
	}
	sender, ok := f.ARPSender()
	return ok && sender == gw.IP4
}

// Inspect returns why a SecurityStrict port's frame, whose source address is one that
// the port may have, is dropped, or [drop.None]. For a frame with the same Ethernet header
// as one that Admit has let pass, it is all that is left to ask.
func (g *Guard) Inspect(f *frame.Parsed) drop.Reason {
	if h := f.PlainIPv4(); h != nil {
		if g.plain4(h) {
			return drop.None
		}
	} else if h := f.PlainIPv6(); h != nil && g.plain6(h) {
		return drop.None
	}
	return g.inspect(f)
}

func (g *Guard) inspect(f *frame.Parsed) drop.Reason {
	n := f.Network()
	if f.VLAN && !g.more.carriesTags(f) {
		return drop.VLANTagged
	}
	switch f.EtherType {
	case frame.EtherTypeIPv4:
		if n == frame.NetworkIPv4 {
			return g.inspectIPv4(f)
		}
		return drop.MalformedIP
	case frame.EtherTypeARP:
		return g.inspectARP(f)
	case frame.EtherTypeIPv6:
		if g.carries6 {
			return g.inspectIPv6(f)
		}
	}
	if reserved(f) || g.more.carries(f.EtherType) { // of reserved groups Guard.Reserved decides
		return drop.None
	}
	return drop.UnassignedProtocol
}

// Rememberable reports whether the verdict on f, beyond Checks, and its route hold
// for all frames with the same Ethernet header. They do not for ARP, which the
// responder has to see, and not behind VLAN tags, whose Ethernet header does not
// say what follows them.
func Rememberable(f *frame.Parsed) bool {
	switch f.Eth.EtherType() {
	case frame.EtherTypeARP, frame.EtherTypeVLAN, frame.EtherTypeQinQ:
		return false
	}
	return true
}

// bridgeGroup is the first of the 16 addresses that a bridge treats by themselves,
// that of spanning trees (IEEE 802.1Q-2022 §8.6.3).
const bridgeGroup = 0x0180c2000000

// reserved reports whether a frame is for 01:80:C2:00:00:00 to -0F.
func reserved(f *frame.Parsed) bool { return f.Eth.DstUint64()&^0xf == bridgeGroup }

// Reserved returns why a frame to one of 01:80:C2:00:00:00 to -0F is dropped, or
// [drop.None], which is its answer for all other addresses. It is for frames to a
// group address whose link level was read.
func (g *Guard) Reserved(f *frame.Parsed) drop.Reason {
	switch {
	case !reserved(f):
		return drop.None
	case f.Eth.DstUint64() == bridgeGroup:
		if g.policy.BPDUGuard {
			return drop.BPDUGuard
		}
	case !g.more.reserved && !g.more.carries(f.EtherType):
		return drop.ReservedGroup
	}
	return drop.None
}
