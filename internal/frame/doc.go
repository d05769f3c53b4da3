// Package frame gives zero-copy views on the headers of an Ethernet frame:
// Ethernet and VLAN, ARP, IPv4 and IPv6, and the virtio-net header that travels
// with a frame between TAPs. It also completes partial checksums and segments
// super-frames for receivers that cannot take them.
//
// Bytes flow in and out as slices owned by the caller; nothing here keeps a
// reference, allocates, does I/O or panics on any input. A parse function says
// whether the bytes hold the header at all; after it says so, the view's
// accessors are in bounds.
package frame
