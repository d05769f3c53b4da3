package policy

import (
	"net/netip"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	"vswitch/switch/drop"
)

// Allowable has the reasons of frames that another policy would let pass, which [Guard.Lacks]
// tells.
var Allowable = [...]drop.Reason{
	drop.ReservedGroup, drop.SpoofedMAC, drop.SpoofedARP, drop.SpoofedIP, drop.SpoofedND,
	drop.VLANTagged, drop.UnassignedProtocol,
}

// Allowance is what a policy lacks to let a frame pass: one of MACs, Addrs or Protocols. The
// zero Allowance is none.
type Allowance struct {
	MAC      frame.MAC
	Addr     netip.Addr
	Protocol ethertype.Protocol
}

// Lacks returns what the policy lacks to let pass a frame that is refused for a reason of
// [Allowable]; once it has that, the frame may be refused for another reason. It is the zero
// Allowance where the policy is not why the frame is refused, or none can allow it. It is for
// reports, not for each frame.
func (g *Guard) Lacks(f *frame.Parsed, r drop.Reason) Allowance {
	n := f.Network()
	switch r {
	case drop.SpoofedMAC:
		return g.lacksMAC(f.Eth.Src())
	case drop.VLANTagged:
		if t := g.more.refusedTag(f); t != 0 && !g.more.carries(t) {
			return Allowance{Protocol: ethertype.Of(t)}
		}
	case drop.UnassignedProtocol, drop.ReservedGroup:
		switch {
		case !frame.CheckedByAddress(f.EtherType):
			return Allowance{Protocol: ethertype.Of(f.EtherType)}
		case r == drop.ReservedGroup:
			return Allowance{Protocol: ethertype.ReservedGroups}
		}
	case drop.SpoofedARP:
		if a, ok := f.ARP(); ok {
			return g.lacksARP(a)
		}
	case drop.SpoofedIP:
		if n == frame.NetworkIPv4 && !g.allows4(f.Src4) {
			return lacksAddr(frame.AddrFromUint32(f.Src4))
		}
		if n == frame.NetworkIPv6 && !g.allows6(f.Src6) {
			return lacksAddr(f.Src6.Addr())
		}
	case drop.SpoofedND:
		if m, ok := frame.ParseND(f.Body()); ok && !f.Fragment {
			return g.lacksND(m)
		}
	}
	return Allowance{}
}

func (g *Guard) lacksMAC(m frame.MAC) Allowance {
	if g.mayBe(m) || !m.IsUnicast() {
		return Allowance{}
	}
	return Allowance{MAC: m}
}

func lacksAddr(a netip.Addr) Allowance {
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return Allowance{}
	}
	return Allowance{Addr: a}
}

func (g *Guard) lacksARP(a frame.ARP) Allowance {
	switch ip := a.SenderIP(); {
	case !g.mayBe(a.SenderMAC()):
		return g.lacksMAC(a.SenderMAC())
	case !g.owns4(frame.Uint32(ip)):
		return lacksAddr(ip)
	}
	return Allowance{}
}

func (g *Guard) lacksND(m frame.ND) Allowance {
	if mac, foreign := m.ForeignLinkLayer(g.mayBe); foreign {
		return g.lacksMAC(mac)
	}
	if to := m.Target(); to.IsValid() && !g.mayClaim6(frame.Addr6From(to)) {
		return lacksAddr(to)
	}
	return Allowance{}
}
