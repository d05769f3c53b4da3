// Package arp answers ARP for the stations of one segment, so that requests for
// a known address need not be flooded. It owns the segment's binding table
// (which MAC has which IPv4 address), the responder that turns a request into
// its reply in place, and the announcements and requests that the switch itself
// sends.
//
// Frames flow in and out as slices owned by the caller; nothing here keeps a
// reference to them, does I/O or panics on any input. The control side changes
// the table while the data side reads it without a lock or an allocation.
package arp
