// Package icmp speaks ICMP for IPv4 (RFC 792). It owns the echo responder that
// turns a request into its reply in place, the error messages that a gateway
// sends, and a pinger that measures loss and round-trip times.
//
// The responder and the errors take and give bytes in slices owned by the
// caller, keep no reference to them, do no I/O and panic on no input. They see IP
// packets only: Ethernet, and the knowledge which addresses are one's own or a
// subnet's broadcast, are the caller's. The pinger is apart from that: it opens a
// socket and talks to whatever the network namespace of that socket reaches.
package icmp
