package frame_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
	"vswitch/test/lab/seed"
)

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func sameIP(a netip.Addr, b net.IP) bool { return a.AsSlice() != nil && net.IP(a.AsSlice()).Equal(b) }

func TestIPv4AgainstGopacket(t *testing.T) {
	t.Parallel()
	r := seed.New(t)
	for range 300 {
		link := &layers.Ethernet{SrcMAC: randomBytes(r, 6), DstMAC: randomBytes(r, 6), EthernetType: layers.EthernetTypeIPv4}
		ip := &layers.IPv4{
			Version: 4, TOS: uint8(r.Uint32()), Id: uint16(r.Uint32()), TTL: uint8(r.Uint32()),
			Flags: layers.IPv4Flag(r.IntN(4)), FragOffset: uint16(r.IntN(3)), Protocol: layers.IPProtocol(r.IntN(256)),
			SrcIP: randomBytes(r, 4), DstIP: randomBytes(r, 4),
		}
		for range r.IntN(10) * 4 {
			ip.Options = append(ip.Options, layers.IPv4Option{OptionType: 1})
		}
		payload := randomBytes(r, r.IntN(100))
		b := append(switchtest.Layers(link, ip, gopacket.Payload(payload)), make([]byte, r.IntN(9))...)

		e, ok := frame.ParseEthernet(b)
		if !ok || e.EtherType() != frame.EtherTypeIPv4 || !bytes.Equal(e.Payload(), b[14:]) {
			t.Fatalf("ParseEthernet(%x): %v", b, ok)
		}
		src, dst := frame.MAC(link.SrcMAC), frame.MAC(link.DstMAC)
		if e.Src() != src || e.Dst() != dst || e.SrcUint64() != src.Uint64() || e.DstUint64() != dst.Uint64() {
			t.Errorf("addresses of %x: %v %v", b[:14], e.Src(), e.Dst())
		}
		p, ok := frame.ParseIPv4(e.Payload())
		if !ok {
			t.Fatalf("ParseIPv4(%x) failed", e.Payload())
		}
		if p.HeaderLen() != 20+len(ip.Options) || p.ID() != ip.Id || p.TTL() != ip.TTL || p.Protocol() != uint8(ip.Protocol) ||
			!sameIP(p.Src(), ip.SrcIP) || !sameIP(p.Dst(), ip.DstIP) || !bytes.Equal(p.Payload(), payload) || !p.ChecksumOK() {
			t.Errorf("ParseIPv4(%x) differs from %+v", p, ip)
		}
		if want := ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0; p.IsFragment() != want {
			t.Errorf("IsFragment of flags %v, offset %d is %v", ip.Flags, ip.FragOffset, p.IsFragment())
		}
	}
}

func TestIPv4Rewrite(t *testing.T) {
	t.Parallel()
	b := packet{payload: pattern(9)}.bytes(t)
	p, ok := frame.ParseIPv4(b[14:])
	if !ok {
		t.Fatal("does not parse")
	}
	p.SwapAddresses()
	if !p.ChecksumOK() || !sameIP(p.Src(), dst4) || !sameIP(p.Dst(), src4) {
		t.Errorf("swapped: %v > %v, checksum %v", p.Src(), p.Dst(), p.ChecksumOK())
	}
	p.SetTTL(9)
	if p.ChecksumOK() {
		t.Error("a changed TTL went unnoticed by ChecksumOK")
	}
	if p.SetChecksum(); !p.ChecksumOK() || p.TTL() != 9 {
		t.Errorf("TTL %d, checksum %v after SetChecksum", p.TTL(), p.ChecksumOK())
	}
}

func TestIPv6AgainstGopacket(t *testing.T) {
	t.Parallel()
	for _, ext := range []int{0, 1} {
		b := append(packet{ipv6: true, extensions: ext, payload: pattern(50)}.bytes(t), 0, 0, 0)
		p, ok := frame.ParseIPv6(b[14:])
		if !ok || len(p) != len(b)-14-3 {
			t.Fatalf("ParseIPv6: %v, %d bytes", ok, len(p))
		}
		want := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default).NetworkLayer().(*layers.IPv6)
		if p.NextHeader() != uint8(want.NextHeader) || !sameIP(p.Src(), want.SrcIP) || !sameIP(p.Dst(), want.DstIP) {
			t.Errorf("%d %v %v, want %+v", p.NextHeader(), p.Src(), p.Dst(), want)
		}
	}
}

