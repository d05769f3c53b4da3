package frame

import "encoding/binary"

// maxChecksumStart bounds CsumStart: the kernel keeps it plus the headroom in
// front of the frame below 65535 (net/core/skbuff.c: skb_partial_csum_set).
const maxChecksumStart = 0xfc00

// Valid says whether every field that a receiver would act on lies inside the
// frame eth and agrees with its headers. What the kernel refuses on write is
// not valid (drivers/net/tun.c: tun_get_user; include/linux/virtio_net.h:
// virtio_net_hdr_to_skb), and what a Linux sender makes of its traffic on a TAP
// is. In between Valid is the stricter of the two:
//   - A partial checksum lies behind the IP header, so that completing it can't
//     change an address that was looked at before.
//   - Segmentation is for TCP over IPv4 and IPv6 and for UDP, not in fragments,
//     always with a partial checksum, behind at most two VLAN tags and eight
//     IPv6 extension headers. It may be inside of one UDP tunnel, see validTunnel.
//
// HdrLen is the sender's count of linear bytes, not of header bytes: the kernel
// wants it inside the frame and asks no more of it, and so does Valid.
func (h VNet) Valid(eth []byte) bool {
	header := int(h.HdrLen())
	if len(eth) < EthernetHeaderLen || header > len(eth) {
		return false
	}
	if h.Tunnel() {
		return h.validTunnel(eth)
	}
	if h[0]&^(VNetNeedsChecksum|VNetDataValid) != 0 {
		return false
	}
	if h.Plain() {
		return header == 0 || header >= EthernetHeaderLen
	}
	return h.validOffload(eth)
}

// validOffload is Valid for a header that is not plain.
func (h VNet) validOffload(eth []byte) bool {
	start, offset := int(h.CsumStart()), int(h.CsumOffset())
	if h[0]&VNetNeedsChecksum == 0 || start > maxChecksumStart || start+offset+2 > len(eth) {
		return false
	}
	if h[1] == VNetGSONone {
		return start >= minChecksumStart(eth)
	}
	l, ok := locate(eth)
	return ok && l.transport == start && h.validGSO(eth, l, offset)
}

// minChecksumStart is the end of the IP header, extension headers not counted.
// Of other protocols than IP only the kernel's own bound is known, rounded up
// to a whole IPv4 header. ARP and broken IP headers have no checksum to complete.
func minChecksumStart(eth []byte) int {
	const never = maxChecksumStart + 1
	etherType, offset := networkHeader(eth)
	switch etherType {
	case EtherTypeARP:
		return never
	case EtherTypeIPv4:
		if l, ok := locate(eth); ok {
			return l.transport
		}
		return never
	case EtherTypeIPv6:
		if p := eth[offset:]; len(p) < IPv6HeaderLen || p[0]>>4 != 6 {
			return never
		}
		return offset + IPv6HeaderLen
	}
	return EthernetHeaderLen + IPv4HeaderLen
}

// Limits of segmentation in the kernel.
const (
	gsoByFragments = 0xffff // GSO_BY_FRAGS, a mark and not a size (include/linux/skbuff.h)
	udpMaxSegments = 128    // UDP_MAX_SEGMENTS (include/linux/udp.h)
	ipMaxLen       = 0xffff // what the length fields of IPv4 and IPv6 can say
)

// validGSO compares type, size and checksum place with the headers at l.
func (h VNet) validGSO(eth []byte, l layout, offset int) bool {
	size := int(h.GSOSize())
	if size == 0 || size == gsoByFragments || !l.whole(eth) {
		return false
	}
	switch {
	case h.GSOType() == VNetGSOTCPv4 && !l.ipv6, h.GSOType() == VNetGSOTCPv6 && l.ipv6:
		return l.protocol == ProtoTCP && offset == tcpChecksumOffset && tcpHeaderFits(eth, l.transport)
	case h[1]&^tunnelTypes == VNetGSOUDPL4: // the ECN bit belongs to TCP only
		return l.protocol == ProtoUDP && offset == udpChecksumOffset &&
			len(eth)-l.transport-udpHeaderLen <= size*udpMaxSegments
	}
	return false
}

// whole returns true if the packet at l is no fragment, and its length can be said.
func (l layout) whole(eth []byte) bool {
	packet := len(eth) - l.network
	if l.ipv6 {
		packet -= IPv6HeaderLen
	} else if binary.BigEndian.Uint16(eth[l.network+6:])&ipv4PartMask != 0 {
		return false
	}
	return packet <= ipMaxLen
}

// Places inside the transport headers (RFC 9293 §3.1, RFC 768). The checksum is
// UDP's last field, so a frame that holds it holds the header.
const (
	tcpMinHeaderLen   = 20
	tcpChecksumOffset = 16
	udpHeaderLen      = 8
	udpChecksumOffset = 6
)

// udpChecksum is the checksum field of the UDP header p.
func udpChecksum(p []byte) uint16 { return binary.BigEndian.Uint16(p[udpChecksumOffset:]) }

// tcpHeaderLen is the size in bytes that the TCP header p says of itself.
func tcpHeaderLen(p []byte) int { return int(p[12]>>4) * 4 }

func tcpHeaderFits(eth []byte, start int) bool {
	if start+tcpMinHeaderLen > len(eth) {
		return false
	}
	header := tcpHeaderLen(eth[start:])
	return header >= tcpMinHeaderLen && start+header <= len(eth)
}
