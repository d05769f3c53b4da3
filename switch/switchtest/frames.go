package switchtest

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// gopacket, the given library for packets, encodes the frames here and in the other files of this
// package: tests hold our own code against it. It allocates, so it is never on the packet path.

// The functions of this file return whole frames, as a host gives them to its TAP: not
// padded, lengths and checksums filled in. Where they take a destination and a source, the
// destination comes first.

// MAC returns the n-th test host's address.
func MAC(n int) frame.MAC {
	return frame.MACFromUint64(0x020000000000 | uint64(n))
}

// Ethernet returns a frame with a payload.
func Ethernet(dst, src frame.MAC, etherType uint16, payload ...byte) []byte {
	b := make([]byte, frame.EthernetHeaderLen, frame.EthernetHeaderLen+len(payload))
	eth := frame.Ethernet(b)
	eth.SetDst(dst)
	eth.SetSrc(src)
	eth.SetEtherType(etherType)
	return append(b, payload...)
}

// Raw returns a copy of a frame behind a virtio-net header that asks for nothing.
func Raw(eth []byte) []byte { return append(make([]byte, frame.VNetHeaderLen), eth...) }

// Experimental is the EtherType for local experiments (IEEE 802 §9.2.4), which no stack sends
// by itself or answers.
const Experimental = 0x88b5

// Frame returns a frame of type [Experimental] and at least 60 bytes whose payload begins with
// text.
func Frame(dst, src frame.MAC, text string) []byte {
	padding := make([]byte, max(0, 60-frame.EthernetHeaderLen-len(text)))
	return Ethernet(dst, src, Experimental, append([]byte(text), padding...)...)
}

// Text returns the payload's text of a frame made by [Frame].
func Text(eth []byte) string {
	payload := frame.Ethernet(eth).Payload()
	n := 0
	for n < len(payload) && payload[n] != 0 {
		n++
	}
	return string(payload[:n])
}

// The VLAN tags for [Tagged], with priority and identifier 0: a priority is added in the
// upper 3 bits of the lower 16, an identifier in the lower 12 (IEEE 802.1Q §9.6).
const (
	Dot1Q  = 0x8100_0000
	Dot1AD = 0x88a8_0000 // a provider's
	QinQ   = 0x9100_0000 // a provider's before 802.1ad
)

// Tagged returns a copy of a frame with VLAN tags, outermost first: the type in the upper 16
// bits, priority and identifier in the lower.
func Tagged(eth []byte, tags ...uint32) []byte {
	b := slices.Clone(eth[:12])
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return slices.Clip(append(b, eth[12:]...))
}

// To returns a copy of a frame for another destination.
func To(dst frame.MAC, eth []byte) []byte {
	b := slices.Clone(eth)
	frame.Ethernet(b).SetDst(dst)
	return b
}

// ARP returns a broadcast frame with an ARP request.
func ARP(src frame.MAC, sender, target netip.Addr) []byte {
	return Ethernet(frame.Broadcast, src, frame.EtherTypeARP,
		ARPPacket(frame.ARPRequest, src, sender, frame.MAC{}, target)...)
}

// Echo returns a frame with an ICMP or ICMPv6 echo request, identifier 7, sequence number 1.
func Echo(dst, src frame.MAC, to, from netip.Addr, payload []byte) []byte {
	if !to.Is4() {
		const echoRequest = 128 // RFC 4443 §4.1
		message := append([]byte{echoRequest, 0, 0, 0, 0, 7, 0, 1}, payload...)
		return ND(dst, src, to, from, message...)
	}
	request := layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)
	return Ethernet(dst, src, frame.EtherTypeIPv4, Layers(
		ipv4Layer(to, from, frame.ProtoICMP), &layers.ICMPv4{TypeCode: request, Id: 7, Seq: 1},
		gopacket.Payload(payload))...)
}

// UDP returns a frame with a datagram.
func UDP(dst, src frame.MAC, to, from netip.AddrPort, payload []byte) []byte {
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	return overIP(dst, src, to.Addr(), from.Addr(), frame.ProtoUDP, udp, payload)
}

// TCP returns a frame with a segment in the middle of a connection.
func TCP(dst, src frame.MAC, to, from netip.AddrPort, seq uint32, payload []byte) []byte {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()),
		Seq: seq, ACK: true, Window: 500,
	}
	return overIP(dst, src, to.Addr(), from.Addr(), frame.ProtoTCP, tcp, payload)
}

// ND returns a frame with an ICMPv6 message, as [ICMPv6] and [Neighbour] make them, but with
// its checksum. The hop limit is 255, as neighbour discovery wants it (RFC 4861 §7.1).
func ND(dst, src frame.MAC, to, from netip.Addr, message ...byte) []byte {
	header := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(message[0], message[1])}
	return overIP(dst, src, to, from, frame.ProtoICMPv6, header, message[4:])
}

// overIP returns a frame with what a transport header of either IP version precedes.
func overIP(
	dst, src frame.MAC, to, from netip.Addr, protocol uint8, header transportLayer, payload []byte,
) []byte {
	etherType, ip := frame.EtherTypeIPv6, networkLayer(ipv6Layer(to, from, protocol))
	if to.Is4() {
		etherType, ip = frame.EtherTypeIPv4, ipv4Layer(to, from, protocol)
	}
	if err := header.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err) // a test's own mistake
	}
	return Ethernet(dst, src, uint16(etherType), Layers(ip, header, gopacket.Payload(payload))...)
}

type networkLayer interface {
	gopacket.NetworkLayer
	gopacket.SerializableLayer
}

type transportLayer interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

// Layers returns what gopacket makes of the layers, lengths and checksums filled in. gopacket
// pads a frame to 60 bytes.
func Layers(all ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, all...); err != nil {
		panic(err) // a test's own mistake
	}
	return slices.Clip(buf.Bytes())
}
