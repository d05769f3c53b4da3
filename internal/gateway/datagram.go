package gateway

import (
	"encoding/binary"
	"net/netip"

	"vswitch/internal/frame"
)

const (
	udpHeaderLen = 8
	udpChecksum  = 6 // its place in the header (RFC 768)
	ipv4TTL      = 64
)

// Datagram is a UDP datagram that a station has sent to the gateway.
type Datagram struct {
	MAC      frame.MAC // of the station, as its frame says
	Src, Dst netip.AddrPort
	Payload  []byte
}

// readUDP takes a datagram of at most maxDatagram bytes apart. Its payload is that
// of the frame. Fragments are not for us, and a sender's checksum is verified
// unless the virtio-net header h says that there is no need to.
func readUDP(h frame.VNet, f *frame.Parsed) (d Datagram, ok bool) {
	packet, ok := f.IPv4()
	if !ok || packet.Protocol() != frame.ProtoUDP || packet.IsFragment() || !packet.ChecksumOK() || h.GSOType() != frame.VNetGSONone {
		return d, false
	}
	udp := packet.Payload()
	if len(udp) < udpHeaderLen {
		return d, false
	}
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if size < udpHeaderLen || size > len(udp) || size > maxDatagram+udpHeaderLen {
		return d, false
	}
	udp = udp[:size]
	if h.Flags() == 0 && binary.BigEndian.Uint16(udp[udpChecksum:]) != 0 && frame.Sum(udp, pseudoSum(packet, size)) != 0xffff {
		return d, false
	}
	return Datagram{
		MAC:     f.Eth.Src(),
		Src:     netip.AddrPortFrom(packet.Src(), binary.BigEndian.Uint16(udp)),
		Dst:     netip.AddrPortFrom(packet.Dst(), binary.BigEndian.Uint16(udp[2:])),
		Payload: udp[udpHeaderLen:],
	}, true
}

// pseudoSum is what the checksum of n bytes of UDP begins with: the addresses, the
// protocol and the length (RFC 768).
func pseudoSum(packet frame.IPv4, n int) uint16 {
	tail := [4]byte{0, frame.ProtoUDP, byte(n >> 8), byte(n)}
	return frame.Sum(tail[:], frame.Sum(packet[12:20], 0))
}

// Frame makes an Ethernet frame from the gateway that answers d: to the station
// that has sent it, from the port that it was sent to, to the address and port
// to. payload must fit the 65507 bytes of a datagram.
func (g *Gateway) Frame(d Datagram, to netip.AddrPort, payload []byte) []byte {
	size := udpHeaderLen + len(payload)
	b := make([]byte, frame.EthernetHeaderLen+frame.IPv4HeaderLen+udpHeaderLen, frame.EthernetHeaderLen+frame.IPv4HeaderLen+size)
	eth := frame.Ethernet(append(b, payload...))
	eth.SetDst(d.MAC)
	eth.SetSrc(g.mac)
	eth.SetEtherType(frame.EtherTypeIPv4)
	packet := frame.IPv4(eth.Payload())
	packet[0] = 4<<4 | frame.IPv4HeaderLen/4
	binary.BigEndian.PutUint16(packet[2:], uint16(frame.IPv4HeaderLen+size))
	packet.SetTTL(ipv4TTL)
	packet[9] = frame.ProtoUDP
	copy(packet[12:16], g.addr.AsSlice())
	copy(packet[16:20], to.Addr().AsSlice())
	packet.SetChecksum()
	udp := packet[frame.IPv4HeaderLen:]
	binary.BigEndian.PutUint16(udp, d.Dst.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(size))
	sum := ^frame.Sum(udp, pseudoSum(packet, size))
	if sum == 0 {
		sum = 0xffff // zero is none (RFC 768)
	}
	binary.BigEndian.PutUint16(udp[udpChecksum:], sum)
	return eth
}
