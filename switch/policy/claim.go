package policy

import (
	"net/netip"

	"vswitch/internal/frame"
)

// ClaimedIP returns the address that a frame names as its sender's, in IP or ARP;
// the zero Addr without one. It is for reports of violations.
func ClaimedIP(f *frame.Parsed) netip.Addr {
	switch f.Network() {
	case frame.NetworkIPv4:
		return frame.AddrFromUint32(f.Src4)
	case frame.NetworkIPv6:
		return f.Src6.Addr()
	}
	if sender, ok := f.ARPSender(); ok {
		return frame.AddrFromUint32(sender)
	}
	return netip.Addr{}
}
