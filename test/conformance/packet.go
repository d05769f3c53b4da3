package conformance

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// serialize builds a frame with lengths, checksums and padding in order, and with
// its mark behind the last layer.
func serialize(m mark, stack ...gopacket.SerializableLayer) ([]byte, error) {
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, append(stack, gopacket.Payload(m.bytes()))...); err != nil {
		return nil, fmt.Errorf("build a frame: %w", err)
	}
	return padded(b.Bytes()), nil
}

func ethernetLayer(dst, src frame.MAC, t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{DstMAC: net.HardwareAddr(dst[:]), SrcMAC: net.HardwareAddr(src[:]), EthernetType: t}
}

// arpPacket is an ARP packet for IPv4 over Ethernet (RFC 826) in a frame from its
// sender.
func arpPacket(m mark, dst frame.MAC, operation uint16, sender frame.MAC, senderIP netip.Addr, target frame.MAC, targetIP netip.Addr) ([]byte, error) {
	return serialize(m, ethernetLayer(dst, sender, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
		SourceHwAddress: sender[:], SourceProtAddress: senderIP.AsSlice(), DstHwAddress: target[:], DstProtAddress: targetIP.AsSlice(),
	})
}

// udpPacket is a UDP datagram over IPv4 or IPv6.
func udpPacket(m mark, dst, src frame.MAC, dstIP, srcIP netip.Addr, dstPort, srcPort uint16) ([]byte, error) {
	udp := &layers.UDP{SrcPort: layers.UDPPort(srcPort), DstPort: layers.UDPPort(dstPort)}
	if srcIP.Is4() {
		ip := ipv4Layer(dstIP, srcIP, layers.IPProtocolUDP)
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, fmt.Errorf("build a frame: %w", err)
		}
		return serialize(m, ethernetLayer(dst, src, layers.EthernetTypeIPv4), ip, udp)
	}
	ip := ipv6Layer(dstIP, srcIP, layers.IPProtocolUDP)
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, fmt.Errorf("build a frame: %w", err)
	}
	return serialize(m, ethernetLayer(dst, src, layers.EthernetTypeIPv6), ip, udp)
}

// echoRequest is ICMP's (RFC 792).
func echoRequest(m mark, dst, src frame.MAC, dstIP, srcIP netip.Addr) ([]byte, error) {
	return serialize(m, ethernetLayer(dst, src, layers.EthernetTypeIPv4), ipv4Layer(dstIP, srcIP, layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1})
}

// neighbourDiscovery is a message of RFC 4861 in a frame from its sender.
func neighbourDiscovery(m mark, dst, src frame.MAC, dstIP, srcIP netip.Addr, kind uint8, body gopacket.SerializableLayer) ([]byte, error) {
	ip := ipv6Layer(dstIP, srcIP, layers.IPProtocolICMPv6)
	ip.HopLimit = 255
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, fmt.Errorf("build a frame: %w", err)
	}
	return serialize(m, ethernetLayer(dst, src, layers.EthernetTypeIPv6), ip, icmp, body)
}

func ipv4Layer(dst, src netip.Addr, protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
}

func ipv6Layer(dst, src netip.Addr, protocol layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
}

// linkLocal is a station's IPv6 address of its own making (RFC 4291 §2.5.6).
func linkLocal(mac frame.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// broadcastIP is the limited broadcast address (RFC 919 §7).
var broadcastIP = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// discard is a port that nobody listens on (RFC 863).
const discard = 9

// marker is a broadcast as harmless as can be: a station's own addresses and a
// datagram for nobody, which the strictest switch lets pass.
func (l *topology) marker(s *station) probe {
	l.Helper()
	return l.datagram(frame.Broadcast, s, s.IP.Addr())
}

// datagram is a UDP datagram from a station that says to have this IP address.
func (l *topology) datagram(dst frame.MAC, s *station, srcIP netip.Addr) probe {
	l.Helper()
	m := l.newMark()
	b, err := udpPacket(m, dst, s.MAC, broadcastIP, srcIP, discard, discard)
	l.must(err)
	return probe{m, b}
}
