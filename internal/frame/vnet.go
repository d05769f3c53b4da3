package frame

import "encoding/binary"

// Sizes in bytes of the virtio-net headers that the kernel puts before each frame of a
// TAP opened with IFF_VNET_HDR (TUNSETVNETHDRSZ; include/uapi/linux/virtio_net.h).
const (
	// VNetHeaderLen is that of struct virtio_net_hdr_v1_hash_tunnel, which describes
	// tunnels too (Linux 6.17 and later). Every frame buffer has room for it.
	VNetHeaderLen = 24
	// VNetShortHeaderLen is that of struct virtio_net_hdr, with which the long one begins.
	VNetShortHeaderLen = 10
)

// Flags of a virtio-net header.
const (
	VNetNeedsChecksum  = 1 // the checksum at CsumStart+CsumOffset is partial
	VNetDataValid      = 2 // the checksum was verified
	VNetTunnelChecksum = 8 // a tunnel's super-frame: the outer UDP's checksum is partial too
)

// GSO types of a virtio-net header, and the bits beside the type.
const (
	VNetGSONone  = 0
	VNetGSOTCPv4 = 1
	VNetGSOTCPv6 = 4
	VNetGSOUDPL4 = 5

	VNetGSOTunnelIPv4 = 0x20 // inside of a UDP tunnel over IPv4
	VNetGSOTunnelIPv6 = 0x40 // and over IPv6
	VNetGSOECN        = 0x80
)

// VNet is a virtio-net header of [VNetHeaderLen] bytes: fields in the machine's byte
// order. What lies between the fields of the short header and the last two means
// nothing here, and the last two mean something for a tunnel only.
type VNet []byte

// ParseVNet splits b into the virtio-net header and the frame behind it.
func ParseVNet(b []byte) (h VNet, eth []byte, ok bool) {
	if len(b) < VNetHeaderLen {
		return nil, nil, false
	}
	return VNet(b[:VNetHeaderLen]), b[VNetHeaderLen:], true
}

// Plain says whether the header asks nothing of the receiver: no partial
// checksum and no segmentation.
func (h VNet) Plain() bool { return h[0]&VNetNeedsChecksum == 0 && h[1] == VNetGSONone }

// Flags is a set of [VNetNeedsChecksum], [VNetDataValid] and [VNetTunnelChecksum].
func (h VNet) Flags() uint8 { return h[0] }

// GSOType is the segmentation type without the bits beside it; of a tunnel, the inner one.
func (h VNet) GSOType() uint8 { return h[1] &^ (VNetGSOECN | tunnelTypes) }

// HdrLen is the length in bytes of all headers of a frame to segment; a hint.
func (h VNet) HdrLen() uint16 { return binary.NativeEndian.Uint16(h[2:4]) }

// GSOSize is the payload in bytes of each segment.
func (h VNet) GSOSize() uint16 { return binary.NativeEndian.Uint16(h[4:6]) }

// CsumStart is the offset in the frame where checksumming begins.
func (h VNet) CsumStart() uint16 { return binary.NativeEndian.Uint16(h[6:8]) }

// CsumOffset is the offset behind CsumStart of the checksum field.
func (h VNet) CsumOffset() uint16 { return binary.NativeEndian.Uint16(h[8:10]) }

// Clear makes the header [VNet.Plain].
func (h VNet) Clear() { clear(h) }

// Set writes all fields but a tunnel's, which [VNet.SetTunnel] writes.
func (h VNet) Set(flags, gsoType uint8, hdrLen, gsoSize, csumStart, csumOffset uint16) {
	h[0], h[1] = flags, gsoType
	binary.NativeEndian.PutUint16(h[2:4], hdrLen)
	binary.NativeEndian.PutUint16(h[4:6], gsoSize)
	binary.NativeEndian.PutUint16(h[6:8], csumStart)
	binary.NativeEndian.PutUint16(h[8:10], csumOffset)
}
