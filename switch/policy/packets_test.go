package policy_test

import (
	"net/netip"
	"slices"

	"vswitch/internal/frame"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// host1 is the host behind the port.
var host1 = switchtest.Host1

// The builders, by names that leave the tables room for what they say.
var (
	testMAC   = switchtest.MAC
	ethernet  = switchtest.Ethernet
	tagged    = switchtest.Tagged
	arpFrom   = host1.ARP
	ipv4      = host1.IPv4
	ipv6      = host1.IPv6
	fragment  = switchtest.Fragment
	transport = switchtest.Ports
	extension = switchtest.Extension
	chain     = switchtest.Chain
	fragment6 = switchtest.Fragment6
	icmp6     = switchtest.ICMPv6
	neighbour = switchtest.Neighbour
	linkLayer = switchtest.LinkLayer
)

const (
	dot1q  = switchtest.Dot1Q
	dot1ad = switchtest.Dot1AD
	qinq   = switchtest.QinQ
)

var (
	gatewayMAC  = testMAC(0xff)
	testGateway = policy.Gateway{MAC: gatewayMAC.Uint64(), IP4: frame.Uint32(host1.Gateway)}
	noSource    = netip.IPv6Unspecified()
)

// allReporters is the group of those that listen to reports of IGMPv3 (RFC 3376 §4.2.14).
var allReporters = addr("224.0.0.22")

// igmp is a frame of the host's to a group's MAC, with a message of IGMP.
func igmp(from, to netip.Addr, kind byte) []byte {
	return ethernet(frame.MAC{1, 0, 0x5e, 0, 0, 22}, host1.MAC, frame.EtherTypeIPv4,
		switchtest.IPv4(to, from, frame.ProtoIGMP, kind, 0, 0, 0, 0, 0, 0, 1)...)
}

// withRouterAlert puts the option behind the IPv4 header that hosts send IGMP with (RFC 2113).
func withRouterAlert(eth []byte) []byte {
	const end = frame.EthernetHeaderLen + frame.IPv4HeaderLen
	return edit(slices.Concat(eth[:end], []byte{0x94, 4, 0, 0}, eth[end:]), 0, 0x46)
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// policy1 is that of host1's port.
func policy1(level policy.Security) policy.Policy {
	s := host1
	return policy.Policy{
		Security: level, MAC: s.MAC, IPv6: true,
		Addrs:    []netip.Addr{s.IP, s.Second, s.IP6},
		Prefixes: []netip.Prefix{s.Routed, s.Routed6},
	}
}

// parsed is a new view on a frame; nothing can be read behind its end unnoticed.
func parsed(eth []byte) *frame.Parsed {
	p := new(frame.Parsed)
	p.Reset(slices.Clip(slices.Clone(eth)))
	return p
}

// edit sets a byte of the packet in an untagged frame.
func edit(eth []byte, at int, v byte) []byte {
	c := slices.Clone(eth)
	c[frame.EthernetHeaderLen+at] = v
	return c
}
