package frame

import "encoding/binary"

// Segmenter cuts a super-frame into the frames that the kernel would make of it
// (net/ipv4/tcp_offload.c, net/ipv4/udp_offload.c, net/ipv4/af_inet.c,
// net/ipv6/ip6_offload.c). Each is complete: a receiver needs no more than a
// plain header for it. A tunnel's segments are complete inside and outside. It
// keeps the super-frame, which must not change until the last segment is made,
// and allocates nothing:
//
//	s, ok := frame.NewSegmenter(h, eth)
//	for n, more := s.Next(out); more; n, more = s.Next(out) {
//		send(out[:n])
//	}
type Segmenter struct {
	eth     []byte // the super-frame
	layout         // its headers; the inner ones of a tunnel's
	headers int    // length of all headers: the offset of the payload
	size    int    // payload of a segment; the last may have less
	at      int    // offset of the next segment's payload
	count   int    // segments made
	done    bool   // the last segment was made
	pseudo  uint16 // sum of the pseudo-header without its length
	tunnel  tunnel
}

// tunnel is what goes around the segments of a tunnel's super-frame.
type tunnel struct {
	layout          // the outer headers; zero for a super-frame that is no tunnel's
	checksum bool   // its UDP has one
	pseudo   uint16 // sum of the outer pseudo-header without its length
}

// NewSegmenter says whether h asks for segmentation of eth and is [VNet.Valid].
// A payload that is not larger than GSOSize makes one segment.
func NewSegmenter(h VNet, eth []byte) (Segmenter, bool) {
	if h.GSOType() == VNetGSONone || !h.Valid(eth) {
		return Segmenter{}, false
	}
	s := Segmenter{eth: eth, size: int(h.GSOSize())}
	if !s.locate(h) {
		return Segmenter{}, false
	}
	s.headers = s.transport + udpHeaderLen
	if s.protocol == ProtoTCP {
		s.headers = s.transport + tcpHeaderLen(eth[s.transport:])
	}
	s.at = s.headers
	s.pseudo = s.pseudoSum(eth, binary.BigEndian.Uint16(eth[s.transport+int(h.CsumOffset()):]))
	return s, true
}

// locate finds the super-frame's headers.
func (s *Segmenter) locate(h VNet) (ok bool) {
	if !h.Tunnel() {
		s.layout, ok = locate(s.eth)
		return ok
	}
	t := &s.tunnel
	t.layout, s.layout, ok = h.locateTunnel(s.eth)
	if t.checksum = h.Flags()&VNetTunnelChecksum != 0; ok && t.checksum {
		t.pseudo = t.pseudoSum(s.eth, udpChecksum(s.eth[t.transport:]))
	}
	return ok
}

// pseudoSum is the sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1)
// without the length. A routing header hides the final destination that belongs
// into it, but the sender's partial checksum knows it: it is the sum wanted and
// the super-frame's length.
func (l layout) pseudoSum(eth []byte, partial uint16) uint16 {
	ip := eth[l.network:]
	switch {
	case l.routed:
		return addSums(partial, ^uint16(len(eth)-l.transport))
	case l.ipv6:
		return Sum(ip[8:40], uint16(l.protocol))
	}
	return Sum(ip[12:20], uint16(l.protocol))
}

// Len is the length in bytes of the frame that Next will write, 0 after the
// last one. No segment is longer than the first.
func (s *Segmenter) Len() int {
	if s.done {
		return 0
	}
	return s.headers + min(s.size, len(s.eth)-s.at)
}

// Next writes the next frame to out, which must not overlap the super-frame,
// and says how many bytes it has. It is false after the last one, and where out
// is shorter than Len; then out is not touched and a larger one may be tried.
func (s *Segmenter) Next(out []byte) (n int, ok bool) {
	n = s.Len()
	if n == 0 || n > len(out) {
		return 0, false
	}
	out = out[:n]
	end := s.at + n - s.headers
	copy(out, s.eth[:s.headers])
	copy(out[s.headers:], s.eth[s.at:end])
	s.finishIP(out[s.network:], s.ipv6)
	last := end == len(s.eth)
	if s.protocol == ProtoTCP {
		s.finishTCP(out[s.transport:], last)
	} else {
		finishUDP(out[s.transport:], s.pseudo, true)
	}
	if t := &s.tunnel; t.transport != 0 {
		s.finishIP(out[t.network:], t.ipv6)
		finishUDP(out[t.transport:], t.pseudo, t.checksum)
	}
	s.at, s.done = end, last
	s.count++
	return n, true
}

// finishIP writes length, and for IPv4 identification and checksum, of packet
// p. Each segment has an identification of its own, counting up from the
// super-frame's (net/ipv4/af_inet.c: inet_gso_segment), a tunnel's two.
func (s *Segmenter) finishIP(p []byte, ipv6 bool) {
	if ipv6 {
		binary.BigEndian.PutUint16(p[4:6], uint16(len(p)-IPv6HeaderLen))
		return
	}
	ip := IPv4(p)
	binary.BigEndian.PutUint16(p[2:4], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:6], ip.ID()+uint16(s.count))
	ip.SetChecksum()
}

// TCP flags that do not go into every segment, bits of byte 13.
const (
	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpCWR = 0x80
)

// finishTCP writes sequence number, flags and checksum. FIN and PSH are for the
// end of the data, so only the last segment has them; CWR answers one mark of
// congestion and is said once, by the first (RFC 3168 §6.1.2).
func (s *Segmenter) finishTCP(p []byte, last bool) {
	seq := binary.BigEndian.Uint32(p[4:8])
	binary.BigEndian.PutUint32(p[4:8], seq+uint32(s.at-s.headers))
	if !last {
		p[13] &^= tcpFIN | tcpPSH
	}
	if s.count > 0 {
		p[13] &^= tcpCWR
	}
	p[16], p[17] = 0, 0
	binary.BigEndian.PutUint16(p[16:18], ^Sum(p, addSums(s.pseudo, uint16(len(p)))))
}

// finishUDP writes length and checksum; a checksum of 0 is sent as 0xffff (RFC
// 768). Only a tunnel's may be without, and then has a checksum of 0 already.
func finishUDP(p []byte, pseudo uint16, checksum bool) {
	binary.BigEndian.PutUint16(p[4:6], uint16(len(p)))
	if !checksum {
		return
	}
	p[6], p[7] = 0, 0
	binary.BigEndian.PutUint16(p[6:8], nonZero(^Sum(p, addSums(pseudo, uint16(len(p))))))
}

// addSums adds two sums in one's complement.
func addSums(a, b uint16) uint16 { return fold(uint64(a) + uint64(b)) }
