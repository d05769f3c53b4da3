package frame

import "encoding/binary"

// A tunnel's super-frame is a UDP datagram that holds a super-frame of TCP or UDP: behind the
// outer UDP header stands what the tunnel puts there (VXLAN and an Ethernet header, Geneve,
// GUE, ...), which each segment gets as it is, and then the inner IP header. The virtio-net
// header says where the outer UDP header and the inner IP header are; CsumStart and
// CsumOffset are the inner transport's (include/linux/virtio_net.h:
// virtio_net_hdr_tnl_from_skb). A frame that needs no segmentation has a header like any
// other's, since its outer checksum is complete when its inner one is (Local Checksum
// Offload, Documentation/networking/checksum-offloads.rst).

// tunnelTypes are the bits of the GSO type that say what the outer packet is, of which one is
// set.
const tunnelTypes = VNetGSOTunnelIPv4 | VNetGSOTunnelIPv6

// Places of the fields that struct virtio_net_hdr_v1_hash_tunnel has beside the short header's.
const (
	vnetOuterTransport = 20
	vnetInnerNetwork   = 22
)

// Tunnel says whether the header is that of a tunnel's super-frame.
func (h VNet) Tunnel() bool { return h[1]&tunnelTypes != 0 }

// OuterTransport is the offset in the frame of the outer UDP header; of a [VNet.Tunnel] only.
func (h VNet) OuterTransport() uint16 {
	return binary.LittleEndian.Uint16(h[vnetOuterTransport:])
}

// InnerNetwork is the offset in the frame of the inner IP header; of a [VNet.Tunnel] only.
func (h VNet) InnerNetwork() uint16 { return binary.LittleEndian.Uint16(h[vnetInnerNetwork:]) }

// SetTunnel writes both offsets.
func (h VNet) SetTunnel(outerTransport, innerNetwork uint16) {
	binary.LittleEndian.PutUint16(h[vnetOuterTransport:], outerTransport)
	binary.LittleEndian.PutUint16(h[vnetInnerNetwork:], innerNetwork)
}

// CountTag makes a tunnel's offsets count a VLAN tag that the kernel put into the frame when it
// was read: it counts that in CsumStart and leaves it out of the other two
// (virtio_net_hdr_tnl_from_skb's vlan_hlen). All other headers stay as they are.
func (h VNet) CountTag(eth []byte) {
	if !h.Tunnel() || len(eth) < EthernetHeaderLen {
		return
	}
	l, ok := locate(eth)
	if !ok || l.network == EthernetHeaderLen || l.transport != int(h.OuterTransport())+VLANTagLen {
		return
	}
	h.SetTunnel(h.OuterTransport()+VLANTagLen, h.InnerNetwork()+VLANTagLen)
}

// validTunnel is Valid for a tunnel's super-frame in a frame that has an Ethernet header. It is
// stricter than the kernel (virtio_net_hdr_tnl_to_skb), which takes all offsets that leave room
// for the headers between them:
//   - The outer headers are those of the type, its UDP header is where the header says, and it is
//     in no fragment. The inner packet is one that could be a super-frame on its own.
//   - There is more than one segment. Of one the kernel completes the inner checksum, and leaves
//     the outer one partial.
//   - An outer checksum that is not asked for is 0: none was made.
//
// With VNetDataValid the kernel's virtio-net driver refuses it.
func (h VNet) validTunnel(eth []byte) bool {
	start, offset := int(h.CsumStart()), int(h.CsumOffset())
	if h[0]&^VNetTunnelChecksum != VNetNeedsChecksum ||
		start > maxChecksumStart || start+offset+2 > len(eth) {
		return false
	}
	outer, inner, ok := h.locateTunnel(eth)
	if !ok || inner.transport != start || !outer.whole(eth) || !h.validGSO(eth, inner, offset) {
		return false
	}
	if h[0]&VNetTunnelChecksum == 0 && udpChecksum(eth[outer.transport:]) != 0 {
		return false
	}
	return h.SegmentLen(eth) < len(eth)
}

// locateTunnel finds the outer and the inner headers of a tunnel's super-frame. It fails where
// the outer ones are not those of the type, or not where the virtio-net header says.
func (h VNet) locateTunnel(eth []byte) (outer, inner layout, ok bool) {
	outer, ok = locate(eth)
	if !ok || outer.protocol != ProtoUDP || outer.transport != int(h.OuterTransport()) {
		return outer, inner, false
	}
	switch h[1] & tunnelTypes {
	case VNetGSOTunnelIPv4:
		ok = !outer.ipv6
	case VNetGSOTunnelIPv6:
		ok = outer.ipv6
	default:
		ok = false
	}
	network := int(h.InnerNetwork())
	if !ok || network < outer.transport+udpHeaderLen || network >= len(eth) {
		return outer, inner, false
	}
	inner, ok = locateIP(eth, network)
	return outer, inner, ok
}
