// Package arp answers ARP for the hosts of one segment, so that a request for a
// known address need not be flooded. It owns the neighbour table of the segment
// (which MAC and which port an IPv4 or IPv6 address belongs to), the responder
// that turns a request into its reply in place and recognises claims of another
// host's address, and the announcements and requests that the switch itself
// sends.
//
// The control side binds an address while the port that holds it is up, to the
// MAC that the port's interface has. The data side reads the table without a lock
// or an allocation, and may overwrite one thing in it: the MAC of an address that
// the holder itself announces with another one (see [Table.Claim]).
//
// Frames flow in and out as slices owned by the caller. The package keeps no
// reference to them, does no I/O and does not panic on any input.
package arp
