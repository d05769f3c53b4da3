package frame

import "encoding/binary"

// Sizes in bytes. A frame here has no FCS; the kernel's TAP neither shows nor
// takes one.
const (
	EthernetHeaderLen = 14
	VLANTagLen        = 4
)

// EtherTypes (IEEE 802, IANA "IEEE 802 Numbers").
const (
	EtherTypeIPv4     = 0x0800
	EtherTypeARP      = 0x0806
	EtherTypeVLAN     = 0x8100
	EtherTypeIPv6     = 0x86dd
	EtherTypeQinQ     = 0x88a8
	EtherTypeLoopback = 0x9000 // Ethernet Configuration Testing Protocol
	EtherTypeQinQOld  = 0x9100 // stacked tags before IEEE 802.1ad gave them a type
)

// minEtherType is the least type; what is below is a length (IEEE 802.3 §3.2.6).
const minEtherType = 0x600

// CheckedByAddress reports whether an EtherType is that of IP or ARP, whose packets
// name a sender.
func CheckedByAddress(t uint16) bool {
	return t == EtherTypeIPv4 || t == EtherTypeARP || t == EtherTypeIPv6
}

// IsLength reports whether the field of an Ethernet header where others have an
// EtherType is a length: the frame is LLC's.
func IsLength(t uint16) bool { return t < minEtherType }

// Ethernet is a frame from its destination address on.
type Ethernet []byte

// ParseEthernet says whether b holds an Ethernet header.
func ParseEthernet(b []byte) (Ethernet, bool) {
	return Ethernet(b), len(b) >= EthernetHeaderLen
}

// Dst is the destination address.
func (e Ethernet) Dst() MAC { return MAC(e[0:6]) }

// Src is the source address.
func (e Ethernet) Src() MAC { return MAC(e[6:12]) }

// DstUint64 is Dst as [MAC.Uint64], in one load.
func (e Ethernet) DstUint64() uint64 { return binary.BigEndian.Uint64(e[0:8]) >> 16 }

// SrcUint64 is Src as [MAC.Uint64], in one load.
func (e Ethernet) SrcUint64() uint64 { return binary.BigEndian.Uint64(e[6:14]) >> 16 }

// EtherType is the type or length field, the outermost tag's where there is one.
func (e Ethernet) EtherType() uint16 { return binary.BigEndian.Uint16(e[12:14]) }

// Payload is all behind the untagged header.
func (e Ethernet) Payload() []byte { return e[EthernetHeaderLen:] }

// SetDst overwrites the destination address.
func (e Ethernet) SetDst(m MAC) { copy(e[0:6], m[:]) }

// SetSrc overwrites the source address.
func (e Ethernet) SetSrc(m MAC) { copy(e[6:12], m[:]) }

// SetEtherType overwrites the type field.
func (e Ethernet) SetEtherType(t uint16) { binary.BigEndian.PutUint16(e[12:14], t) }
