package icmp

import "net/netip"

// Types of messages (RFC 792; IANA "ICMP Type Numbers").
const (
	TypeEchoReply   = 0
	TypeEchoRequest = 8
)

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
