// Package gateway is what answers at a segment's gateway address: ARP for the
// gateway and the segment's own ports, and ICMP echo. It is one more port of
// the switch, called in the worker that carries the frame. Datagrams for the
// services at that address, DNS and DHCP, are copied into an [Inbox] for others to
// answer.
//
// Whatever else is sent to the gateway is refused with the reason why it cannot
// go on: to another segment, to nowhere for want of an uplink, or to a service
// that the gateway does not have. No ICMP error is sent, as behind Docker's
// isolated bridges.
//
// Where the host has the gateway's address ([Gateway.SetHost]), the host answers
// and routes what is sent there, but for ARP. The gateway then is the wall between
// the two: nothing of one segment's addresses reaches another one by way of the
// host, whatever the host would route.
package gateway
