// Package icmp speaks ICMP for IPv4 (RFC 792). It owns the echo responder that
// turns a request into its reply in place, and the error messages that a gateway
// sends.
//
// Both take and return bytes in slices owned by the caller, keep no reference to
// them, do no I/O and panic on no input. They see IP packets only: the caller handles
// Ethernet, and knows which addresses are its own or the broadcast address of a subnet.
package icmp
