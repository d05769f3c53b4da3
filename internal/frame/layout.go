package frame

import "encoding/binary"

// layout says where the headers of an IP frame lie, as offsets in the frame.
type layout struct {
	network   int   // the IP header
	transport int   // what follows the IP header and its extension headers
	protocol  uint8 // the type of the header at transport
	ipv6      bool
	routed    bool // an IPv6 routing header lies between network and transport
}

// networkHeader steps over at most two VLAN tags: the Ethernet payload's type
// and offset. More tags leave a tag's type as the result. The frame must have
// an Ethernet header.
func networkHeader(eth []byte) (etherType uint16, offset int) {
	etherType, offset = Ethernet(eth).EtherType(), EthernetHeaderLen
	for range 2 {
		if etherType != EtherTypeVLAN && etherType != EtherTypeQinQ || len(eth) < offset+VLANTagLen {
			break
		}
		etherType = binary.BigEndian.Uint16(eth[offset+2:])
		offset += VLANTagLen
	}
	return etherType, offset
}

// locate finds the headers of an IPv4 or IPv6 frame. It fails for other types
// and where a header does not lie inside the frame. IP's own length fields are
// not compared with the frame's.
func locate(eth []byte) (layout, bool) {
	etherType, offset := networkHeader(eth)
	switch etherType {
	case EtherTypeIPv4:
		return locateIPv4(eth, offset)
	case EtherTypeIPv6:
		return locateIPv6(eth, offset)
	}
	return layout{}, false
}

// locateIP is locate for the IP packet at network, which is in the frame, by its version alone.
func locateIP(eth []byte, network int) (layout, bool) {
	if eth[network]>>4 == 6 {
		return locateIPv6(eth, network)
	}
	return locateIPv4(eth, network)
}

func locateIPv4(eth []byte, network int) (layout, bool) {
	p := eth[network:]
	if len(p) < IPv4HeaderLen || p[0]>>4 != 4 {
		return layout{}, false
	}
	header := IPv4(p).HeaderLen()
	if header < IPv4HeaderLen || header > len(p) {
		return layout{}, false
	}
	return layout{network: network, transport: network + header, protocol: IPv4(p).Protocol()}, true
}

// locateIPv6 steps over the extension headers that a super-frame may have (RFC
// 8200 §4) behind the fixed header.
func locateIPv6(eth []byte, network int) (layout, bool) {
	if p := eth[network:]; len(p) < IPv6HeaderLen || p[0]>>4 != 6 {
		return layout{}, false
	}
	c := chain{protocol: IPv6(eth[network:]).NextHeader(), offset: network + IPv6HeaderLen}
	ok := c.walk(eth, extGSO)
	return layout{network: network, transport: c.offset, protocol: c.protocol, ipv6: true, routed: c.routed}, ok
}
