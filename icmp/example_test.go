package icmp_test

import (
	"fmt"
	"net/netip"

	"vswitch/icmp"
	"vswitch/switch/switchtest"
)

// Echo turns an echo request into its reply in place, as a gateway does that is pinged.
func ExampleEcho() {
	host, gateway := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")
	eth := switchtest.Echo(switchtest.MAC(1), switchtest.MAC(2), gateway, host, []byte("data"))
	packet := eth[14:] // the IPv4 packet behind the Ethernet header

	fmt.Println(icmp.Echo(packet))
	fmt.Println("type:", packet[20] == icmp.TypeEchoReply)
	fmt.Println("to:", netip.AddrFrom4([4]byte(packet[16:20])))
	// Output:
	// answered
	// type: true
	// to: 192.0.2.2
}

// AppendError makes the message with which a router answers a packet that it cannot forward.
func ExampleAppendError() {
	host, outside := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.1")
	gateway := netip.MustParseAddr("192.0.2.1")
	packet := switchtest.IPv4(outside, host, 17, switchtest.Ports(4711, 53)...)

	message, ok := icmp.AppendError(nil, icmp.TypeDestinationUnreachable, icmp.CodeNetUnreachable, 0, packet, gateway)
	fmt.Println(ok, "type", message[20], "code", message[21])
	// Output: true type 3 code 0
}
