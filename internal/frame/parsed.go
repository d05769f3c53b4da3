package frame

import "encoding/binary"

// Network is the kind of packet in a frame.
type Network uint8

// The kinds of packets.
const (
	NetworkOther     Network = iota // none of the following, by its EtherType
	NetworkARP                      // ARP for IPv4 over Ethernet, see [ParseARP]
	NetworkIPv4                     // by its header alone: the total length may be wrong
	NetworkIPv6                     // lies in the frame, by its payload length, see [ParseIPv6]
	NetworkMalformed                // ARP or IP by its EtherType, and none of these
)

// Parsed is a view on the headers of one frame after the other. It reads a frame
// in levels, each at most once and only as far as somebody asks: link, network,
// upper (behind the IPv6 extension headers) and ports. A level includes those
// before it. The fields of a level that was not asked for, and those that the
// frame does not have, hold what an earlier frame has left.
//
// Parsed keeps a reference to the frame, whose headers must not change while the
// view is in use. It is not for concurrent use, and allocates nothing.
type Parsed struct {
	// Eth is the frame. Valid iff Reset was called.
	Eth Ethernet

	// EtherType is the type behind all VLAN tags (0x8100 and 0x88a8) that lie in
	// the frame whole, or the length of an LLC frame (less than 0x600). Valid iff
	// Link was called, as Tags, VLAN and Offset.
	EtherType uint16
	// Tags is the number of those tags.
	Tags uint16
	// VLAN says that the frame is in a VLAN: one of the tags has an identifier other
	// than 0, or EtherType is still a tag's, because that is cut off or of the type
	// 0x9100. A receiver's kernel takes any number of tags with identifier 0 as none
	// (net/core/dev.c: __netif_receive_skb_core), and does not know 0x9100.
	VLAN bool

	level   level
	network Network // valid from levelNetwork on
	upper   bool    // valid from levelUpper on

	// Offset is where in Eth that begins which follows EtherType.
	Offset uint32
	// Transport is where in Eth the header of type Protocol begins; it may be at the
	// packet's end. Valid as Protocol.
	Transport uint32

	// Src4 and Dst4 are the source and destination of IPv4, or ARP's sender and
	// target protocol address. Valid iff Network returned NetworkIPv4 or NetworkARP.
	Src4, Dst4 uint32

	// Protocol is the type of the header at Transport. Valid for IPv4 iff Network
	// was called, for IPv6 iff Upper returned true.
	Protocol uint8
	// Fragment says that the packet is a fragment, Later that it is not the first
	// one, so that it has no header of the upper layer. Valid for IPv4 iff Network
	// was called, for IPv6 iff Upper was, whatever that returned.
	Fragment, Later bool
	// TooMany says that IPv6 has more than [MaxExtensions] extension headers. Valid
	// for IPv6 iff Upper was called.
	TooMany bool

	// SrcPort and DstPort are those of TCP or UDP. Valid iff Ports returned true.
	SrcPort, DstPort uint16
	ported           bool // valid from levelPorts on

	// ARPOp is ARP's operation. Valid iff Network returned NetworkARP.
	ARPOp uint16

	// end is where in Eth an IPv6 packet ends, padding excluded. Valid from
	// levelNetwork on.
	end uint32

	// Src6 and Dst6 are the source and destination of IPv6. Valid iff Network
	// returned NetworkIPv6.
	Src6, Dst6 Addr6
}

// level is how far a frame has been read.
type level uint8

const (
	levelNone level = iota
	levelLink
	levelNetwork
	levelUpper
	levelPorts
)

// Reset begins with another frame, which must have an Ethernet header.
func (p *Parsed) Reset(eth Ethernet) {
	p.Eth = eth
	p.level = levelNone
}

// Link reads the VLAN tags.
func (p *Parsed) Link() {
	if p.level < levelLink {
		p.readLink()
	}
}

// Network reads the header of ARP, IPv4 or IPv6 and returns which it is.
func (p *Parsed) Network() Network {
	if p.level < levelNetwork {
		p.readNetwork()
	}
	return p.network
}

// Upper reads IPv6's extension headers. It reports whether the packet is IP and
// its upper-layer protocol is known: whether the chain of headers ends in the
// packet, after no more than [MaxExtensions]. A later fragment's ends with the
// fragment header.
func (p *Parsed) Upper() bool {
	if p.level < levelUpper {
		p.readUpper()
	}
	return p.upper
}

// Ports reads the ports of TCP or UDP and reports whether the packet has them: it
// is no later fragment, and four bytes of the header lie in it.
func (p *Parsed) Ports() bool {
	if p.level < levelPorts {
		p.readPorts()
	}
	return p.ported
}

func (p *Parsed) readLink() {
	eth := p.Eth
	etherType, offset := eth.EtherType(), uint32(EthernetHeaderLen)
	p.Tags, p.VLAN = 0, false
	for etherType == EtherTypeVLAN || etherType == EtherTypeQinQ {
		if uint32(len(eth)) < offset+VLANTagLen {
			p.VLAN = true
			break
		}
		tag := binary.BigEndian.Uint32(eth[offset:])
		p.VLAN = p.VLAN || tag>>16&0xfff != 0
		p.Tags++
		etherType = uint16(tag)
		offset += VLANTagLen
	}
	if etherType == EtherTypeQinQOld {
		p.VLAN = true
	}
	p.EtherType, p.Offset = etherType, offset
	p.level = levelLink
}

// readNetwork takes the shortest way for a plain IPv4 frame.
func (p *Parsed) readNetwork() {
	if p.level == levelNone {
		if h := p.PlainIPv4(); h != nil {
			p.EtherType, p.Tags, p.VLAN = EtherTypeIPv4, 0, false
			p.level, p.network, p.upper = levelUpper, NetworkIPv4, true
			p.Offset, p.Transport = plainNetwork, plainTransport4
			p.setIPv4((*[IPv4HeaderLen]byte)(h[plainNetwork:]))
			return
		}
	}
	p.Link()
	switch p.EtherType {
	case EtherTypeIPv4:
		p.readIPv4()
	case EtherTypeARP:
		p.readARP()
	case EtherTypeIPv6:
		p.readIPv6()
	default:
		p.finish(NetworkOther)
	}
}

// finish sets what kind of packet it is if it has no upper level to read.
func (p *Parsed) finish(n Network) {
	p.level, p.network = levelPorts, n
	p.upper, p.ported = false, false
}

func (p *Parsed) readPorts() {
	if p.level < levelUpper {
		p.readUpper()
	}
	p.level, p.ported = levelPorts, false
	if !p.upper || p.Later || p.Protocol != ProtoTCP && p.Protocol != ProtoUDP {
		return
	}
	if b := p.body(); len(b) >= 4 { // the two protocols have them at the same place
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		p.ported = true
	}
}

// body is Body after Upper has returned true.
func (p *Parsed) body() []byte {
	end := uint32(len(p.Eth))
	if p.network == NetworkIPv6 {
		end = p.end
	}
	return p.Eth[p.Transport:end]
}
