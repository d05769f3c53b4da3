package frame

// SegmentLen is the length in bytes of the longest frame that a Valid
// super-frame becomes when it is segmented: its headers and one GSOSize of
// payload, or the whole frame if that is shorter.
func (h VNet) SegmentLen(eth []byte) int {
	start := int(h.CsumStart())
	header := start + udpHeaderLen
	if h.GSOType() != VNetGSOUDPL4 {
		header = start + int(eth[start+12]>>4)*4
	}
	return min(header+int(h.GSOSize()), len(eth))
}
