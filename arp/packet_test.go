package arp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// decode reads a frame with a decoder that is not ours.
func decode(tb testing.TB, b []byte) (*layers.Ethernet, *layers.ARP) {
	tb.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if fail := p.ErrorLayer(); fail != nil {
		tb.Fatalf("% x does not decode: %v", b, fail.Error())
	}
	eth, ok := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if !ok {
		tb.Fatalf("% x is not Ethernet", b)
	}
	packet, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok {
		tb.Fatalf("% x is not ARP", b)
	}
	return eth, packet
}

// expect is what a decoded frame should say.
type expect struct {
	dst, src             frame.MAC
	operation            uint16
	senderMAC, targetMAC frame.MAC
	senderIP, targetIP   netip.Addr
}

func check(tb testing.TB, b []byte, want expect) {
	tb.Helper()
	checkAt(tb, b, frame.EthernetHeaderLen, want)
}

// checkAt is check for a frame whose ARP packet begins at offset.
func checkAt(tb testing.TB, b []byte, offset int, want expect) {
	tb.Helper()
	eth, packet := decode(tb, b)
	ip := func(b []byte) netip.Addr { a, _ := netip.AddrFromSlice(b); return a }
	mac := func(b net.HardwareAddr) frame.MAC {
		if len(b) != 6 {
			tb.Fatalf("hardware address %s", b)
		}
		return frame.MAC(b)
	}
	got := expect{
		mac(eth.DstMAC), mac(eth.SrcMAC), packet.Operation,
		mac(packet.SourceHwAddress), mac(packet.DstHwAddress),
		ip(packet.SourceProtAddress), ip(packet.DstProtAddress),
	}
	if got != want {
		tb.Errorf("got  %+v\nwant %+v", got, want)
	}
	if packet.AddrType != layers.LinkTypeEthernet || packet.Protocol != layers.EthernetTypeIPv4 {
		tb.Errorf("got types %v and %v, want Ethernet and IPv4", packet.AddrType, packet.Protocol)
	}
	if padding := b[offset+frame.ARPLen:]; len(bytes.Trim(padding, "\x00")) > 0 {
		tb.Errorf("padding is not zero: % x", padding)
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	request := expect{
		dst: frame.Broadcast, src: c1MAC, operation: layers.ARPRequest,
		senderMAC: c1MAC, senderIP: c1IP, targetIP: c2IP,
	}
	probe, announcement := request, request
	probe.senderIP = netip.IPv4Unspecified()
	announcement.targetIP = c1IP
	for name, test := range map[string]struct {
		got  []byte
		want expect
	}{
		"request":      {AppendRequest(nil, c1MAC, c1IP, c2IP), request},
		"probe":        {AppendRequest(nil, c1MAC, netip.IPv4Unspecified(), c2IP), probe},
		"announcement": {AppendAnnouncement(nil, c1MAC, c1IP), announcement},
		"mapped announcement": {
			AppendAnnouncement(nil, c1MAC, netip.AddrFrom16(c1IP.As16())), announcement,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(test.got) != 60 {
				t.Errorf("got %d bytes, want 60", len(test.got))
			}
			check(t, test.got, test.want)
		})
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	dirty := bytes.Repeat([]byte{0xee}, 100)
	got := AppendAnnouncement(dirty[:10], c1MAC, c1IP)
	want := append(bytes.Repeat([]byte{0xee}, 10), AppendAnnouncement(nil, c1MAC, c1IP)...)
	if !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
	allocs := testing.AllocsPerRun(100, func() { AppendAnnouncement(dirty[:0], c1MAC, c1IP) })
	if allocs != 0 {
		t.Errorf("%v allocations with room in the buffer", allocs)
	}
}

func TestAppendWithoutIPv4(t *testing.T) {
	t.Parallel()
	v6 := netip.MustParseAddr("fd00::2")
	before := []byte("before")
	for name, got := range map[string][]byte{
		"announce IPv6":    AppendAnnouncement(before, c1MAC, v6),
		"announce nothing": AppendAnnouncement(before, c1MAC, netip.Addr{}),
		"request to IPv6":  AppendRequest(before, c1MAC, c1IP, v6),
		"request from v6":  AppendRequest(before, c1MAC, v6, c1IP),
	} {
		if string(got) != "before" {
			t.Errorf("%s: appended % x", name, got)
		}
	}
}
