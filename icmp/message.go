package icmp

import "net/netip"

// Types of messages (RFC 792; IANA "ICMP Type Numbers").
const (
	TypeEchoReply              = 0
	TypeDestinationUnreachable = 3
	TypeEchoRequest            = 8
	TypeTimeExceeded           = 11
)

// Codes of [TypeDestinationUnreachable] (RFC 792, RFC 1812 §5.2.7.1).
const (
	CodeNetUnreachable      = 0
	CodeHostUnreachable     = 1
	CodeProtocolUnreachable = 2
	CodePortUnreachable     = 3
	CodeFragmentationNeeded = 4
	CodeAdminProhibited     = 13
)

// CodeTTLExceeded is the code of [TypeTimeExceeded] for a packet whose time to
// live ran out on its way.
const CodeTTLExceeded = 0

const (
	headerLen = 8  // of every message used here: type, code, checksum, four bytes more
	ttl       = 64 // of every packet sent (RFC 1700, "IP TIME TO LIVE PARAMETER")
)

// singleHost says whether a can be the address of one host that others reach:
// not of network zero, not loopback, not multicast and not the limited
// broadcast. Class E counts as unicast, as in Linux (include/linux/in.h,
// ipv4_is_multicast and ipv4_is_lbcast).
func singleHost(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	b := a.As4()
	return b[0] != 0 && !a.IsLoopback() && !a.IsMulticast() && b != [4]byte{255, 255, 255, 255}
}
