// Package icmp speaks ICMP for IPv4 (RFC 792). It owns the echo responder that
// turns a request into its reply in place.
//
// The responder takes bytes in a slice owned by the caller, keeps no reference to
// it, does no I/O and panics on no input. It sees IP packets only: the caller handles
// Ethernet, and knows which addresses are its own or the broadcast address of a subnet.
package icmp
