package switchtest

import (
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// MAC is the n-th test station's address.
func MAC(n int) frame.MAC {
	return frame.MACFromUint64(0x020000000000 | uint64(n))
}

// Frame is an Ethernet frame of 60 bytes with the local experimental EtherType
// (IEEE 802, 0x88B5) whose payload begins with text.
func Frame(dst, src frame.MAC, text string) []byte {
	b := make([]byte, max(60, frame.EthernetHeaderLen+len(text)))
	eth := frame.Ethernet(b)
	eth.SetDst(dst)
	eth.SetSrc(src)
	eth.SetEtherType(0x88b5)
	copy(eth.Payload(), text)
	return b
}

// Text is the payload's text of a frame made by [Frame].
func Text(eth []byte) string {
	payload := frame.Ethernet(eth).Payload()
	n := 0
	for n < len(payload) && payload[n] != 0 {
		n++
	}
	return string(payload[:n])
}

// Layers is a frame serialised by gopacket, lengths and checksums filled in.
func Layers(all ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, all...); err != nil {
		panic(err) // a test's own mistake
	}
	return buf.Bytes()
}

// Ethernet is the header layer of a frame.
func Ethernet(dst, src frame.MAC, t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{DstMAC: dst[:], SrcMAC: src[:], EthernetType: t}
}

// ARP is a broadcast ARP request frame.
func ARP(src frame.MAC, sender, target netip.Addr) []byte {
	return Layers(Ethernet(frame.Broadcast, src, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation:       layers.ARPRequest,
		SourceHwAddress: src[:], SourceProtAddress: sender.AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: target.AsSlice(),
	})
}

// Echo is a frame with an ICMP echo request.
func Echo(dst, src frame.MAC, to, from netip.Addr, payload []byte) []byte {
	return Layers(Ethernet(dst, src, layers.EthernetTypeIPv4),
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IP(from.AsSlice()), DstIP: net.IP(to.AsSlice())},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 7, Seq: 1},
		gopacket.Payload(payload))
}

// UDP is a frame with a datagram over IPv4.
func UDP(dst, src frame.MAC, to, from netip.AddrPort, payload []byte) []byte {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err) // a test's own mistake
	}
	return Layers(Ethernet(dst, src, layers.EthernetTypeIPv4), ip, udp, gopacket.Payload(payload))
}
