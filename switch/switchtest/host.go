package switchtest

import (
	"net/netip"

	"vswitch/internal/frame"
)

// Host is a host behind a port whose policy binds it to addresses, and what is around it.
type Host struct {
	MAC                 frame.MAC
	IP, Second, IP6     netip.Addr   // its own
	Routed, Routed6     netip.Prefix // networks behind it
	InRouted, InRouted6 netip.Addr   // an address in each

	Gateway, Other, Other6, OtherLinkLocal netip.Addr // of others
}

// Host1 is the host with the first [MAC].
var Host1 = Host{
	MAC:    MAC(1),
	IP:     netip.MustParseAddr("172.17.0.2"),
	Second: netip.MustParseAddr("172.17.0.9"),
	IP6:    netip.MustParseAddr("fd00::2"),

	Routed:    netip.MustParsePrefix("10.9.0.0/16"),
	Routed6:   netip.MustParsePrefix("fd00:9::/48"),
	InRouted:  netip.MustParseAddr("10.9.1.1"),
	InRouted6: netip.MustParseAddr("fd00:9::1"),

	Gateway:        netip.MustParseAddr("172.17.0.1"),
	Other:          netip.MustParseAddr("172.17.0.3"),
	Other6:         netip.MustParseAddr("fd00::3"),
	OtherLinkLocal: MAC(2).LinkLocal(),
}

// ARP returns a broadcast frame from the host with an ARP packet that says what the
// arguments do.
func (h *Host) ARP(operation uint16, sender frame.MAC, ip, target netip.Addr) []byte {
	return Ethernet(frame.Broadcast, h.MAC, frame.EtherTypeARP,
		ARPPacket(operation, sender, ip, frame.MAC{}, target)...)
}

// IPv4 returns a broadcast frame from the host with an IPv4 packet from an address.
func (h *Host) IPv4(from netip.Addr, protocol uint8, payload ...byte) []byte {
	everyone := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return Ethernet(frame.Broadcast, h.MAC, frame.EtherTypeIPv4,
		IPv4(everyone, from, protocol, payload...)...)
}

// IPv6 returns a frame from the host to all nodes with an IPv6 packet from an address.
func (h *Host) IPv6(from netip.Addr, next uint8, payload ...byte) []byte {
	return Ethernet(frame.MAC{0x33, 0x33, 0, 0, 0, 1}, h.MAC, frame.EtherTypeIPv6,
		IPv6(netip.IPv6LinkLocalAllNodes(), from, next, payload...)...)
}
