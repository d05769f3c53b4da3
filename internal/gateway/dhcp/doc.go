// Package dhcp is the DHCPv4 server (RFC 2131) at a segment's gateway address. A
// client's message and the lease that is its own flow in, and the answer flows
// out; there is nothing to remember, since a lease is settled before its client
// first asks. It does no I/O and knows no switch.
package dhcp
