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

	fmt.Println("answered:", icmp.Echo(packet) == icmp.Answered)
	fmt.Println("type:", packet[20] == icmp.TypeEchoReply)
	fmt.Println("to:", netip.AddrFrom4([4]byte(packet[16:20])))
	// Output:
	// answered: true
	// type: true
	// to: 192.0.2.2
}
