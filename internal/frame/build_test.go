package frame_test

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// packet describes a TCP or UDP frame for gopacket to build, so that what the
// tests expect comes from code that is not this package's.
type packet struct {
	tags       []uint16 // VLAN ids, outermost first; the outer of two is 802.1ad
	ipv6       bool
	udp        bool
	ipOptions  bool // four bytes of IPv4 options
	extensions int  // IPv6 destination options headers
	tcpOptions bool // a timestamp
	id         uint16
	seq        uint32
	fin, psh   bool
	cwr        bool
	payload    []byte
}

var (
	srcMAC, dstMAC = frame.MAC{2, 0x42, 10, 0, 0, 1}, frame.MAC{2, 0x42, 10, 0, 0, 2}
	src4, dst4     = net.IP{10, 0, 0, 1}, net.IP{10, 0, 0, 2}
	src6, dst6     = net.ParseIP("fd00::1"), net.ParseIP("fd00::2")
)

// bytes is the complete frame; its capacity is its length.
func (p packet) bytes(t testing.TB) []byte {
	t.Helper()
	network, ip := p.networkLayers()
	stack := append(p.linkLayers(), ip...)
	if p.udp {
		udp := &layers.UDP{SrcPort: 4000, DstPort: 5000}
		check(t, udp.SetNetworkLayerForChecksum(network))
		stack = append(stack, udp)
	} else {
		tcp := &layers.TCP{
			SrcPort: 4000, DstPort: 5000, Seq: p.seq, Ack: 77, ACK: true, Window: 500,
			FIN: p.fin, PSH: p.psh, CWR: p.cwr,
		}
		if p.tcpOptions {
			tcp.Options = []layers.TCPOption{
				{OptionType: layers.TCPOptionKindNop},
				{OptionType: layers.TCPOptionKindNop},
				{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte("tsvalecr")},
			}
		}
		check(t, tcp.SetNetworkLayerForChecksum(network))
		stack = append(stack, tcp)
	}
	// gopacket pads to the 60 bytes of the wire; a TAP's frames are not padded.
	b := switchtest.Layers(append(stack, gopacket.Payload(p.payload))...)
	return slices.Clip(b[:p.headers()+len(p.payload)])
}

func (p packet) linkLayers() []gopacket.SerializableLayer {
	inner := layers.EthernetTypeIPv4
	if p.ipv6 {
		inner = layers.EthernetTypeIPv6
	}
	types := []layers.EthernetType{inner}
	for i := range p.tags {
		if i == 0 {
			types = slices.Insert(types, 0, layers.EthernetTypeDot1Q)
		} else {
			types = slices.Insert(types, 0, layers.EthernetTypeQinQ)
		}
	}
	stack := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: srcMAC[:], DstMAC: dstMAC[:], EthernetType: types[0]}}
	for i, id := range p.tags {
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: id, Type: types[i+1]})
	}
	return stack
}

func (p packet) networkLayers() (gopacket.NetworkLayer, []gopacket.SerializableLayer) {
	proto := layers.IPProtocolTCP
	if p.udp {
		proto = layers.IPProtocolUDP
	}
	if !p.ipv6 {
		ip := &layers.IPv4{Version: 4, Id: p.id, Flags: layers.IPv4DontFragment, TTL: 64, Protocol: proto, SrcIP: src4, DstIP: dst4}
		if p.ipOptions {
			ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
		}
		return ip, []gopacket.SerializableLayer{ip}
	}
	ip := &layers.IPv6{Version: 6, NextHeader: proto, HopLimit: 64, SrcIP: src6, DstIP: dst6}
	stack := []gopacket.SerializableLayer{ip}
	next := proto
	for range p.extensions {
		stack = slices.Insert(stack, 1, gopacket.SerializableLayer(gopacket.Payload{byte(next), 0, 1, 4, 0, 0, 0, 0}))
		next = layers.IPProtocolIPv6Destination
	}
	ip.NextHeader = next
	return ip, stack
}

// network and transport are the offsets of the headers.
func (p packet) network() int { return frame.EthernetHeaderLen + len(p.tags)*frame.VLANTagLen }

func (p packet) transport() int {
	if p.ipv6 {
		return p.network() + frame.IPv6HeaderLen + p.extensions*8
	}
	if p.ipOptions {
		return p.network() + frame.IPv4HeaderLen + 4
	}
	return p.network() + frame.IPv4HeaderLen
}

// headers is the length of all headers.
func (p packet) headers() int {
	switch {
	case p.udp:
		return p.transport() + 8
	case p.tcpOptions:
		return p.transport() + 32
	}
	return p.transport() + 20
}

func (p packet) checksumOffset() int {
	if p.udp {
		return 6
	}
	return 16
}

// partial is the frame with only the pseudo-header's sum in its checksum field,
// and the header that asks for the rest; a gsoSize makes it a super-frame.
func (p packet) partial(t testing.TB, gsoSize int) (frame.VNet, []byte) {
	t.Helper()
	eth := p.bytes(t)
	sum := p.pseudoSum(len(eth) - p.transport())
	binary.BigEndian.PutUint16(eth[p.transport()+p.checksumOffset():], sum)
	h := make(frame.VNet, frame.VNetHeaderLen)
	gsoType := uint8(frame.VNetGSONone)
	if gsoSize > 0 {
		gsoType = p.gsoType()
	}
	h.Set(frame.VNetNeedsChecksum, gsoType, 0, uint16(gsoSize), uint16(p.transport()), uint16(p.checksumOffset()))
	return h, eth
}

func (p packet) gsoType() uint8 {
	switch {
	case p.udp:
		return frame.VNetGSOUDPL4
	case p.ipv6:
		return frame.VNetGSOTCPv6
	}
	return frame.VNetGSOTCPv4
}

func (p packet) pseudoSum(length int) uint16 {
	b := slices.Concat(src4, dst4)
	if p.ipv6 {
		b = slices.Concat(src6, dst6)
	}
	proto := byte(frame.ProtoTCP)
	if p.udp {
		proto = frame.ProtoUDP
	}
	return naiveSum(append(b, 0, proto, byte(length>>8), byte(length)), 0)
}

// naiveSum is RFC 1071 word by word: the oracle for frame.Sum.
func naiveSum(b []byte, initial uint16) uint16 {
	sum := int(initial)
	for i, v := range b {
		if i%2 == 0 {
			sum += int(v) << 8
		} else {
			sum += int(v)
		}
		if sum > 0xffff {
			sum -= 0xffff
		}
	}
	return uint16(sum)
}

// exact copies b into a slice without spare capacity, so that a read behind
// the end can't go unnoticed.
func exact(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return slices.Clip(c)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pattern is n bytes without a short period.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i/251)
	}
	return b
}

// header makes a virtio-net header of its six fields.
func header(flags, gsoType uint8, hdrLen, gsoSize, start, offset int) frame.VNet {
	h := make(frame.VNet, frame.VNetHeaderLen)
	h.Set(flags, gsoType, uint16(hdrLen), uint16(gsoSize), uint16(start), uint16(offset))
	return h
}
