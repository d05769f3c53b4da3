package frame

// SegmentLen is the length in bytes of the longest frame that a Valid
// super-frame becomes when it is segmented: its headers, of a tunnel's the outer
// and the inner ones, and one GSOSize of payload, or the whole frame if that is
// shorter.
func (h VNet) SegmentLen(eth []byte) int {
	start := int(h.CsumStart())
	header := start + udpHeaderLen
	if h.GSOType() != VNetGSOUDPL4 {
		header = start + int(eth[start+12]>>4)*4
	}
	return min(header+int(h.GSOSize()), len(eth))
}

// WireLen is the length in bytes of all frames together that the super-frame eth becomes when
// it is segmented, each of which has the headers; of any other frame, and of one that is not
// Valid, its own.
func (h VNet) WireLen(eth []byte) int {
	if h.GSOType() == VNetGSONone || !h.Valid(eth) {
		return len(eth)
	}
	segment, payload := h.SegmentLen(eth), int(h.GSOSize())
	if segment == len(eth) {
		return segment
	}
	headers := segment - payload
	return len(eth) + (len(eth)-headers-1)/payload*headers
}
