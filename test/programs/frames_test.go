package programs

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Addresses that the rows share.
const (
	everyone  = "ff:ff:ff:ff:ff:ff"
	virtualIP = "172.17.0.50"
	privateIP = "fe80::1234:5678:9abc:def0" // made by RFC 7217, not from a MAC
	globalIP  = "2001:db8:1:0:a1b2:c3d4:e5f6:789"
)

func mac(s string) net.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err) // the text is constant
	}
	return m
}

// eth is a frame of at least the shortest size, from the station's own MAC.
func (s *station) eth(dst string, etherType uint16, payload ...byte) []byte {
	b := header(dst, s.mac, etherType, payload)
	return append(b, make([]byte, max(0, 60-len(b)))...)
}

func header(dst string, src net.HardwareAddr, etherType uint16, payload []byte) []byte {
	b := append(append([]byte{}, mac(dst)...), src...)
	return append(binary.BigEndian.AppendUint16(b, etherType), payload...)
}

// llc is a frame with a length instead of an EtherType.
func (s *station) llc(dst string, payload ...byte) []byte {
	return s.eth(dst, uint16(len(payload)), payload...)
}

// from returns a frame with another source.
func from(src string, b []byte) []byte {
	b = append([]byte{}, b...)
	copy(b[6:], mac(src))
	return b
}

// tagged puts a tag before the frame's type.
func tagged(tpid, vid uint16, b []byte) []byte {
	out := append([]byte{}, b[:12]...)
	out = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(out, tpid), vid)
	return append(out, b[12:]...)
}

// serialize is a frame of no more than its packet: a kernel on the way may cut off what follows
// an IP packet.
func (s *station) serialize(
	dst string,
	t layers.EthernetType,
	stack ...gopacket.SerializableLayer,
) []byte {
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, stack...); err != nil {
		s.Fatal(err)
	}
	return header(dst, s.mac, uint16(t), b.Bytes())
}

func addrOf(s string) net.IP { return netip.MustParseAddr(s).AsSlice() }

// ipv4 is a packet of IPv4.
func (s *station) ipv4(dst, dstIP, srcIP string, protocol byte, payload ...byte) []byte {
	return s.serialize(dst, layers.EthernetTypeIPv4, &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocol(protocol), SrcIP: addrOf(srcIP), DstIP: addrOf(dstIP),
	}, gopacket.Payload(payload))
}

// udp is a datagram over IPv4 or IPv6.
func (s *station) udp(dst, dstIP, srcIP string, srcPort, dstPort uint16, payload ...byte) []byte {
	udp := &layers.UDP{SrcPort: layers.UDPPort(srcPort), DstPort: layers.UDPPort(dstPort)}
	if src := netip.MustParseAddr(srcIP); src.Is6() {
		ip := ipv6Layer(dstIP, srcIP, layers.IPProtocolUDP)
		_ = udp.SetNetworkLayerForChecksum(ip) // it is one
		return s.serialize(dst, layers.EthernetTypeIPv6, ip, udp, gopacket.Payload(payload))
	}
	ip := &layers.IPv4{
		Version:  4,
		TTL:      255,
		Protocol: layers.IPProtocolUDP,
		SrcIP:    addrOf(srcIP),
		DstIP:    addrOf(dstIP),
	}
	_ = udp.SetNetworkLayerForChecksum(ip)
	return s.serialize(dst, layers.EthernetTypeIPv4, ip, udp, gopacket.Payload(payload))
}

func ipv6Layer(dst, src string, next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{
		Version:    6,
		HopLimit:   255,
		NextHeader: next,
		SrcIP:      addrOf(src),
		DstIP:      addrOf(dst),
	}
}

// icmp6 is a message of ICMPv6 to all nodes.
func (s *station) icmp6(src string, kind uint8, body gopacket.SerializableLayer) []byte {
	ip := ipv6Layer("ff02::1", src, layers.IPProtocolICMPv6)
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return s.serialize("33:33:00:00:00:01", layers.EthernetTypeIPv6, ip, icmp, body)
}

// solicits looks for whoever has an address, as DAD does from "::" (RFC 4862 §5.4.2).
func (s *station) solicits(src, target string) []byte {
	return s.icmp6(
		src,
		layers.ICMPv6TypeNeighborSolicitation,
		&layers.ICMPv6NeighborSolicitation{TargetAddress: addrOf(target)},
	)
}

// advertises says that the station has an address, at its own MAC.
func (s *station) advertises(src, target string) []byte {
	return s.icmp6(src, layers.ICMPv6TypeNeighborAdvertisement, &layers.ICMPv6NeighborAdvertisement{
		Flags: 0x20, TargetAddress: addrOf(target),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: s.mac}},
	})
}

// linkLocal is the station's address by its MAC (RFC 4291 appendix A).
func (s *station) linkLocal() string {
	m := s.mac
	return netip.AddrFrom16([16]byte{
		0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5],
	}).String()
}

// announces is a gratuitous ARP reply that an address is at a MAC (RFC 5227 §3).
func (s *station) announces(sender net.HardwareAddr, ip string) []byte {
	return s.serialize(everyone, layers.EthernetTypeARP, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPReply, SourceHwAddress: sender, SourceProtAddress: addrOf(ip),
		DstHwAddress: mac(everyone), DstProtAddress: addrOf(ip),
	})
}
