package icmp

// Types of messages (RFC 792; IANA "ICMP Type Numbers").
const (
	TypeEchoReply   = 0
	TypeEchoRequest = 8
)

const (
	headerLen = 8  // of every message used here: type, code, checksum, four bytes more
	ttl       = 64 // of every packet sent (RFC 1700, "IP TIME TO LIVE PARAMETER")
)
