package frame

import "encoding/binary"

// CompleteChecksum does what header h asks for with [VNetNeedsChecksum]: it
// finishes the partial checksum in eth and makes h plain, keeping
// [VNetDataValid]. A plain header needs nothing and stays as it is. The result
// is false, and nothing is changed, for a header that is not [VNet.Valid] and
// for a super-frame, whose segments get their checksums from a [Segmenter].
//
// As in the kernel (net/core/dev.c: skb_checksum_help) the sum runs from
// CsumStart to the end of the frame, not of the IP packet, and the field, which
// holds the pseudo-header's sum, is part of it. Padding behind the packet
// counts too; senders pad with zeros, which change nothing.
//
// A checksum of 0 is written as 0xffff. UDP needs that, for there 0 says that
// no checksum was made (RFC 768); to the other protocols the two are the same
// number. So does the kernel, and UDP inside a tunnel is not missed.
func CompleteChecksum(h VNet, eth []byte) bool {
	if h[1] != VNetGSONone || !h.Valid(eth) {
		return false
	}
	if h.Plain() {
		return true
	}
	start := int(h.CsumStart())
	field := eth[start+int(h.CsumOffset()):]
	binary.BigEndian.PutUint16(field, nonZero(^Sum(eth[start:], 0)))
	h.Set(h.Flags()&^VNetNeedsChecksum, VNetGSONone, 0, 0, 0, 0)
	return true
}

// nonZero is the other zero of one's complement for 0, and sum for the rest.
func nonZero(sum uint16) uint16 {
	if sum == 0 {
		return 0xffff
	}
	return sum
}
