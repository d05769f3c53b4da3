package frame_test

import (
	"encoding/binary"
	"net/netip"

	"vswitch/internal/frame"
)

// view is all that a Parsed says of a frame; what is not valid is zero.
type view struct {
	etherType                uint16
	tags                     int
	vlan                     bool
	offset                   int
	network                  frame.Network
	src, dst                 netip.Addr
	op                       uint16
	upper                    bool
	fragment, later, tooMany bool
	protocol                 uint8
	transport                int
	body                     int // length
	ports                    bool
	srcPort, dstPort         uint16
}

// levels are the ways to ask for a level of p.
var levels = []func(p *frame.Parsed){
	func(p *frame.Parsed) { p.Link() },
	func(p *frame.Parsed) { p.Network() },
	func(p *frame.Parsed) { p.Upper() },
	func(p *frame.Parsed) { p.Ports() },
	func(p *frame.Parsed) { p.Body() },
	func(p *frame.Parsed) { p.ARP() },
	func(p *frame.Parsed) { p.ARPSender() },
	func(p *frame.Parsed) { p.IPv4() },
	func(p *frame.Parsed) { p.IPv6() },
	func(p *frame.Parsed) { p.PlainIPv4() },
	func(p *frame.Parsed) { p.PlainIPv6() },
}

// observe collects the fields that are valid.
func observe(p *frame.Parsed) view {
	p.Link()
	v := view{
		etherType: p.EtherType, tags: int(p.Tags), vlan: p.VLAN, offset: int(p.Offset),
		network: p.Network(),
	}
	switch v.network {
	case frame.NetworkARP:
		v.src, v.dst, v.op = frame.AddrFromUint32(p.Src4), frame.AddrFromUint32(p.Dst4), p.ARPOp
	case frame.NetworkIPv4:
		v.src, v.dst = frame.AddrFromUint32(p.Src4), frame.AddrFromUint32(p.Dst4)
	case frame.NetworkIPv6:
		v.src, v.dst = p.Src6.Addr(), p.Dst6.Addr()
	}
	v.upper = p.Upper()
	if v.network == frame.NetworkIPv4 || v.network == frame.NetworkIPv6 {
		v.fragment = p.Fragment
	}
	if v.network == frame.NetworkIPv6 {
		v.tooMany = p.TooMany
	}
	if v.upper {
		v.later, v.protocol, v.transport, v.body = p.Later, p.Protocol, int(p.Transport), len(
			p.Body(),
		)
	}
	if v.ports = p.Ports(); v.ports {
		v.srcPort, v.dstPort = p.SrcPort, p.DstPort
	}
	return v
}

// naive is what observe has to say of a frame: byte by byte, as the RFCs have it.
func naive(eth []byte) view {
	at := func(i int) int { return int(eth[i]) }
	at2 := func(i int) int { return at(i)<<8 | at(i+1) }
	v := view{etherType: uint16(at2(12)), offset: 14}
	for v.etherType == 0x8100 || v.etherType == 0x88a8 {
		if v.offset+4 > len(eth) {
			v.vlan = true
			return v
		}
		if at2(v.offset)%4096 != 0 {
			v.vlan = true
		}
		v.etherType = uint16(at2(v.offset + 2))
		v.offset += 4
		v.tags++
	}
	v.vlan = v.vlan || v.etherType == 0x9100
	switch v.etherType {
	case 0x0800:
		naiveIPv4(&v, eth)
	case 0x0806:
		naiveARP(&v, eth)
	case 0x86dd:
		naiveIPv6(&v, eth)
	}
	return v
}

func naiveARP(v *view, eth []byte) {
	b := eth[v.offset:]
	v.network = frame.NetworkMalformed
	if len(b) >= 28 && string(b[:6]) == "\x00\x01\x08\x00\x06\x04" {
		v.network, v.op = frame.NetworkARP, binary.BigEndian.Uint16(b[6:])
		v.src, _ = netip.AddrFromSlice(b[14:18])
		v.dst, _ = netip.AddrFromSlice(b[24:28])
	}
}

func naiveIPv4(v *view, eth []byte) {
	b := eth[v.offset:]
	v.network = frame.NetworkMalformed
	if len(b) < 20 || b[0] < 0x45 || b[0] > 0x4f || len(b) < int(b[0]-0x40)*4 {
		return
	}
	v.network, v.upper = frame.NetworkIPv4, true
	v.src, _ = netip.AddrFromSlice(b[12:16])
	v.dst, _ = netip.AddrFromSlice(b[16:20])
	v.protocol = b[9]
	v.later = b[6]%32 != 0 || b[7] != 0
	v.fragment = v.later || b[6]&0x20 != 0
	v.transport = v.offset + int(b[0]-0x40)*4
	naivePorts(v, eth[v.transport:])
}

func naiveIPv6(v *view, eth []byte) {
	b := eth[v.offset:]
	v.network = frame.NetworkMalformed
	if len(b) < 40 || b[0]>>4 != 6 || len(b) < 40+int(b[4])*256+int(b[5]) {
		return
	}
	b = b[:40+int(b[4])*256+int(b[5])]
	v.network = frame.NetworkIPv6
	v.src, _ = netip.AddrFromSlice(b[8:24])
	v.dst, _ = netip.AddrFromSlice(b[24:40])
	next, rest := b[6], b[40:]
	for n := 0; ; n++ {
		size := 0
		switch next {
		case 0, 43, 60, 135, 139, 140:
			if len(rest) > 1 {
				size = 8 + 8*int(rest[1])
			}
		case 44:
			size, v.fragment = 8, true
		case 51:
			if len(rest) > 1 {
				size = 8 + 4*int(rest[1])
			}
		default:
			v.upper, v.protocol, v.transport = true, next, v.offset+len(b)-len(rest)
			naivePorts(v, rest)
			return
		}
		if v.tooMany = n == 8; v.tooMany || len(rest) < 8 {
			return
		}
		if next == 44 && (rest[2] != 0 || rest[3] > 7) {
			v.later, v.upper, v.protocol = true, true, rest[0]
			v.transport = v.offset + len(b) - len(rest) + 8
			naivePorts(v, rest[8:])
			return
		}
		if len(rest) < size { // the next header lies behind the end, its type does not
			v.fragment = v.fragment || rest[0] == 44
			return
		}
		next, rest = rest[0], rest[size:]
	}
}

func naivePorts(v *view, b []byte) {
	v.body = len(b)
	if v.ports = (v.protocol == 6 || v.protocol == 17) && !v.later && len(b) >= 4; v.ports {
		v.srcPort, v.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
}