func TestARPAgainstGopacket(t *testing.T) {
	t.Parallel()
	want := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPReply, SourceHwAddress: srcMAC[:], SourceProtAddress: src4, DstHwAddress: dstMAC[:], DstProtAddress: dst4,
	}
	wire := switchtest.Layers(want)
	a, ok := frame.ParseARP(append(wire, 0, 0))
	if !ok || a.Operation() != frame.ARPReply || a.SenderMAC() != srcMAC || a.TargetMAC() != dstMAC ||
		!sameIP(a.SenderIP(), src4) || !sameIP(a.TargetIP(), dst4) {
		t.Fatalf("ParseARP(%x) = %x, %v", wire, a, ok)
	}
	b := frame.NewARP(make([]byte, frame.ARPLen), frame.ARPRequest)
	b.SetSender(srcMAC, netip.AddrFrom4([4]byte(src4)))
	b.SetTarget(dstMAC, netip.AddrFrom4([4]byte(dst4)))
	b.SetOperation(frame.ARPReply)
	if !bytes.Equal(b, wire) {
		t.Errorf("built %x, want %x", b, wire)
	}
	b.SetSender(srcMAC, netip.MustParseAddr("fd00::1"))
	if b.SenderIP() != netip.IPv4Unspecified() {
		t.Errorf("an IPv6 sender became %v", b.SenderIP())
	}
	for i := range 6 {
		other := bytes.Clone(wire)
		other[i]++
		if _, ok := frame.ParseARP(other); ok {
			t.Errorf("%x parses as ARP for IPv4 over Ethernet", other)
		}
	}
}

func TestEthernetRewrite(t *testing.T) {
	t.Parallel()
	e, ok := frame.ParseEthernet(make([]byte, 14))
	if !ok {
		t.Fatal("14 bytes are no header")
	}
	e.SetDst(dstMAC)
	e.SetSrc(srcMAC)
	e.SetEtherType(frame.EtherTypeARP)
	if want := append(append(append([]byte{}, dstMAC[:]...), srcMAC[:]...), 8, 6); !bytes.Equal(e, want) {
		t.Errorf("wrote %x, want %x", e, want)
	}
}

// Every prefix of a header that is too short must be refused, whatever its
// bytes say.
func TestTruncated(t *testing.T) {
	t.Parallel()
	ip4 := packet{ipOptions: true, payload: pattern(30)}.bytes(t)[14:]
	ip6 := packet{ipv6: true, payload: pattern(30)}.bytes(t)[14:]
	arp := frame.NewARP(make([]byte, frame.ARPLen), frame.ARPRequest)
	for _, tt := range []struct {
		name  string
		whole []byte
		parse func([]byte) bool
	}{
		{"ethernet", make([]byte, 14), func(b []byte) bool { _, ok := frame.ParseEthernet(b); return ok }},
		{"arp", arp, func(b []byte) bool { _, ok := frame.ParseARP(b); return ok }},
		{"ipv4", ip4, func(b []byte) bool { _, ok := frame.ParseIPv4(b); return ok }},
		{"ipv6", ip6, func(b []byte) bool { _, ok := frame.ParseIPv6(b); return ok }},
		{"vnet", make([]byte, frame.VNetHeaderLen), func(b []byte) bool { _, _, ok := frame.ParseVNet(b); return ok }},
	} {
		for n := range len(tt.whole) {
			if tt.parse(exact(tt.whole[:n])) {
				t.Errorf("%s: %d of %d bytes parse", tt.name, n, len(tt.whole))
			}
		}
		if !tt.parse(exact(tt.whole)) {
			t.Errorf("%s: all %d bytes do not parse", tt.name, len(tt.whole))
		}
	}
}

func TestIPLengthsThatLie(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(ip []byte)
	}{
		{"version 5", func(ip []byte) { ip[0] = 0x55 }},
		{"header of 16 bytes", func(ip []byte) { ip[0] = 0x44 }},
		{"header beyond the packet", func(ip []byte) { ip[0] = 0x4f }},
		{"total length below the header's", func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], 19) }},
		{"total length beyond the frame", func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], 0xffff) }},
	} {
		b := packet{payload: pattern(2)}.bytes(t)[14:]
		tt.edit(b)
		if _, ok := frame.ParseIPv4(b); ok {
			t.Errorf("IPv4 with %s parses", tt.name)
		}
	}
	b := packet{ipv6: true}.bytes(t)[14:]
	b[0] = 0x40
	if _, ok := frame.ParseIPv6(b); ok {
		t.Error("IPv6 with version 4 parses")
	}
}

func FuzzViews(f *testing.F) {
	f.Add(packet{payload: pattern(20)}.bytes(f)[14:])
	f.Add(packet{ipv6: true, payload: pattern(20)}.bytes(f)[14:])
	f.Add([]byte(frame.NewARP(make([]byte, frame.ARPLen), frame.ARPReply)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = exact(b)
		if p, ok := frame.ParseIPv4(b); ok {
			p.SwapAddresses()
			p.SetChecksum()
			if !p.ChecksumOK() || p.HeaderLen()+len(p.Payload()) != len(p) {
				t.Errorf("IPv4 view of %x", b)
			}
		}
		if p, ok := frame.ParseIPv6(b); ok && (!p.Src().Is6() || !p.Dst().Is6() || len(p) > len(b)) {
			t.Errorf("IPv6 view of %x", b)
		}
		if a, ok := frame.ParseARP(b); ok && (!a.SenderIP().Is4() || !a.TargetIP().Is4()) {
			t.Errorf("ARP view of %x", b)
		}
	})
}

func BenchmarkParseEthernet(b *testing.B) {
	buf := packet{payload: pattern(18)}.bytes(b)
	var sum uint64
	for b.Loop() {
		if e, ok := frame.ParseEthernet(buf); ok {
			sum += e.DstUint64() + e.SrcUint64() + uint64(e.EtherType())
		}
	}
	if sum == 0 {
		b.Fatal("nothing was read")
	}
}
