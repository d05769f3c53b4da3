// Package icmp speaks ICMP for IPv4 (RFC 792). It owns the echo responder that
// turns a request into its reply in place, the error messages that a gateway
// sends, and a pinger that measures loss and round-trip times.
//
// The responder and the errors take and return bytes in slices owned by the
// caller, keep no reference to them, do no I/O and panic on no input. They see IP
// packets only: the caller handles Ethernet, and knows which addresses are its own
// or the broadcast address of a subnet. The pinger is separate: it opens a socket
// and sends to whatever the network namespace of that socket reaches.
package icmp
