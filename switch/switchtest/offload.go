package switchtest

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// Lengths in bytes of headers, and places of checksums in them.
const (
	udpHeaderLen, udpChecksum = 8, 6
	tcpHeaderLen, tcpChecksum = 20, 16
)

// Partial returns a frame of TCP or UDP as a sender with offloads hands it over: behind a
// virtio-net header that asks for its checksum and, with a gsoSize, for segments of that much
// payload. A TCP header is one without options.
func Partial(eth []byte, gsoSize int) []byte {
	b := Raw(eth)
	h, eth, _ := frame.ParseVNet(b)
	var f frame.Parsed
	f.Reset(eth)
	network := f.Network()
	f.Upper()
	start, checksum, headers := int(f.Transport), tcpChecksum, tcpHeaderLen
	gso := uint8(frame.VNetGSOTCPv4)
	switch {
	case f.Protocol == frame.ProtoUDP:
		gso, checksum, headers = frame.VNetGSOUDPL4, udpChecksum, udpHeaderLen
	case network == frame.NetworkIPv6:
		gso = frame.VNetGSOTCPv6
	}
	if headers += start; gsoSize == 0 {
		gso, headers = frame.VNetGSONone, 0
	}
	h.Set(frame.VNetNeedsChecksum, gso,
		uint16(headers), uint16(gsoSize), uint16(start), uint16(checksum))
	putPseudoSum(eth, int(f.Offset), start, f.Protocol, checksum)
	return b
}

// putPseudoSum writes the pseudo-header's sum of the transport at start of the IP packet at
// network into its checksum field.
func putPseudoSum(eth []byte, network, start int, protocol uint8, checksum int) {
	addresses := eth[network+12 : network+20]
	if eth[network]>>4 == 6 {
		addresses = eth[network+8 : network+40]
	}
	length := uint16(len(eth) - start)
	pseudo := append([]byte{0, protocol, byte(length >> 8), byte(length)}, addresses...)
	binary.BigEndian.PutUint16(eth[start+checksum:], frame.Sum(pseudo, 0))
}

// Tunnel is a VXLAN tunnel (RFC 7348) between two hosts, as seen by the one that sends.
type Tunnel struct {
	To, From frame.MAC  // of the outer frames
	Dst, Src netip.Addr // of the outer packets, both of one IP version
	// NoChecksum leaves the outer UDP's out.
	NoChecksum bool
}

const (
	vxlanPort      = 4789
	vxlanHeaderLen = 8
)

// Frame returns a frame in the tunnel, complete. An IPv4 packet has the identification id.
func (t Tunnel) Frame(inner []byte, id uint16) []byte {
	etherType := uint16(frame.EtherTypeIPv6)
	ip := networkLayer(ipv6Layer(t.Dst, t.Src, frame.ProtoUDP))
	if t.Dst.Is4() {
		v4 := ipv4Layer(t.Dst, t.Src, frame.ProtoUDP)
		v4.Id = id
		etherType, ip = frame.EtherTypeIPv4, v4
	}
	udp := &layers.UDP{SrcPort: 50000, DstPort: vxlanPort}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err) // a test's own mistake
	}
	b := Ethernet(t.To, t.From, etherType,
		Layers(ip, udp, &layers.VXLAN{ValidIDFlag: true, VNI: 7}, gopacket.Payload(inner))...)
	if t.NoChecksum {
		at := t.transport() + udpChecksum
		b[at], b[at+1] = 0, 0
	}
	return b
}

// transport is the offset of the outer UDP header.
func (t Tunnel) transport() int {
	if t.Dst.Is4() {
		return frame.EthernetHeaderLen + frame.IPv4HeaderLen
	}
	return frame.EthernetHeaderLen + frame.IPv6HeaderLen
}

// Super returns a super-frame, behind its virtio-net header as [Partial] makes it, in the tunnel.
func (t Tunnel) Super(inner []byte, id uint16) []byte {
	ih, ieth, _ := frame.ParseVNet(inner)
	b := Raw(t.Frame(ieth, id))
	h, eth, _ := frame.ParseVNet(b)
	outer := t.transport() + udpHeaderLen + vxlanHeaderLen
	flags, gso := uint8(frame.VNetNeedsChecksum), ih[1]|frame.VNetGSOTunnelIPv6
	if t.Dst.Is4() {
		gso = ih[1] | frame.VNetGSOTunnelIPv4
	}
	if !t.NoChecksum {
		flags |= frame.VNetTunnelChecksum
		putPseudoSum(eth, frame.EthernetHeaderLen, t.transport(), frame.ProtoUDP, udpChecksum)
	}
	h.Set(flags, gso, 0, ih.GSOSize(), uint16(outer)+ih.CsumStart(), ih.CsumOffset())
	var f frame.Parsed
	f.Reset(ieth)
	f.Link()
	h.SetTunnel(uint16(t.transport()), uint16(outer)+uint16(f.Offset))
	return b
}
