package policy

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
)

// link is what a port's host may be and carry beside its own: the policy's MACs and
// Protocols as workers read them. It is asked only for what is refused without it.
type link struct {
	macs     []macMask
	types    []uint16 // EtherTypes
	llc      bool
	reserved bool // all to reserved groups
}

type macMask struct{ mac, mask uint64 }

// linkLocal is where IPv6 link-local addresses are (RFC 4291 §2.4).
var linkLocal = netip.MustParsePrefix("fe80::/10")

func newLink(c Policy) (l link) {
	for _, m := range c.MACs {
		l.macs = append(l.macs, macMask{m.MAC.Uint64(), m.Mask.Uint64()})
	}
	for _, p := range c.Protocols {
		switch p {
		case ethertype.LLC:
			l.llc = true
		case ethertype.ReservedGroups:
			l.reserved = true
		default:
			l.types = append(l.types, p.EtherTypes()...)
		}
	}
	return l
}

// hasMAC reports whether the host may have a MAC that is not its own.
func (l *link) hasMAC(mac uint64) bool {
	for _, m := range l.macs {
		if mac&m.mask == m.mac {
			return true
		}
	}
	return false
}

// mayBe reports whether m is a MAC that the port's host may have.
func (g *Guard) mayBe(m frame.MAC) bool {
	mac := m.Uint64()
	return mac == g.mac || g.more.hasMAC(mac)
}

// hasLinkLocal reports whether a is the link-local address of a MAC that the host may
// have beside its own.
func (l *link) hasLinkLocal(a frame.Addr6) bool {
	const prefix, fffe = 0xfe80 << 48, 0xfffe << 24
	if len(l.macs) == 0 || a.Hi != prefix || a.Lo&(0xffff<<24) != fffe {
		return false
	}
	// RFC 4291 appendix A: the MAC's halves around ff:fe, its second bit inverted.
	mac := (a.Lo>>40)<<24 | a.Lo&0xffffff
	return l.hasMAC(mac ^ 2<<40)
}

// carries reports whether the port's host may send frames of an EtherType or length.
func (l *link) carries(etherType uint16) bool {
	if frame.IsLength(etherType) {
		return l.llc
	}
	return slices.Contains(l.types, etherType)
}

// carriesTags reports whether all tags of a frame in a VLAN are of types that the host
// may send. A frame that ends within a tag has none of any use.
func (l *link) carriesTags(f *frame.Parsed) bool {
	return len(l.types) > 0 && l.refusedTag(f) == 0
}

// refusedTag returns the type of the first tag of a frame in a VLAN that the host may
// not send, or 0.
func (l *link) refusedTag(f *frame.Parsed) uint16 {
	offset := 12 // of a tag, from its type on
	for range f.Tags {
		tag := binary.BigEndian.Uint32(f.Eth[offset:])
		if t := uint16(tag >> 16); tag&0xfff != 0 && !l.carries(t) {
			return t
		}
		offset += frame.VLANTagLen
	}
	switch f.EtherType {
	case frame.EtherTypeVLAN, frame.EtherTypeQinQ: // cut off
		return f.EtherType
	case frame.EtherTypeQinQOld:
		if !l.carries(f.EtherType) {
			return f.EtherType
		}
	}
	return 0
}
