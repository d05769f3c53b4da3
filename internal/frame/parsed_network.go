package frame

import (
	"encoding/binary"
	"net/netip"
)

// Addr6 is an IPv6 address as two numbers, most significant byte first.
type Addr6 struct{ Hi, Lo uint64 }

// Addr6From returns a as numbers; an IPv4 address becomes the IPv4-mapped one, and
// the zero Addr the unspecified one.
func Addr6From(a netip.Addr) Addr6 {
	if !a.IsValid() {
		return Addr6{}
	}
	b := a.As16()
	return addr6At(&b)
}

// Addr returns the address for all who are not on the packet path.
func (a Addr6) Addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b)
}

func addr6At(b *[16]byte) Addr6 {
	return Addr6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Uint32 returns an IPv4 address as a number, most significant byte first; 0 for
// what is no IPv4 address.
func Uint32(a netip.Addr) uint32 {
	b := as4(a)
	return binary.BigEndian.Uint32(b[:])
}

// AddrFromUint32 returns the IPv4 address that [Uint32] makes v of.
func AddrFromUint32(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// readIPv4 wants a header of at least 20 bytes that lies in the frame. The total
// length is not looked at: the kernel drops what is wrong about it, and those that
// read beyond the header ask [Parsed.IPv4].
func (p *Parsed) readIPv4() {
	b := p.Eth[p.Offset:]
	if len(b) < IPv4HeaderLen || b[0]>>4 != 4 {
		p.finish(NetworkMalformed)
		return
	}
	header := uint32(b[0]&15) * 4
	if header < IPv4HeaderLen || header > uint32(len(b)) {
		p.finish(NetworkMalformed)
		return
	}
	p.level, p.network, p.upper = levelUpper, NetworkIPv4, true
	p.Transport = p.Offset + header
	p.setIPv4((*[IPv4HeaderLen]byte)(b))
}

// setIPv4 sets what follows from the header h.
func (p *Parsed) setIPv4(h *[IPv4HeaderLen]byte) {
	fragment := binary.BigEndian.Uint16(h[6:8])
	p.Fragment, p.Later = fragment&ipv4PartMask != 0, fragment&ipv4LaterMask != 0
	p.Protocol = h[9]
	p.Src4 = binary.BigEndian.Uint32(h[12:16])
	p.Dst4 = binary.BigEndian.Uint32(h[16:20])
}

func (p *Parsed) readARP() {
	a, ok := ParseARP(p.Eth[p.Offset:])
	if !ok {
		p.finish(NetworkMalformed)
		return
	}
	p.ARPOp = binary.BigEndian.Uint16(a[6:8])
	p.Src4 = binary.BigEndian.Uint32(a[arpSenderIP:])
	p.Dst4 = binary.BigEndian.Uint32(a[arpTargetIP:])
	p.finish(NetworkARP)
}

func (p *Parsed) readIPv6() {
	b, ok := ParseIPv6(p.Eth[p.Offset:])
	if !ok {
		p.finish(NetworkMalformed)
		return
	}
	p.end = p.Offset + uint32(len(b))
	p.Src6 = addr6At((*[16]byte)(b[8:24]))
	p.Dst6 = addr6At((*[16]byte)(b[24:40]))
	p.level, p.network, p.upper = levelNetwork, NetworkIPv6, false
	if next := b.NextHeader(); extensions[next] == 0 {
		p.level, p.upper = levelUpper, true
		p.Protocol, p.Transport = next, p.Offset+IPv6HeaderLen
		p.Fragment, p.Later, p.TooMany = false, false, false
	}
}

func (p *Parsed) readUpper() {
	if p.Network(); p.level >= levelUpper {
		return
	}
	b := IPv6(p.Eth[p.Offset:p.end])
	c := chain{protocol: b.NextHeader(), offset: IPv6HeaderLen}
	p.upper = c.walk(b, extAny)
	p.Protocol, p.Transport = c.protocol, p.Offset+uint32(c.offset)
	p.Fragment, p.Later, p.TooMany = c.fragment, c.later, c.tooMany
	p.level = levelUpper
}

// Body returns what begins at Transport, up to the packet's end: for IPv6 by its
// payload length, for IPv4 all of the frame. It is nil unless Upper returns true.
func (p *Parsed) Body() []byte {
	if !p.Upper() {
		return nil
	}
	return p.body()
}

// ARP returns the packet of a frame whose Network is NetworkARP.
func (p *Parsed) ARP() (ARP, bool) {
	if p.Network() != NetworkARP {
		return nil, false
	}
	return ARP(p.Eth[p.Offset:][:ARPLen]), true
}

// ARPSender returns the sender's protocol address of ARP as a Linux host reads it:
// on Ethernet that takes packets of hardware type 6 (IEEE 802) for ones of type 1,
// which are NetworkMalformed here (net/ipv4/arp.c: arp_process).
func (p *Parsed) ARPSender() (addr uint32, ok bool) {
	switch p.Network() {
	case NetworkARP:
		return p.Src4, true
	case NetworkMalformed:
		b := p.Eth[p.Offset:]
		if p.EtherType != EtherTypeARP || len(b) < ARPLen {
			break
		}
		if binary.BigEndian.Uint64(b)>>16 == arpIPv4IEEE802 {
			return binary.BigEndian.Uint32(b[arpSenderIP:]), true
		}
	}
	return 0, false
}

// IPv4 returns the packet of a frame whose Network is NetworkIPv4, cut to its total
// length, if that is right, see [ParseIPv4].
func (p *Parsed) IPv4() (IPv4, bool) {
	if p.Network() != NetworkIPv4 {
		return nil, false
	}
	return ParseIPv4(p.Eth[p.Offset:])
}

// IPv6 returns the packet of a frame whose Network is NetworkIPv6, cut to its
// payload length.
func (p *Parsed) IPv6() (IPv6, bool) {
	if p.Network() != NetworkIPv6 {
		return nil, false
	}
	return IPv6(p.Eth[p.Offset:p.end]), true
}
