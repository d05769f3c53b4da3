package frame

import "encoding/binary"

// Most frames are untagged and have an IP header without options. What is asked of
// each frame of a flow is there at fixed places and costs few instructions; it is
// the same as Parsed reads of such a frame.

// Places in a plain packet's frame.
const (
	plainNetwork    = EthernetHeaderLen
	plainTransport4 = plainNetwork + IPv4HeaderLen
	plainTransport6 = plainNetwork + IPv6HeaderLen
)

// PlainIPv4 is the beginning of a frame of IPv4 with a header of 20 bytes, up to 8
// bytes behind that.
type PlainIPv4 [plainTransport4 + 8]byte

// PlainIPv4 returns the frame's beginning if it is a [PlainIPv4], else nil. It
// neither needs nor changes what was read of the frame.
func (p *Parsed) PlainIPv4() *PlainIPv4 {
	const version4 = 4<<4 | IPv4HeaderLen/4
	if len(p.Eth) < len(PlainIPv4{}) ||
		p.Eth.EtherType() != EtherTypeIPv4 || p.Eth[plainNetwork] != version4 {
		return nil
	}
	return (*PlainIPv4)(p.Eth)
}

// Src returns [Parsed].Src4.
func (h *PlainIPv4) Src() uint32 { return binary.BigEndian.Uint32(h[plainNetwork+12:]) }

// Protocol returns [Parsed].Protocol.
func (h *PlainIPv4) Protocol() uint8 { return h[plainNetwork+9] }

// Later returns [Parsed].Later.
func (h *PlainIPv4) Later() bool {
	return binary.BigEndian.Uint16(h[plainNetwork+6:])&ipv4LaterMask != 0
}

// DstPort returns [Parsed].DstPort; meaningless for other protocols than TCP and
// UDP and in a later fragment.
func (h *PlainIPv4) DstPort() uint16 { return binary.BigEndian.Uint16(h[plainTransport4+2:]) }

// PlainIPv6 is the beginning of a frame of IPv6 whose payload is whole and has at
// least 8 bytes, up to these. Who reads behind the IP header has to compare the next
// header first: it may be an extension header.
type PlainIPv6 [plainTransport6 + 8]byte

// PlainIPv6 returns the frame's beginning if it is a [PlainIPv6], else nil. It
// neither needs nor changes what was read of the frame.
func (p *Parsed) PlainIPv6() *PlainIPv6 {
	if len(p.Eth) < len(PlainIPv6{}) ||
		p.Eth.EtherType() != EtherTypeIPv6 || p.Eth[plainNetwork]>>4 != 6 {
		return nil
	}
	h := (*PlainIPv6)(p.Eth)
	if size := h.payload(); size < 8 || size > len(p.Eth)-plainTransport6 {
		return nil
	}
	return h
}

func (h *PlainIPv6) payload() int { return int(binary.BigEndian.Uint16(h[plainNetwork+4:])) }

// Src returns [Parsed].Src6.
func (h *PlainIPv6) Src() Addr6 { return addr6At((*[16]byte)(h[plainNetwork+8:])) }

// NextHeader returns [Parsed].Protocol, if it is no extension header's.
func (h *PlainIPv6) NextHeader() uint8 { return h[plainNetwork+6] }

// DstPort returns [Parsed].DstPort; meaningless for other next headers than TCP
// and UDP.
func (h *PlainIPv6) DstPort() uint16 { return binary.BigEndian.Uint16(h[plainTransport6+2:]) }
