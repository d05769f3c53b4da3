package arp_test

import (
	"fmt"
	"log"
	"net/netip"

	"vswitch/arp"
)

// The responder turns a request for a bound address into the reply, in the buffer that the
// request came in.
func ExampleResponder_Respond() {
	var (
		hostA, macA = netip.MustParseAddr("192.0.2.1"), [6]byte{0x02, 0x42, 0xc0, 0x00, 0x02, 0x01}
		hostB, macB = netip.MustParseAddr("192.0.2.2"), [6]byte{0x02, 0x42, 0xc0, 0x00, 0x02, 0x02}
	)
	var table arp.Table
	for _, b := range []arp.Binding{
		{IP: hostA, MAC: macA, Port: "a", Slot: 1},
		{IP: hostB, MAC: macB, Port: "b", Slot: 2},
	} {
		if err := table.Bind(b); err != nil {
			log.Fatal(err)
		}
	}
	responder := arp.NewResponder(&table)

	// An Ethernet frame in which host A asks for host B. The ARP packet begins behind the
	// Ethernet header of 14 bytes.
	request := arp.AppendRequest(nil, macA, hostA, hostB)
	verdict := responder.Respond(request, 14, arp.Origin{Slot: 1})
	fmt.Println(verdict)
	fmt.Printf("% x has %v\n", request[22:28], hostB)
	// Output:
	// answered
	// 02 42 c0 00 02 02 has 192.0.2.2
}

// A port may not claim an address that is bound to another one.
func ExampleResponder_Respond_spoofed() {
	var table arp.Table
	host := netip.MustParseAddr("192.0.2.2")
	err := table.Bind(arp.Binding{IP: host, MAC: [6]byte{2, 0, 0, 0, 0, 2}, Port: "b", Slot: 2})
	if err != nil {
		log.Fatal(err)
	}
	claim := arp.AppendAnnouncement(nil, [6]byte{2, 0, 0, 0, 0, 1}, host)
	fmt.Println(arp.NewResponder(&table).Respond(claim, 14, arp.Origin{Slot: 1}))
	// Output: spoofed
}
